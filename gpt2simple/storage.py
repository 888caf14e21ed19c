"""Files and folders that are whole or absent, digests, free space, and locks between processes.

Everything is written under a temporary name beside its target and renamed, so that neither a crash nor a full disk
leaves half a file under a name that somebody will read. Knows nothing of what the files mean.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from gpt2simple.errors import Gpt2SimpleError, RunLockedError, StorageError

# Windows refuses to rename a file that a virus scanner or an indexer has open for a moment.
_RENAME_PATIENCE_SECONDS = 2.0 if sys.platform == "win32" else 0.0

# A temporary name of another machine (a shared drive) is dead when nothing has touched it for this long.
_FOREIGN_LEFTOVER_SECONDS = 24 * 3600

_TEMPORARY = re.compile(r"\.tmp-(?P<pid>\d+)-(?P<host>[0-9a-f]{6})-[0-9a-f]{8}")
_in_use: set[str] = set()  # temporary names of this process: its pid alone may be that of a dead one (containers)

_NEXT_STEP = {
    errno.ENOSPC: "the disk is full. Free some space or choose a folder on another disk, then run the same again.",
    errno.EROFS: "it lies on a read-only disk. Choose a folder that can be written.",
    errno.EACCES: "there is no permission. Choose a folder of your own, or close the program that holds the file open.",
    errno.EIO: "the device reported a failure. Check the disk, or choose a folder on another one.",
    errno.ENOTDIR: "a part of the path is a file, where a folder is needed. Choose another folder.",
    errno.EISDIR: "it is a folder, where a file is needed. Choose another name.",
    errno.ENAMETOOLONG: "the name is too long for this disk. Choose a shorter one.",
}
_NEXT_STEP[errno.EPERM] = _NEXT_STEP[errno.EACCES]
if hasattr(errno, "EDQUOT"):  # not on Windows
    _NEXT_STEP[errno.EDQUOT] = (
        "your disk quota is used up. Delete something or choose a folder on another disk, then run the same again."
    )


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about the disk (full, quota, read-only, permission, failed) into one StorageError.

    Args:
        path: what the block writes; named in the message unless the error itself names a file.

    Raises:
        StorageError: with the original as its cause and the same ``errno``. Other OSErrors pass unchanged.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        step = _NEXT_STEP.get(error.errno) if error.errno is not None else None
        if step is None:
            raise
        named = error.filename if isinstance(error.filename, str) else None
        shown = path if named is None or _TEMPORARY.search(named) else named
        clear = StorageError(f"Cannot write {shown}: {step}")
        clear.errno = error.errno
        raise clear from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents where missing, and return it.

    Raises:
        StorageError: it cannot be created, or a file has its name.
    """
    with storage_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise StorageError(
                f"Cannot write into {path}: it is a file, where a folder is needed. Choose another folder."
            ) from error
    return path


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
    if _is_device(path):
        with path.open("wb") as device:
            yield device
        return
    make_folder(path.parent)
    with storage_errors(path), _temporary_name(path.parent) as temporary:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if durable:
                _sync(file.fileno())
        _rename(temporary, path)
        if durable:
            _sync_folder(path.parent)


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
    with storage_errors(path), _temporary_name(path.parent) as temporary:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync_file(Path(folder, name))
            _sync_folder(Path(folder))
        _require_absent(path)
        _rename(temporary, path)
        _sync_folder(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, replacing ``target`` in one step; copy it where the disk has no hard links.

    Raises:
        StorageError: the disk is full or ``target`` cannot be written.
    """
    source = source.resolve()
    if target.exists() and target.samefile(source):
        return  # renaming one name of a file onto another of its names does nothing and leaves both
    make_folder(target.parent)
    with storage_errors(target), _temporary_name(target.parent) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            _sync_file(temporary)
        _rename(temporary, target)
        _sync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that, whenever this is cut short, no half of it stays under its name. None there: no error.

    Raises:
        StorageError: it cannot be renamed or removed.
    """
    if not path.exists():
        return
    with storage_errors(path), _temporary_name(path.parent) as temporary:
        _rename(path, temporary)


def rename_folder(path: Path, target: Path) -> None:
    """Give a folder another name in one step, and wait until the disk knows.

    Raises:
        StorageError: ``target`` exists already, or the disk does not allow it.
    """
    _require_absent(target)
    with storage_errors(target):
        _rename(path, target)
        _sync_folder(target.parent)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files and folders that processes which no longer run left in ``folder``.

    Those of running processes stay, and those of other machines until a day has passed.

    Returns:
        What was removed.
    """
    removed = []
    for path in sorted(folder.glob(".tmp-*")) if folder.is_dir() else []:
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _may_be_in_use(path, pid=int(match["pid"]), host=match["host"]):
            _remove(path)
            removed.append(path)
    return removed


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


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable_size(n_bytes: int) -> str:
    """A number of bytes for people, in powers of 1000: ``497.8 MB``."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def require_space(folder: Path, bytes_needed: int, what: str) -> None:
    """Return if the disk that holds ``folder`` has room.

    Args:
        folder: where it will be written; need not exist yet.
        bytes_needed: how much will be written.
        what: what it is, as the subject of a sentence: "Downloading 124M".

    Raises:
        StorageError: it has not.
    """
    existing = next((p for p in (folder.absolute(), *folder.absolute().parents) if p.exists()), None)
    if existing is None:
        return
    try:
        free = shutil.disk_usage(existing).free
    except OSError:  # some network drives do not tell; the write itself will
        return
    if free < bytes_needed:
        raise StorageError(
            f"{what} needs {readable_size(bytes_needed)}, and the disk that holds {folder} has "
            f"{readable_size(free)} free. Free some space or choose a folder on another disk."
        )


@contextlib.contextmanager
def locked(
    path: Path,
    busy_message: str,
    error: type[Gpt2SimpleError] = RunLockedError,
    wait_seconds: float = 0.0,
) -> Iterator[None]:
    """Hold the lock file ``path`` during the block, against other processes and other holders in this one.

    The lock is released when the process ends, however it ends; the (empty) file may stay.

    Args:
        path: the lock file; missing parent folders are made.
        busy_message: what the error says when somebody else holds it.
        error: the class of that error.
        wait_seconds: how long to wait for the other; 0 does not wait, -1 waits without end.

    Raises:
        StorageError: the lock file cannot be written.
    """
    make_folder(path.parent)
    lock = filelock.FileLock(path)
    try:
        with storage_errors(path):
            lock.acquire(timeout=wait_seconds, poll_interval=0.1)
    except filelock.Timeout as busy:
        raise error(busy_message) from busy
    except NotImplementedError:
        warnings.warn(
            f"The disk that holds {path} has no locks: make sure that no other process writes there.", stacklevel=3
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _temporary_name(folder: Path) -> Iterator[Path]:
    """A free name in ``folder``; whatever still has it when the block ends is removed."""
    name = f".tmp-{os.getpid()}-{_host()}-{secrets.token_hex(4)}"
    _in_use.add(name)
    try:
        yield folder / name
    finally:
        _remove(folder / name)
        _in_use.discard(name)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _may_be_in_use(path: Path, *, pid: int, host: str) -> bool:
    if host != _host():
        try:
            return time.time() - path.stat().st_mtime < _FOREIGN_LEFTOVER_SECONDS
        except OSError:
            return False
    if pid == os.getpid():
        return path.name in _in_use
    return _is_running(pid)


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill(pid, 0) would end the process there
        import ctypes

        query_limited_information, still_active = 0x1000, 259
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return not known or code.value == still_active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        return True
    return True


def _is_device(path: Path) -> bool:
    """Renaming onto /dev/null would, for root, replace it."""
    return path.exists() and not path.is_dir() and (not path.is_file() or path.parent == Path("/dev"))


def _require_absent(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise StorageError(f"{path} exists already and is not replaced. Choose another name, or remove it first.")


def _rename(temporary: Path, target: Path) -> None:
    deadline = time.monotonic() + _RENAME_PATIENCE_SECONDS
    while True:
        try:
            os.replace(temporary, target)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _remove(path: Path) -> None:
    """Remove a file or folder if it is there; what the system does not let go of now is left for remove_leftovers."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


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
