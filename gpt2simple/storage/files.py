"""Files and folders that are whole or absent, files that grow by whole parts, and the sha256 of either.

Everything is written under a temporary name beside its target and renamed, so that neither a crash nor a full disk
leaves half a file under its final name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gpt2simple.errors import StorageError
from gpt2simple.storage.disk import absent_as_storage_error, make_folder, storage_errors
from gpt2simple.storage.temporary import remove_leftovers, temporary_name


class HashingWriter:
    """A file opened for writing that also knows the sha256 and the length of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes_written = 0

    def write(self, data: bytes) -> int:
        """Write all of ``data`` and return its length in bytes."""
        self._file.write(data)
        self._digest.update(data)
        self.bytes_written += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        """The sha256 of everything written so far, as 64 hexadecimal digits."""
        return self._digest.hexdigest()


def sha256_of(path: Path, salt: bytes = b"") -> str:
    """The sha256 of a file's content, after ``salt``, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha256(salt)).hexdigest()


# Windows refuses to rename a file that a virus scanner or an indexer has open for a moment.
_RENAME_PATIENCE_SECONDS = 2.0 if sys.platform == "win32" else 0.0


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the name ``path`` when the block ends well, and vanishes when it does not.

    A file of that name is replaced in one step (a symbolic link is replaced, not what it points at). Missing parent
    folders are made. A device or pipe is written directly.

    Args:
        path: the final name.
        durable: wait until the data is on the disk, so that it survives a power cut.

    Raises:
        StorageError: the disk is full or the file cannot be written.
    """
    if is_device(path):
        with storage_errors(path), io.BufferedWriter(_Device(path, "w")) as device:
            yield device
        return
    make_folder(path.parent)
    with storage_errors(path), temporary_name(path.parent) as temporary:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if durable:
                _sync(file.fileno())
        _rename(temporary, path, durable=durable)


def atomic_write(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write a whole file in one step; text as UTF-8 with its line ends as they are. See ``atomic_file``."""
    with atomic_file(path, durable=durable) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the name ``path``, as one unit, when the block ends well.

    Its files are on the disk before the rename. When the block raises, the temporary folder is removed.

    Raises:
        StorageError: ``path`` exists already, or the disk does not allow it.
    """
    make_folder(path.parent)
    _require_absent(path)
    with storage_errors(path), temporary_name(path.parent) as temporary:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync_file(Path(folder, name))
            _sync_folder(Path(folder))
        _require_absent(path)
        _rename(temporary, path)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, replacing ``target`` in one step; copy it where the disk has no hard links.

    Raises:
        StorageError: the disk is full or ``target`` cannot be written.
    """
    source = source.resolve()  # a second name for the file, not for a link to it
    make_folder(target.parent)
    with storage_errors(target), temporary_name(target.parent) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            _sync_file(temporary)
        _rename(temporary, target)


def remove_folder(path: Path) -> None:
    """Remove a folder so that, whenever this is cut short, no half of it keeps its name. A missing folder is no error.

    Raises:
        StorageError: it cannot be renamed or removed.
    """
    if not path.exists():
        return
    with storage_errors(path), temporary_name(path.parent) as temporary:
        _rename(path, temporary, durable=False)


def rename_folder(path: Path, target: Path) -> None:
    """Give a folder another name in one step, and wait until the disk knows.

    Raises:
        StorageError: ``target`` exists already, or the disk does not allow it.
    """
    _require_absent(target)
    with storage_errors(target):
        _rename(path, target)


def move_into_place(source: Path, target: Path) -> None:
    """Give a finished file its final name, replacing what has it; the data is on the disk first.

    Raises:
        StorageError: the disk does not allow it.
    """
    with storage_errors(target):
        _sync_file(source)
        _rename(source, target)


def free_name(path: Path, separator: str = "-") -> Path:
    """The path itself where nothing has that name, else the first free one with a number after its stem."""
    numbered = (path.with_stem(f"{path.stem}{separator}{number}") for number in itertools.count(1))
    return next(name for name in itertools.chain([path], numbered) if not os.path.lexists(name))


class _Device(io.FileIO):
    """Written from its beginning to its end: /dev/null always says that it is at 0, which a zip archive must not take
    for its place."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


def is_endless(path: Path) -> bool:
    """Whether a path is a device such as /dev/zero, and not what the process was given to read."""
    return (path.is_char_device() or path.is_block_device()) and not re.match(r"/dev/(stdin|tty|fd/)", str(path))


def is_device(path: Path) -> bool:
    """Renaming onto /dev/null would, for root, replace it."""
    return path.exists() and not path.is_dir() and (not path.is_file() or path.parent == Path("/dev"))


def _require_absent(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise StorageError(f"{path} exists already and is not replaced. Choose another name, or remove it first.")


def _rename(source: Path, target: Path, *, durable: bool = True) -> None:
    deadline = time.monotonic() + _RENAME_PATIENCE_SECONDS
    while True:
        try:
            os.replace(source, target)
            break
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
    if durable:
        _sync_folder(target.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb+" if sys.platform == "win32" else "rb") as file:  # Windows flushes only what it may write
        _sync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows and some network drives cannot, and keep names in order by themselves."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without fsync
            raise


class GrowingFile:
    """A new text file in UTF-8, which appears with its first part, under a name that nothing has. Use it with ``with``.

    A part is in the file when ``append`` returns; one that cannot be written whole is taken back.

    Attributes:
        path: the file, final once it has a part. parts: how many it holds.
    """

    def __init__(self, path: Path, *, numbered: bool = False) -> None:
        """See to it that the file can be made, and make its parent folders where missing.

        Args:
            numbered: where something has that name, take the first free one with a number after its stem.

        Raises:
            FileExistsError: something has that name. StorageError: the disk does not allow it.
        """
        make_folder(path.parent)
        with storage_errors(path), absent_as_storage_error(path):
            remove_leftovers(path.parent)
            with contextlib.suppress(FileNotFoundError):
                path.lstat()  # raises for names that the disk refuses, too
                if not numbered:
                    raise FileExistsError(errno.EEXIST, "it exists", str(path))
            with temporary_name(path.parent) as temporary:
                temporary.open("xb").close()
        self._wanted, self._numbered = path, numbered
        self._file: BinaryIO | None = None
        self.path, self.parts, self._bytes = path, 0, 0

    def append(self, text: str) -> None:
        """Write a part to the end.

        Raises:
            StorageError: it cannot be written, or something else has taken the name; the parts before it stay.
        """
        data = text.encode("utf-8")
        with storage_errors(self.path):
            if self._file is None:
                self._begin(data)
            else:
                self._extend(self._file, data)
        self.parts += 1
        self._bytes += len(data)

    def _begin(self, data: bytes) -> None:
        with temporary_name(self._wanted.parent) as temporary:
            temporary.write_bytes(data)
            while True:  # two processes that choose one name at the same moment must not both get it
                if self._numbered:
                    self.path = free_name(self._wanted, "_")
                try:
                    _link_new(temporary, self.path)
                    break
                except FileExistsError:
                    if not self._numbered:
                        _require_absent(self.path)
        self._file = self.path.open("r+b", buffering=0)
        self._file.seek(len(data))

    def _extend(self, file: BinaryIO, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]  # a disk that is nearly full takes a part, then reports it
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(self._bytes)
                file.seek(self._bytes)
            raise

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()


def _link_new(source: Path, target: Path) -> None:
    """Give a file a second name that nothing has, in one step; a copy where the disk has no hard links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        with target.open("xb") as file:
            file.write(source.read_bytes())
