"""Files of plain text that are named by the label of their texts.

Either a folder holds a folder for each label, with a text in each file; or there is a file for each label, such as
``pos.txt`` and ``neg.txt``, or ``reviews.pos`` and ``reviews.neg``, with a text in each line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.data.documents import TextPart
from gpt2simple.data.file_types import LINES, TEXT, file_type
from gpt2simple.data.files import Meter, clear_errors, expanded, members
from gpt2simple.data.readers.labels import label_of
from gpt2simple.errors import DataError
from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.settings.text import ReadingSettings
from gpt2simple.storage.contents import counted

_PACKED = (".gz", ".xz")  # after the ending of a name
_WHAT_IS_TAKEN = (
    "Give a table (.csv, .tsv, .json, .jsonl, .parquet) with a column of labels, a folder that holds a folder for each "
    "label, or a file of lines for each label, such as pos.txt and neg.txt"
)


class LabelFile(NamedTuple):
    """A file of texts of one label.

    Attributes:
        format: "text", where the file is one text, or "lines".
    """

    path: Path
    label: str
    format: str


def files_by_label(dataset: Any, paths: Sequence[Path], settings: LabelledTextSettings) -> list[LabelFile] | None:
    """The labels of files of plain text; None where there are no files, or all have columns or keys for labels.

    Args:
        dataset: what the user named. paths: the files that this means.

    Raises:
        DataError: the names of the files do not say the labels.
    """
    plain = plain_files(paths, settings)
    if not plain:
        return None
    named = list(dataset) if isinstance(dataset, (list, tuple)) else [dataset]
    if table := next((path for path in paths if path not in plain), None):
        raise DataError(
            f"{next(iter(plain))} is plain text and {table} is not, so their labels cannot be found in one way. "
            f"{_WHAT_IS_TAKEN}."
        )
    folders = [path for path in map(expanded, map(str, named)) if path.is_dir()]
    if len(named) > 1 and folders:
        raise DataError(f"{folders[0]} is a folder in a list. Give the folder that holds it, or the names of files.")
    if folders and any(len(path.relative_to(folders[0]).parts) > 1 for path in paths):
        return _in_folders(folders[0], paths, settings)
    labels = _labels_of_files(paths)
    if len(set(labels)) < 2:
        raise DataError(
            f"{paths[0]} is plain text, in which nothing says the labels ({counted(len(paths), 'file')}). "
            f"{_WHAT_IS_TAKEN}."
        )
    return _with_labels(paths, labels, settings.format or "lines")


def read_file(file: LabelFile, settings: LabelledTextSettings) -> Iterator[TextPart]:
    """The texts of one file, perhaps in several parts each.

    Raises:
        DataError: it cannot be read.
    """
    with clear_errors(str(file.path)):
        for member in members(file.path, Meter(), file.format, in_folder=True):
            yield from member.kind.read(member.name, member.stream, settings)


def plain_files(paths: Sequence[Path], settings: ReadingSettings) -> set[Path]:
    """The files that are plain text, by a look at one file of each ending."""
    if settings.format is not None:
        return set(paths) if settings.format in (TEXT.name, LINES.name) else set()
    is_plain: dict[str, bool] = {}
    for path in paths:
        if (ending := "".join(path.suffixes).lower()) not in is_plain:
            is_plain[ending] = _is_plain(path)
    return {path for path in paths if is_plain["".join(path.suffixes).lower()]}


def _is_plain(path: Path) -> bool:
    if not path.is_file():  # a pipe can be read only once
        return file_type(path.name, b"") is TEXT
    with clear_errors(str(path)), closing(members(path, Meter(), in_folder=True)) as found:
        member = next(found, None)
        return member is not None and member.kind is TEXT


def _in_folders(folder: Path, paths: Sequence[Path], settings: LabelledTextSettings) -> list[LabelFile]:
    places = [path.relative_to(folder).parts for path in paths]
    labels = sorted({place[0] for place in places if len(place) > 1})
    if direct := next((place[0] for place in places if len(place) == 1), None):
        raise DataError(
            f"The folder {folder} holds text both in its folders ({labels[0]}, ...) and beside them ({direct}, ...). "
            "Give a folder in which every text lies in the folder of its label."
        )
    if len(labels) < 2:
        raise DataError(
            f"The folder {folder} holds only one folder with texts, {labels[0]!r}; expected one for each of two labels "
            "or more. Give the folder that holds the folders of the labels."
        )
    if deep := next((label for label in labels if not any(p[0] == label and len(p) == 2 for p in places)), None):
        raise DataError(
            f"The folder {folder / deep} holds no texts but those in its folders, so it is no label. Give the folder "
            f"that holds the folders of the labels, such as {folder / deep}."
        )
    return _with_labels(paths, [place[0] for place in places], settings.format or TEXT.name)


def _with_labels(paths: Sequence[Path], names: Sequence[str], how: str) -> list[LabelFile]:
    named = zip(paths, names, strict=True)
    return [LabelFile(path, label_of(name, str(path)) or name, how) for path, name in named]


def _labels_of_files(paths: Sequence[Path]) -> list[str]:
    """The name of each file without its ending, or its ending where that alone differs."""
    names = [Path(path.stem) if path.suffix.lower() in _PACKED else Path(path.name) for path in paths]
    if len({name.stem for name in names}) == 1 and all(name.suffix for name in names):
        return [name.suffix.removeprefix(".") for name in names]
    stems = [name.stem for name in names]
    endings: dict[str, set[str]] = {}
    for name in names:
        endings.setdefault(name.stem, set()).add(name.suffix)
    if twice := next((stem for stem, found in endings.items() if len(found) > 1), None):
        raise DataError(
            f"{counted(stems.count(twice), 'file')} are named {twice}, with several endings, so it is not clear what "
            "names the label. Give files of which only the names or only the endings differ: pos.txt and neg.txt."
        )
    return stems
