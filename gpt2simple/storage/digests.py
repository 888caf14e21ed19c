"""The sha256 of files, read or being written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO


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
