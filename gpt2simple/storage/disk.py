"""Errors of the disk as one clear StorageError each; free space, sizes for people, the user's cache folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from gpt2simple.errors import StorageError
from gpt2simple.storage.contents import reason
from gpt2simple.storage.temporary import is_temporary_name

_NEXT_STEP = {
    errno.ENOSPC: "the disk is full. Free some space or choose a folder on another disk, then run the same again.",
    errno.EROFS: "it is on a read-only disk. Choose a folder that can be written.",
    errno.EACCES: "there is no permission. Choose a folder of your own, or close the program that holds the file open.",
    errno.EIO: "the device reported a failure. Check the disk, or choose a folder on another one.",
    errno.EFBIG: "it would be larger than this disk or your account allows. Choose a folder on another disk.",
    errno.ENOTDIR: "a part of the path is a file, where a folder is needed. Choose another folder.",
    errno.EISDIR: "it is a folder, where a file is needed. Choose another name.",
    errno.ENAMETOOLONG: "the name is too long for this disk. Choose a shorter one.",
    errno.ENOENT: "its folder is not there any more. Put it back or choose another one, then run the same again.",
    errno.ELOOP: "it is a link, or its links lead in a circle. Remove the link, or choose another name.",
    errno.EINVAL: "this disk does not take such a name. Choose another one.",
    errno.EBUSY: "another program uses it. Close that, or choose another name.",
    errno.ENOTEMPTY: "another program writes there. Close that, or choose another folder.",
    errno.EMFILE: "too many files are open. Close some in this program, or raise the limit (ulimit -n).",
}

_NEXT_STEP[errno.EPERM] = _NEXT_STEP[errno.EACCES]
_NEXT_STEP[errno.EILSEQ] = _NEXT_STEP[errno.EINVAL]
_NEXT_STEP[errno.ENFILE] = _NEXT_STEP[errno.EMFILE]
_NEXT_STEP |= dict.fromkeys((errno.ENODEV, errno.ENXIO, getattr(errno, "ESTALE", errno.EIO)), _NEXT_STEP[errno.EIO])

if hasattr(errno, "EDQUOT"):  # not on Windows
    _NEXT_STEP[errno.EDQUOT] = (
        "your disk quota is used up. Delete something or choose a folder on another disk, then run the same again."
    )

# What writing to a stream meets on a full disk, in a closed pipe, and where it is closed itself.
LOST = (OSError, ValueError)

# At the API's edge nothing is known of where a missing file was to be written.
_AT_THE_EDGE = _NEXT_STEP | {errno.ENOENT: "there is no such file or folder. Check the name."}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about the disk (full, read-only, failed, gone, an impossible name) into one StorageError.

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
        named = error.filename if isinstance(error.filename, str) else None
        temporary = named is None or any(map(is_temporary_name, Path(named).parts))
        if step is None or (error.errno == errno.ENOENT and path.parent.exists() and not temporary):
            raise  # another file is missing, not the place to write
        shown = path if named is None or temporary else Path(named)
        shown = Path(*(part for part in shown.parts if not is_temporary_name(part)))  # as it would have been called
        clear = StorageError(f"Cannot write {shown}: {step}")
        clear.errno = error.errno
        raise clear from error


@contextlib.contextmanager
def named_disk_errors() -> Iterator[None]:
    """Turn every OSError that nothing below has explained into a StorageError with advice; for the API's edge.

    BrokenPipeError passes: it says that the reader of the output has seen enough.
    """
    try:
        yield
    except (StorageError, BrokenPipeError):
        raise
    except OSError as error:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        step = _AT_THE_EDGE.get(error.errno or 0, f"{reason(error)}. Check the name and the disk.")
        clear = StorageError(f"{' and '.join(names) or 'A file'} cannot be used: {step}")
        clear.errno = error.errno
        raise clear from error


@contextlib.contextmanager
def absent_as_storage_error(path: Path) -> Iterator[None]:
    """Turn the error of making something where nothing can be made into a StorageError.

    On a drive that is not there, or in /proc, the system says that the new file or folder does not exist.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"Cannot make {path}: no files can be created there. Choose another folder.") from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents where missing, and return it.

    Raises:
        StorageError: it cannot be created, or a file has its name.
    """
    with storage_errors(path), absent_as_storage_error(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            problem = f"Cannot write into {path}: it is a file, where a folder is needed."
            raise StorageError(f"{problem} Choose another folder.") from error
    return path


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
        StorageError: it does not.
    """
    existing = next((p for p in (folder.absolute(), *folder.absolute().parents) if p.exists()), None)
    if existing is None:
        return
    try:
        free = shutil.disk_usage(existing).free
    except OSError:  # unknown on some network drives; the write itself will fail
        return
    if free < bytes_needed:
        raise StorageError(
            f"{what} needs {readable_size(bytes_needed)}, and the disk that holds {folder} has "
            f"{readable_size(free)} free. Free some space or choose a folder on another disk."
        )


def user_cache() -> Path:
    """Where what can be made again is kept: $GPT2SIMPLE_CACHE, or the system's folder for that; it need not exist."""
    if named := os.environ.get("GPT2SIMPLE_CACHE"):
        return Path(named).expanduser()
    return platformdirs.user_cache_path("gpt2simple", appauthor=False, opinion=False)
