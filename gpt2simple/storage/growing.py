"""A new file that grows by whole parts: whatever happens meanwhile, it holds no half of one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from gpt2simple.storage.faults import absent_as_storage_error, make_folder, storage_errors


class GrowingFile:
    """A text file in UTF-8 that is made here and now, under a name that nothing had. Use it with ``with``.

    A part is in the file when ``append`` returns; one that cannot be written whole is taken back. A file that was given
    none is removed in the end.

    Attributes:
        path: the file. parts: how many it holds.
    """

    def __init__(self, path: Path) -> None:
        """Make the file, and its parent folders where missing.

        Raises:
            FileExistsError: something has that name. StorageError: the disk does not allow it.
        """
        make_folder(path.parent)
        with storage_errors(path), absent_as_storage_error(path):
            # x: two processes that choose one name at the same moment must not both get it.
            self._file = path.open("xb", buffering=0)
        self.path, self.parts, self._bytes = path, 0, 0

    def append(self, text: str) -> None:
        """Write a part to the end.

        Raises:
            StorageError: it cannot be written; the parts before it stay.
        """
        data = text.encode("utf-8")
        with storage_errors(self.path):
            try:
                self._write(data)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._bytes)
                    self._file.seek(self._bytes)
                raise
        self.parts += 1
        self._bytes += len(data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]  # a disk that is nearly full takes a part, then says so

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.parts:
            with contextlib.suppress(OSError):
                self.path.unlink()
