"""What a user may give as a dataset, and the documents in it.

A string is always a name (`names` says what that is). A list is either names or texts; any other iterable yields texts.
Knows which reader serves what.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from gpt2simple.data.documents import TextPart
from gpt2simple.data.files import CATALOGUE, STDIN, Member, Meter, are_names, clear_errors, find_files, members
from gpt2simple.data.readers.plain import read_plain
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.files import sha256_of

_SHOWN_STDIN = "standard input"

_SETTLED_NANOSECONDS = 3 * 10**9  # FAT counts time in steps of two seconds


class Source(Protocol):
    """Something that documents come from."""

    names: tuple[str, ...]
    files: int

    def quick_key(self) -> str | None:
        """Identifies the content without reading it; None where that is impossible or not safe."""

    def content_key(self) -> str | None:
        """Identifies the content for certain, reading it where need be; None where it can be read only once."""

    def total_bytes(self) -> int | None: ...

    def bytes_read(self) -> int: ...

    def parts(self) -> Iterator[TextPart]: ...


def open_source(dataset: Any, tokenizer: Tokenizer | None, settings: TextSettings) -> Source:
    """The source that a user's value stands for.

    Args:
        tokenizer: spells the ids of .npz files; None refuses them.

    Raises:
        DataError: there is no such file, folder or dataset, or the value is of a kind that holds no texts.
    """
    if isinstance(dataset, (str, Path)):
        return _from_names([dataset], tokenizer, settings)
    if type(dataset).__module__.split(".")[0] == "tensorflow" and hasattr(dataset, "as_numpy_iterator"):
        from gpt2simple.data.readers.tensorflow import read_tf_data  # here: loads TensorFlow

        return _Stream("a tf.data.Dataset", lambda: read_tf_data(dataset, settings))
    if isinstance(dataset, (list, tuple)):
        if not dataset:
            raise DataError("The dataset is an empty list. Give the names of files, or texts.")
        if are_names(dataset):
            return _from_names(list(dataset), tokenizer, settings)
    if isinstance(dataset, Iterable) and not isinstance(dataset, (bytes, dict)):
        return _Stream("texts of the program", lambda: _texts(dataset))
    raise DataError(
        f"The dataset is a {type(dataset).__name__}; expected the name of a file or folder, a list of names or texts, "
        "an iterable of strings, or a tf.data.Dataset."
    )


def _from_names(names: list[str | Path], tokenizer: Tokenizer | None, settings: TextSettings) -> Source:
    parts: list[Source] = []
    for name in names:
        if name == STDIN:
            parts.append(_Stream(_SHOWN_STDIN, lambda: read_plain(_SHOWN_STDIN, sys.stdin.buffer, settings)))
        elif isinstance(name, str) and name.startswith(CATALOGUE):
            parts.append(_Catalogue(name, settings))
        else:
            parts.append(_Files(str(name), find_files(name), tokenizer, settings))
    return parts[0] if len(parts) == 1 else _Several(parts)


class _Files:
    """The files that one name stands for."""

    def __init__(self, name: str, paths: list[Path], tokenizer: Tokenizer | None, settings: TextSettings) -> None:
        self.names: tuple[str, ...] = (name,)
        self.files = len(paths)
        self._paths, self._tokenizer, self._settings = paths, tokenizer, settings
        self._meter = Meter()
        self._is_on_disk = all(path.is_file() for path in paths)  # else a pipe: read once, and nothing known before
        self._state = self._look()

    def quick_key(self) -> str | None:
        # A file that was written just now may change again within the same tick of the file system's clock.
        latest = max(changed for _, _, changed in self._state)
        settled = latest < time.time_ns() - _SETTLED_NANOSECONDS
        return _digest(self._state) if self._is_on_disk and settled else None

    def content_key(self) -> str | None:
        # A file's kind follows from its content and its endings, so both are part of what it says.
        return _digest([["".join(p.suffixes).lower(), sha256_of(p)] for p in self._paths]) if self._is_on_disk else None

    def total_bytes(self) -> int | None:
        return sum(size for _, size, _ in self._state) if self._is_on_disk else None

    def bytes_read(self) -> int:
        return self._meter.bytes_read

    def parts(self) -> Iterator[TextPart]:
        for path in self._paths:
            with clear_errors(str(path)):
                for member in members(path, self._meter):
                    yield from self._read(member)
        if self._is_on_disk and self._look() != self._state:
            raise DataError(f"{self.names[0]} changed while it was read. Wait until it is complete, and start again.")

    def _look(self) -> list[tuple[str, int, int]]:
        """Path, bytes and time of change of each file."""
        found = []
        for path in self._paths:
            status = path.stat()
            found.append((str(path.absolute()), status.st_size, status.st_mtime_ns))
        return found

    def _read(self, member: Member) -> Iterator[TextPart]:
        if not member.kind.holds_ids:
            return member.kind.read(member.name, member.stream, self._settings)
        if self._tokenizer is None:
            raise DataError(f"{member.name} holds token ids, and text is needed here. Give the text itself.")
        return member.kind.read(member.name, member.stream, self._tokenizer)


class _Stream:
    """Texts that can be read only once, and of which nothing is known before."""

    def __init__(self, name: str, read: Callable[[], Iterator[TextPart]]) -> None:
        self.names: tuple[str, ...] = (name,)
        self.files = 0
        self._read = read

    def quick_key(self) -> None:
        return None

    def content_key(self) -> None:
        return None

    def total_bytes(self) -> None:
        return None

    def bytes_read(self) -> int:
        return 0

    def parts(self) -> Iterator[TextPart]:
        return self._read()


class _Catalogue(_Stream):
    """A dataset of tensorflow-datasets."""

    def __init__(self, name: str, settings: TextSettings) -> None:
        from gpt2simple.data.readers.tensorflow import CatalogueText  # here: loads TensorFlow

        self._text = CatalogueText(name, settings)
        super().__init__(name, self._text.parts)

    def quick_key(self) -> str:  # type: ignore[override]
        return self._text.content_key()

    def content_key(self) -> str:  # type: ignore[override]
        return self._text.content_key()


class _Several:
    """Several sources, one after the other."""

    def __init__(self, parts: list[Source]) -> None:
        self._parts = parts
        self.names = tuple(name for part in parts for name in part.names)
        self.files = sum(part.files for part in parts)

    def quick_key(self) -> str | None:
        return _joined([part.quick_key() for part in self._parts])

    def content_key(self) -> str | None:
        return _joined([part.content_key() for part in self._parts])

    def total_bytes(self) -> int | None:
        sizes = [part.total_bytes() for part in self._parts]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def bytes_read(self) -> int:
        return sum(part.bytes_read() for part in self._parts)

    def parts(self) -> Iterator[TextPart]:
        for part in self._parts:
            yield from part.parts()


def _texts(values: Iterable[Any]) -> Iterator[TextPart]:
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise DataError(
                f"Text {number} of the dataset is a {type(value).__name__} ({str(value)[:40]!r}); expected a string."
            )
        yield TextPart(value)


def _joined(keys: list[str | None]) -> str | None:
    return None if None in keys else _digest(keys)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
