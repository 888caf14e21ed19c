"""Files and folders that the user named to be written: nothing there is replaced but an earlier output of that kind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gpt2simple.errors import SettingsError
from gpt2simple.storage.disk import make_folder, storage_errors
from gpt2simple.storage.files import atomic_file, atomic_folder, is_device
from gpt2simple.storage.temporary import remove_leftovers

_MARKED_BYTES = 4096  # at the beginning and at the end of a file, where its mark is looked for
_left: dict[str, tuple[int, int, int]] = {}  # the files that this process wrote, in the state in which it left them


@dataclass(frozen=True)
class OutputKind:
    """A kind of file that is written where the user says.

    Attributes:
        name: for messages, with its article. begins: how every file of its format begins.
        mark: bytes near the beginning or the end that only this package writes; b"": the format has no place for any,
            and only files that this process wrote and nobody changed since are known to be of the kind.
    """

    name: str = ""
    begins: bytes = b""
    mark: bytes = b""

    def wrote(self, path: Path) -> bool:
        """Whether a file is an earlier output of this kind."""
        try:
            if _left.get(os.path.realpath(path)) == _state(path):
                return True
            with path.open("rb") as file:
                head = file.read(_MARKED_BYTES)
                file.seek(max(os.fstat(file.fileno()).st_size - _MARKED_BYTES, 0))
                tail = file.read()
        except OSError:  # a link that leads nowhere, a file that may not be read
            return False
        return bool(self.mark) and head.startswith(self.begins) and (self.mark in head or self.mark in tail)


UNMARKED = OutputKind()  # plain text, copies


def check_output(path: Path, kind: OutputKind, sources: Iterable[Path] = ()) -> None:
    """Return if a file may be written: nothing has its name, or an earlier output that may be replaced.

    Args:
        path: the file. A device or pipe may always be written.
        kind: what would be written.
        sources: files that the output is made from; a link to one of them is that file too.

    Raises:
        SettingsError: it is one of the sources, a folder, or a file that is not of this kind.
        StorageError: nothing can be there, such as a name that is too long.
    """
    with storage_errors(path):
        if not os.path.lexists(path) or is_device(path):
            return
        if path.is_dir():
            raise SettingsError(f"{path} is a folder, where a file is to be written. Name a file inside it.")
        if any(_is_same(path, source) for source in sources):
            problem = f"{path} is read by this call, and would be overwritten by its output."
            raise SettingsError(f"{problem} Name another file.")
        if not kind.wrote(path):
            known = f" and is not {kind.name}" if kind.name else ""
            raise SettingsError(
                f"{path} exists{known}, so it is not overwritten. Name another file, or move that one away."
            )


@contextlib.contextmanager
def output_file(path: Path, kind: OutputKind, sources: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """Yield a file as ``atomic_file`` does, for a name that passes ``check_output``, whose arguments these are.

    What killed processes left in its folder is removed.

    Raises:
        SettingsError: see ``check_output``. StorageError: the file cannot be written.
    """
    sources = tuple(sources)
    check_output(path, kind, sources)
    with storage_errors(path):
        remove_leftovers(path.parent)
    with atomic_file(path, durable=False) as file:
        yield file
        check_output(path, kind, sources)  # writing may have taken an hour
    if not is_device(path):
        _left[os.path.realpath(path)] = _state(path)


def write_output(path: Path, kind: OutputKind, data: bytes | str) -> None:
    """Write a whole file as ``output_file`` does; text as UTF-8."""
    with output_file(path, kind) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def check_unused(folder: Path) -> None:
    """Raise SettingsError where something has a folder's name already, unless that is an empty folder."""
    with storage_errors(folder):
        if folder.is_dir():
            if any(folder.iterdir()):
                raise SettingsError(f"{folder} is not empty, and nothing in it is replaced. Name a new folder.")
        elif os.path.lexists(folder):
            raise SettingsError(f"{folder} is a file, where a folder is to be made. Name a new folder.")


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the name ``path``, as one unit, when the block ends well.

    What killed processes left beside it is removed.

    Args:
        path: a new or empty folder.

    Raises:
        SettingsError: it holds something. StorageError: it cannot be written.
    """
    check_unused(path)
    target = path.resolve()  # of a link to an empty folder, the folder
    make_folder(target.parent)
    remove_leftovers(target.parent)
    with contextlib.suppress(OSError):  # where a disk is mounted, say: atomic_folder then says that it exists
        target.rmdir()
    with atomic_folder(target) as folder:
        yield folder


def _is_same(path: Path, source: Path) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # one of the two is not there
        return False


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
