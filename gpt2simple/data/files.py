"""From the names a user gives to open streams: folders, patterns, compressed files and archives.

A name is the path of a file or folder, a pattern, ``-`` for standard input, or ``tfds:name[/config][:split]``; in a
list, strings that are none of these are texts. Does not read texts.
"""

from __future__ import annotations

import difflib
import errno
import glob
import gzip
import io
import logging
import lzma
import os
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from gpt2simple.data.file_types import FILE_TYPES, NPZ, ZIP, FileType, file_type, type_named
from gpt2simple.errors import DataError
from gpt2simple.storage.contents import content_errors
from gpt2simple.storage.files import is_endless

logger = logging.getLogger(__name__)
STDIN = "-"
CATALOGUE = "tfds:"
_LONGEST = 1000  # characters of a name in a list
_SUFFIXES = (".gz", ".xz", ".zip", *(suffix for kind in FILE_TYPES for suffix in kind.suffixes))


class _NoTextError(DataError):
    """A file whose content is no text: skipped among others."""


class Names(tuple[str | Path, ...]):
    """Names that never are texts, such as the words of a command line: one that does not exist is an error."""


def are_names(entries: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list holds names rather than texts.

    Raises:
        DataError: some entries are names of files and others are not.
    """
    if isinstance(entries, Names):
        return True
    known = [isinstance(entry, Path) or (isinstance(entry, str) and _is_known(entry)) for entry in entries]
    likely = [k or (isinstance(e, str) and _looks_like_name(e)) for k, e in zip(known, entries, strict=True)]
    if all(likely):
        return True  # a misspelt name must not become a text
    if any(known):
        odd = repr(str(entries[likely.index(False)])[:60])
        raise DataError(f"The list names files, but {odd} is not one. Give names of files that exist, or texts only.")
    return False


def expanded(name: str | Path) -> Path:
    """The path of a name, with the home folder for ``~``; a ``~`` that names nobody's home stays as it is."""
    return Path(os.path.expanduser(name))  # Path.expanduser() raises where there is no such user


def _is_known(entry: str) -> bool:
    if entry == STDIN or entry.startswith(CATALOGUE):
        return True
    if len(entry) > _LONGEST or "\n" in entry or "\0" in entry:
        return False
    try:
        return expanded(entry).exists() or (_is_pattern(entry) and _has_folder(entry) and _matches(entry))
    except OSError:  # too long a name, and such
        return False


def _looks_like_name(entry: str) -> bool:
    if " " in entry.strip():
        return False
    # "Who?" is a text unless a file is meant; "plays/*" is a pattern even where nothing matches it.
    return entry.lower().endswith(_SUFFIXES) or (_is_pattern(entry) and (_has_folder(entry) or _matches(entry)))


def _is_pattern(entry: str) -> bool:
    return len(entry) <= _LONGEST and glob.has_magic(entry) and not any(character.isspace() for character in entry)


def _has_folder(entry: str) -> bool:
    return "/" in entry or os.sep in entry


def _matches(pattern: str) -> bool:
    return any(True for _ in glob.iglob(str(expanded(pattern))))


_HEAD_BYTES = 4096
_MOST_PACKINGS = 4  # archives and compressed files inside one another; some files unpack to themselves for ever
_LONGEST_NAME = 255  # bytes of one part of a path, on all usual file systems
_COMPRESSED: dict[bytes, tuple[str, Any]] = {b"\x1f\x8b": (".gz", gzip.open), b"\xfd7zXZ\0": (".xz", lzma.open)}

# How a file begins that is worth opening though its first bytes are no text.
_KNOWN_BINARIES = (ZIP, *_COMPRESSED, *(kind.magic for kind in FILE_TYPES if kind.magic))

# How files begin that people give by mistake, and what they are.
_NO_TEXT = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"{\\rtf": "an RTF document",
    b"SQLite format 3": "a database",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 file",
    **{bytes((0x80, version)): "a Python pickle" for version in (2, 3, 4, 5)},
}


@dataclass
class Meter:
    """How many bytes have been read from the disk."""

    bytes_read: int = 0


@dataclass(frozen=True, kw_only=True)
class Member:
    """An open file, or a file inside a compressed one."""

    name: str  # as messages call it: "texts.zip: a.txt"
    kind: FileType
    stream: BinaryIO


def find_files(name: str | Path) -> list[Path]:
    """The files that a name means: itself, all text files of a folder and its folders, or a pattern's matches.

    In a folder, hidden files and files that are not text are skipped.

    Raises:
        DataError: there is no such file or folder, or it holds no text.
    """
    path = expanded(name)
    if _is_there(path):
        if is_endless(path):
            raise DataError(
                f"{path} is a device, which may never end. Give the name of a file, or - for standard input."
            )
        return _in_folder(path) if path.is_dir() else [path]
    if glob.has_magic(str(path)) and not (_is_address(str(name)) or _is_probably_text(str(name))):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())
        if not matches:
            raise DataError(f"No file matches {str(name)!r} (seen from {Path.cwd()}). Check the pattern.")
        return matches
    raise DataError(_no_such_file(str(name), path))


def _is_there(path: Path) -> bool:
    with clear_errors(str(path)):
        try:
            return path.exists()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # a text, given as if it were a name
                return False
            raise


def members(
    path: Path, meter: Meter, wanted: str | None = None, *, in_folder: bool = False
) -> Generator[Member, None, None]:
    """The texts in a file: one, or those of a zip archive in the order of their names.

    In an archive of several files, those that are not text are skipped, as in a folder. Use it, and read the
    streams, inside `clear_errors`.

    Args:
        wanted: the setting ``format``; None: by the names and first bytes.
        in_folder: whether the file was found in a folder; if it holds no text, that is logged.

    Raises:
        DataError: the file is of a kind that holds no text, and was named itself.
    """
    with _MeteredFile(path, meter) as raw, io.BufferedReader(raw, 1 << 20) as stream:
        try:
            yield from _members(str(path), path.name, stream, wanted, among_others=in_folder)
        except _NoTextError:
            if not in_folder:
                raise
            logger.info(f"{path} is skipped: it holds no text.")


def _members(
    shown: str, name: str, stream: io.BufferedReader[Any], wanted: str | None, packings: int = 0, *, among_others: bool
) -> Iterator[Member]:
    if packings > _MOST_PACKINGS:
        raise DataError(f"{shown} is packed more than {_MOST_PACKINGS} times over. Unpack it first.")
    head = _head(stream)
    kind = file_type(name, head)
    if packed := next((how for magic, how in _COMPRESSED.items() if head.startswith(magic)), None):
        suffix, unpacked = packed
        with unpacked(stream) as inner:
            yield from _members(
                shown, name.removesuffix(suffix), io.BufferedReader(inner), wanted, packings + 1,
                among_others=among_others,
            )  # fmt: skip
    elif head.startswith(ZIP) and not kind.zipped:
        yield from _in_archive(shown, stream, wanted, packings + 1)
    elif what := next((what for magic, what in _NO_TEXT.items() if head.startswith(magic)), None):
        raise _NoTextError(f"{shown} is {what}, not text. Save its content as plain text first.")
    elif among_others and not _looks_like_text(head):
        raise _NoTextError(f"{shown} holds no text.")
    else:
        yield Member(name=shown, kind=_as_wanted(shown, kind, wanted), stream=stream)


def _as_wanted(shown: str, kind: FileType, wanted: str | None) -> FileType:
    if wanted is not None and (kind.zipped or kind.magic):
        raise _NoTextError(f"{shown} is a binary file, {kind.name}, not {wanted}. Leave format={wanted!r} out.")
    return kind if wanted is None else type_named(wanted)


def _in_archive(shown: str, stream: BinaryIO, wanted: str | None, packings: int) -> Iterator[Member]:
    with zipfile.ZipFile(stream) as archive:
        names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
        if {"[Content_Types].xml", "mimetype", "word/document.xml"} & set(names):
            raise _NoTextError(f"{shown} is an office document or e-book, not text. Save it as plain text first.")
        if names and all(name.endswith(".npy") for name in names):
            stream.seek(0)
            yield Member(name=shown, kind=_as_wanted(shown, NPZ, wanted), stream=stream)
            return
        names = [name for name in names if not _is_hidden(PurePosixPath(name))]
        if not names:
            raise _NoTextError(f"{shown} is an archive without files. Give one that holds texts.")
        skipped = []
        for name in names:
            with archive.open(name) as opened:
                inner: io.BufferedReader[Any] = io.BufferedReader(opened)
                try:
                    yield from _members(
                        f"{shown}: {name}", PurePosixPath(name).name, inner, wanted, packings,
                        among_others=len(names) > 1,
                    )  # fmt: skip
                except _NoTextError:
                    if len(names) == 1:
                        raise
                    skipped.append(PurePosixPath(name).name)
    if len(skipped) == len(names):
        raise _NoTextError(f"The archive {shown} holds no text files. Give one with .txt, .csv, .jsonl, ... in it.")
    _log_skipped(shown, skipped)


def _head(stream: io.BufferedReader[Any]) -> bytes:
    return stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]  # not read and seek: it may be a pipe


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    texts = [path for path in found if _may_be_text(path)]
    if not texts:
        raise DataError(f"The folder {folder} holds no text files. Give a folder with .txt, .csv, .jsonl, ... in it.")
    kept = set(texts)
    _log_skipped(str(folder), [path.name for path in found if path not in kept])
    return texts


def _log_skipped(shown: str, names: list[str]) -> None:
    if names:
        examples = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        logger.info(f"{shown}: skipped {len(names)} files that are not text ({examples}).")


def _may_be_text(path: Path) -> bool:
    with clear_errors(str(path)), path.open("rb") as file:
        return _looks_like_text(file.read(_HEAD_BYTES))


def _looks_like_text(head: bytes) -> bool:
    """Whether a file among others begins like something that can be read; named alone, it would be tried anyway."""
    if head.startswith(_KNOWN_BINARIES) or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    return b"\0" not in head and not head.startswith(tuple(_NO_TEXT))


def _is_hidden(path: PurePosixPath | Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _no_such_file(name: str, path: Path) -> str:
    if _is_address(name):
        return f"{name} is an address, not a file. Download it first and give the file's name."
    if _is_probably_text(name):
        return f"There is no file named {name[:40]!r}... To train on a string itself, give a list: [text]."
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if os.access(folder, os.R_OK) and folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check its name and folder."
    return f"There is no file {name!r} (seen from {Path.cwd()}). {hint}"


def _is_address(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _is_probably_text(name: str) -> bool:
    longest = max(len(part.encode("utf-8", "replace")) for part in name.split("/"))
    return "\n" in name or len(name) > 200 or longest > _LONGEST_NAME


class _MeteredFile(io.FileIO):
    """A file that counts what is read from it."""

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(path)
        self._meter = meter

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        count = super().readinto(buffer)
        self._meter.bytes_read += count or 0
        return count


@contextmanager
def clear_errors(shown: str) -> Iterator[None]:
    """Turn whatever opening, unpacking and reading a file may raise into one DataError that says what to do."""

    def clear(reason: str, error: Exception) -> DataError:
        if isinstance(error, (gzip.BadGzipFile, lzma.LZMAError, zlib.error, zipfile.BadZipFile, EOFError)):
            return DataError(f"{shown} is damaged or incomplete ({reason}). Copy or download it again.")
        if "password" in reason or "encrypted" in reason:  # how zipfile reports it
            return DataError(f"{shown} is protected by a password. Unpack it first.")
        if isinstance(error, NotImplementedError):
            return DataError(f"{shown} is packed in a way that Python cannot unpack ({reason}). Unpack it first.")
        if isinstance(error, OSError):
            return DataError(f"{shown} cannot be read: {reason}. Check the file and its permissions.")
        return DataError(f"{shown} cannot be read ({reason}). Repair it, or copy or download it again.")

    with content_errors(clear):
        yield
