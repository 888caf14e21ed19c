"""Sizes for people, and whether the disk has room."""

from __future__ import annotations

import shutil
from pathlib import Path

from gpt2simple.errors import StorageError


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
