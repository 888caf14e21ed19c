"""What a user may give as a dataset, and the documents in it.

A string is always a name (`files` says what that is). A list is either names or texts; any other iterable yields texts.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.data.documents import TextPart
from gpt2simple.data.file_types import TEXT, type_named
from gpt2simple.data.files import (
    CATALOGUE,
    STDIN,
    Member,
    Meter,
    are_names,
    clear_errors,
    expanded,
    find_files,
    members,
)
from gpt2simple.data.readers.pairs import how_to_read_pairs
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import json_digest, parse_json, quoted
from gpt2simple.storage.files import sha256_of

_SHOWN_STDIN = "standard input"
_SETTLED_NANOSECONDS = 3 * 10**9  # FAT counts time in steps of two seconds


class Source:
    """Something that documents come from. This class itself: read only once, nothing known in advance.

    Attributes:
        names: what it is called, as the user named it.
        paths: its files.
    """

    paths: tuple[Path, ...] = ()

    def __init__(self, name: str, read: Callable[[], Iterator[TextPart]]) -> None:
        self.names: tuple[str, ...] = (name,)
        self._read = read

    def quick_key(self) -> str | None:
        """Identifies the content without reading it; None where that is impossible or not safe."""
        return None

    def content_key(self) -> str | None:
        """Identifies the content for certain, reading it where need be; None where it can be read only once."""
        return None

    def total_bytes(self) -> int | None:
        """Bytes to read; None where that is not known before."""
        return None

    def bytes_read(self) -> int:
        """Bytes read so far; 0 where they are not counted."""
        return 0

    def parts(self) -> Iterator[TextPart]:
        """The documents, in one part or several each."""
        return self._read()

    def beginnings(self) -> Iterator[TextPart]:
        """The first part of a file of each type, of what can be read again; encoding and columns show there.

        Raises:
            DataError: it cannot be read.
        """
        return iter(())


def checked_source(dataset: Any, settings: TextSettings | None) -> Source:
    """The source of a dataset, after a look at it that takes no time, uses nothing up and logs nothing.

    Calls that fetch or load something need this look first: a wrong name must not cost a download.

    Args:
        settings: how the text will be read; None: not known yet, so that only its name is looked up.

    Raises:
        DataError: there is no such source, it holds no text, or a file begins with something that cannot be read.
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    with silent():
        if settings is None:
            return open_source(dataset, None, TextSettings())
        check_encoding(settings.encoding)
        source = open_source(dataset, None, settings)
        for _ in source.beginnings():
            pass
    return source


@contextmanager
def silent() -> Iterator[None]:
    """Drop what this thread's readers of files log, which they log again when the text is read."""
    here = threading.get_ident()
    loggers = [logging.getLogger(f"gpt2simple.data.{name}") for name in ("files", "readers.fields", "readers.dialect")]

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    for logger in loggers:
        logger.addFilter(of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(of_others)


def open_source(dataset: Any, tokenizer: Tokenizer | None, settings: TextSettings) -> Source:
    """The source of a dataset as the user gave it.

    Args:
        tokenizer: decodes the ids of .npz files; None refuses them.

    Raises:
        DataError: there is no such file, folder or dataset, or the value is of a kind that holds no texts.
    """
    if isinstance(dataset, (str, Path)):
        return _from_names([dataset], tokenizer, settings)
    if type(dataset).__module__.split(".")[0] == "tensorflow" and hasattr(dataset, "as_numpy_iterator"):
        from gpt2simple.data.readers.tensorflow import read_tf_data  # here: loads TensorFlow

        return Source("a tf.data.Dataset", lambda: read_tf_data(dataset, settings))
    if isinstance(dataset, (list, tuple)):
        if not dataset:
            raise DataError("The dataset is an empty list. Give the names of files, or texts.")
        if are_names(dataset):
            return _from_names(list(dataset), tokenizer, settings)
    if isinstance(dataset, Iterable) and not isinstance(dataset, (bytes, dict)):
        return Source("texts of the program", lambda: _texts(dataset))
    raise DataError(
        f"The dataset is a {type(dataset).__name__}; expected the name of a file or folder, a list of names or texts, "
        "an iterable of strings, or a tf.data.Dataset."
    )


def _from_names(names: list[str | Path], tokenizer: Tokenizer | None, settings: TextSettings) -> Source:
    sources: list[Source] = []
    for name in names:
        if name == STDIN:
            sources.append(Source(_SHOWN_STDIN, lambda: _standard_input(settings)))
        elif isinstance(name, str) and name.startswith(CATALOGUE):
            sources.append(_Catalogue(name, settings))
        else:
            sources.append(_Files(str(name), find_files(name), tokenizer, settings))
    return sources[0] if len(sources) == 1 else _Several(sources)


def _standard_input(settings: TextSettings) -> Iterator[TextPart]:
    with clear_errors(_SHOWN_STDIN):
        if sys.stdin is None:
            raise DataError(f"{_SHOWN_STDIN} is closed. Give the name of a file.")
        parts = type_named(settings.format or "text").read(_SHOWN_STDIN, sys.stdin.buffer, settings)
        yield from parts if settings.format is not None else _without_pairs(parts, _SHOWN_STDIN)


def _without_pairs(parts: Iterator[TextPart], shown: str) -> Iterator[TextPart]:
    """Plain text of what is read once, so that nothing could be told of it before.

    Raises:
        DataError: it begins with a pair as JSON, which would be learned as it is spelled.
    """
    for number, part in enumerate(parts):
        if number == 0 and (how := _how_to_read(part.text, shown)):
            raise DataError(
                f"{shown} is read as plain text, and begins with JSON. {how} To train on the text as it is spelled: "
                "format='text' (--format text)."
            )
        yield part


def _how_to_read(text: str, shown: str) -> str:
    """What to do with a text of which the first line is JSON with a pair; empty: it is not."""
    try:
        value = parse_json(text.lstrip().split("\n", 1)[0])
    except ValueError:
        return ""
    if isinstance(value, list):
        return how_to_read_pairs(value[0] if value else None, shown, file_format="json")
    return how_to_read_pairs(value, shown, file_format="jsonl")


class _State(NamedTuple):
    """What tells that a file was replaced: programs that copy set the time of modification, but no other."""

    path: str
    n_bytes: int
    modified: int  # nanoseconds, as the next
    changed: int
    inode: int


class _Files(Source):
    """The files of one name."""

    def __init__(self, name: str, paths: list[Path], tokenizer: Tokenizer | None, settings: TextSettings) -> None:
        super().__init__(name, self._read_files)
        self.paths = tuple(paths)
        self._tokenizer, self._settings = tokenizer, settings
        self._meter = Meter()
        self._in_folder = expanded(name).is_dir()
        self._is_on_disk = all(path.is_file() for path in paths)  # else a pipe: read once, and nothing known before
        self._state = self._current_state()

    def quick_key(self) -> str | None:
        # A file that was written just now may change again within the same tick of the file system's clock.
        latest = max(max(state.modified, state.changed) for state in self._state)
        settled = latest < time.time_ns() - _SETTLED_NANOSECONDS
        return json_digest(self._state) if self._is_on_disk and settled else None

    def content_key(self) -> str | None:
        # A file's type follows from its content and its endings, so both are part of the key.
        if not self._is_on_disk:
            return None
        found = []
        for path in self.paths:
            with clear_errors(str(path)):
                found.append(["".join(path.suffixes).lower(), sha256_of(path)])
        self._require_unchanged()  # or the quick key of one content would lead to another
        return json_digest(found)

    def total_bytes(self) -> int | None:
        return sum(state.n_bytes for state in self._state) if self._is_on_disk else None

    def bytes_read(self) -> int:
        return self._meter.bytes_read

    def beginnings(self) -> Iterator[TextPart]:
        if not self._is_on_disk:
            return
        one_of_each_kind = {"".join(path.suffixes).lower(): path for path in reversed(self.paths)}
        for path in one_of_each_kind.values():
            with clear_errors(str(path)), closing(self._members(path, Meter())) as found:
                member = next(found, None)
                if member is not None and not member.kind.holds_ids:
                    yield from itertools.islice(self._read_member(member), 1)

    def _read_files(self) -> Iterator[TextPart]:
        for path in self.paths:
            with clear_errors(str(path)):
                for member in self._members(path, self._meter):
                    yield from self._read_member(member)
        if self._is_on_disk:
            self._require_unchanged()

    def _require_unchanged(self) -> None:
        if self._current_state() != self._state:
            raise DataError(f"{self.names[0]} changed while it was read. Wait until it is complete, and start again.")

    def _members(self, path: Path, meter: Meter) -> Generator[Member, None, None]:
        return members(path, meter, self._settings.format, in_folder=self._in_folder)

    def _current_state(self) -> list[_State]:
        found = []
        for path in self.paths:
            with clear_errors(str(path)):
                status = path.stat()
            times = status.st_mtime_ns, status.st_ctime_ns
            found.append(_State(str(path.absolute()), status.st_size, *times, status.st_ino))
        return found

    def _read_member(self, member: Member) -> Iterator[TextPart]:
        if not member.kind.holds_ids:
            parts = member.kind.read(member.name, member.stream, self._settings)
            known = self._is_on_disk or member.kind is not TEXT or self._settings.format is not None
            return parts if known else _without_pairs(parts, member.name)
        if self._tokenizer is None:
            raise DataError(f"{member.name} holds token ids, and text is needed here. Give the text itself.")
        return member.kind.read(member.name, member.stream, self._tokenizer)


class _Catalogue(Source):
    """A dataset of tensorflow-datasets."""

    def __init__(self, name: str, settings: TextSettings) -> None:
        from gpt2simple.data.readers.tensorflow import CatalogueText  # here: loads TensorFlow

        self._text = CatalogueText(name, settings)
        super().__init__(name, self._text.parts)

    def content_key(self) -> str:
        return self._text.content_key()

    quick_key = content_key


class _Several(Source):
    """Several sources, one after the other."""

    def __init__(self, sources: list[Source]) -> None:
        super().__init__("", lambda: (part for source in sources for part in source.parts()))
        self._sources = sources
        self.names = tuple(name for source in sources for name in source.names)
        self.paths = tuple(path for source in sources for path in source.paths)

    def quick_key(self) -> str | None:
        return _joined([source.quick_key() for source in self._sources])

    def content_key(self) -> str | None:
        return _joined([source.content_key() for source in self._sources])

    def beginnings(self) -> Iterator[TextPart]:
        return (part for source in self._sources for part in source.beginnings())

    def total_bytes(self) -> int | None:
        sizes = [source.total_bytes() for source in self._sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def bytes_read(self) -> int:
        return sum(source.bytes_read() for source in self._sources)


def _texts(values: Iterable[Any]) -> Iterator[TextPart]:
    for number, value in enumerate(values):
        if not isinstance(value, str):
            of_strings = isinstance(value, tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)
            how = how_to_read_pairs(dict(prompt="", completion="") if of_strings else value, "the dataset")
            raise DataError(
                f"Text {number} of the dataset is {quoted(value)}; expected a string.{f' {how}' if how else ''}"
            )
        yield TextPart(value)


def _joined(keys: list[str | None]) -> str | None:
    return None if None in keys else json_digest(keys)
