"""Which files of a folder are its parts to train on, to validate with and to test on, by their names."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.data.files import expanded
from gpt2simple.errors import DataError

_NAMES = {"train": "train", "validation": "valid|validation|val|dev|eval", "test": "test"}
_RECORDS = r"\.(?:jsonl|ndjson|json|csv|tsv|parquet)(?:\.gz|\.xz)?"
_OF_RECORDS = re.compile(rf".*{_RECORDS}", re.I)
_FOLDERS = {part: re.compile(names, re.I) for part, names in _NAMES.items()}
# Datasets come in numbered files: train-00000-of-00002.parquet, some with a hash after the numbers.
_FILES = {
    part: re.compile(rf"({names})(?:-\d+-of-\d+(?:-\w+)?({_RECORDS})|{_RECORDS})", re.I)
    for part, names in _NAMES.items()
}


class FolderParts(NamedTuple):
    """A folder whose files are named as parts.

    Attributes:
        files: of each part, under the names "train", "validation" and "test"; there always are some to train on.
        others: files of records that are named as none of them.
    """

    folder: Path
    files: dict[str, list[Path]]
    others: list[Path]

    def in_words(self, replaced: Collection[str]) -> str:
        """What is read, and what is not, for the user.

        Args:
            replaced: parts for which other files are read.
        """
        read = [path for part in _NAMES if part not in replaced for path in self.files.get(part, ())]
        unread = sorted({*self.others, *(path for part in replaced for path in self.files.get(part, ()))})
        return f"Parts from {self.shown(read)}" + (f"; not read: {self.shown(unread)}." if unread else ".")

    def shown(self, paths: list[Path]) -> str:
        """Files for a message."""
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        return ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")


def folder_parts(dataset: Any) -> FolderParts | None:
    """The parts of a folder; None: it is no folder, or none of its files is named as a part.

    A part is a file such as train.jsonl, numbered files, or a folder of that name; all parts but train may be missing.

    Raises:
        DataError: there are two files for one part, none to train on, or the folder is in a list with others.
    """
    if isinstance(dataset, (list, tuple)) and len(dataset) > 1:
        for one in filter(None, map(_folder, dataset)):
            if _found(one)[0]:
                raise DataError(f"{one} has parts of its own, and stands in a list with others. Give it alone.")
        return None
    folder = _folder(dataset)
    found, others = _found(folder) if folder is not None else ({}, [])
    if folder is None or not found:
        return None
    parts = FolderParts(folder, {part: files for part, (files, *_) in found.items()}, others)
    for files, *more in found.values():
        if more:
            raise DataError(
                f"{folder} holds {parts.shown(files[:1])} and {parts.shown(more[0][:1])}, for one part. Leave one of "
                "them, or give the files themselves."
            )
    if "train" not in found:
        shown = parts.shown([files[0] for files in parts.files.values()])
        raise DataError(
            f"{folder} holds {shown}, and no file that is named as the part to train on. Name it train, such as "
            "train.jsonl, or give the files themselves."
        )
    return parts


class DatasetParts(NamedTuple):
    """What to read for each part of a dataset.

    Attributes:
        train: the dataset, or its files to train on. validation, test: None: there is none of its own.
        folder: that the parts are from; None: the dataset is in one piece.
        messages: for the user, on where the parts are from.
    """

    train: Any
    validation: Any
    test: Any
    folder: Path | None
    messages: tuple[str, ...]


def dataset_parts(dataset: Any, *, validation: Any, test: Any) -> DatasetParts:
    """The parts of a dataset; a file that is named for one takes the place of what a folder has for it.

    Args:
        validation, test: the user's own files (``validation_file``, ``test_file``); None: not named.

    Raises:
        DataError: as of ``folder_parts``.
    """
    own = {"validation": validation, "test": test}
    found = folder_parts(dataset)
    if found is None:
        return DatasetParts(dataset, validation, test, None, ())
    chosen = {part: found.files.get(part) if name is None else name for part, name in own.items()}
    said = found.in_words({part for part, name in own.items() if name is not None})
    return DatasetParts(found.files["train"], **chosen, folder=found.folder, messages=(said,))


def file_to_look_at(dataset: Any) -> Path | None:
    """The first file of a folder's training part, which shows its format; None: no folder, or one without that part."""
    folder = _folder(dataset)
    things = _found(folder)[0].get("train") if folder is not None else None
    return things[0][0] if things else None


def _folder(dataset: Any) -> Path | None:
    if isinstance(dataset, (list, tuple)) and len(dataset) == 1:
        dataset = dataset[0]
    folder = expanded(dataset) if isinstance(dataset, (str, Path)) and len(str(dataset)) < 1000 else None
    try:
        return folder if folder is not None and folder.is_dir() else None
    except (OSError, ValueError):  # a text, given as if it were a name
        return None


def _found(folder: Path) -> tuple[dict[str, list[list[Path]]], list[Path]]:
    """For each part that there is, the files of each thing that is named as it; and the other files of records."""
    found: dict[str, dict[tuple[str, ...], list[Path]]] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        places = path.relative_to(folder).parts
        if any(name.startswith(".") for name in places) or not _OF_RECORDS.fullmatch(places[-1]) or path.is_dir():
            continue
        if named := _part_of(places):
            found.setdefault(named[0], {}).setdefault(named[1], []).append(path)
        else:
            others.append(path)
    return {part: list(things.values()) for part, things in found.items()}, others


def _part_of(places: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The part that a file belongs to by its name or that of a folder, and what is named so; None: none.

    Args:
        places: the names of the folders that lead to the file, and its own.
    """
    *folders, name = places
    for part, pattern in _FOLDERS.items():
        if (at := next((n for n, one in enumerate(folders) if pattern.fullmatch(one)), None)) is not None:
            return part, places[: at + 1]
    for part, pattern in _FILES.items():
        if match := pattern.fullmatch(name):
            numbered = match[2] is not None
            return part, (*folders, match[1] + match[2] if numbered else name)
    return None
