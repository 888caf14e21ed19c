"""Whether a file of a model folder holds its data at all, and reading the small ones.

Knows what may lie under a file's name instead: nothing, a Git LFS pointer, or a web page that a failed download left.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from gpt2simple.errors import CheckpointError
from gpt2simple.storage.contents import content_errors, json_object, quoted, reason

_LFS_POINTER = b"version https://git-lfs"
_PAGE_STARTS = (b"<!", b"<?", b"<html", b"<error")


@contextmanager
def checkpoint_errors(path: Path) -> Iterator[None]:
    """Turn whatever a file or folder of a model may cause inside the block into one CheckpointError."""

    def clear(reason: str, error: Exception) -> CheckpointError:
        if isinstance(error, OSError):
            return CheckpointError(f"{path} cannot be read: {reason}. Check the files and their permissions.")
        return CheckpointError(f"{path} cannot be read ({reason}). Copy or download it again.")

    with content_errors(clear):
        yield


def open_data(path: Path) -> BufferedReader:
    """A file that exists and may hold data, open for reading.

    Raises:
        CheckpointError: it is missing, empty, a Git LFS pointer, or a web page.
    """
    try:
        file = path.open("rb")  # not after a look whether it is there: it may vanish in between
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise CheckpointError(
            f"{path} is missing: without it the weights are incomplete. Copy or download the checkpoint again, "
            "all of its files."
        ) from error
    try:
        _require_data(path, file.read(len(_LFS_POINTER)))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def require_data(path: Path) -> None:
    """Check a file as ``open_data`` does."""
    open_data(path).close()


def _require_data(path: Path, start: bytes) -> None:
    if start == _LFS_POINTER:
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the data: it was cloned without Git LFS. "
            "Run `git lfs install` and `git lfs pull` in that repository, then try again."
        )
    if not start:
        raise CheckpointError(f"{path} is empty: a copy or download was cut off. Copy or download it again.")
    if is_page(start):
        raise CheckpointError(
            f"{path} is a web page, not the data: a download went wrong. Delete it and download it again."
        )


def is_page(first_bytes: bytes) -> bool:
    """Whether data begins as a web page or an XML error text does."""
    # Azure's errors begin with a byte-order mark.
    return first_bytes.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_PAGE_STARTS)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        CheckpointError: the file is missing, holds no data, or is not UTF-8.
    """
    with open_data(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text (byte {error.start}). Copy or download it again.") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    text = read_text(path)
    try:
        return json_object(text)
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a valid JSON object ({reason(error)}); it begins with {quoted(text[:40])}. "
            "Copy or download it again, or restore it from a backup."
        ) from error
