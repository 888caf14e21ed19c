"""Whether a file holds data at all, before a reader trips over what it holds instead.

Knows the three things that lie under a checkpoint's file name without being one: nothing, a Git LFS pointer, and a page
that a failed download left. Knows no format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpt2simple.errors import CheckpointError

_LFS_POINTER = b"version https://git-lfs"


def require_data(path: Path) -> None:
    """Pass if a file exists and may hold data.

    Raises:
        CheckpointError: it is missing, empty, a Git LFS pointer, or a web page.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: without it the weights are incomplete. Copy or download the checkpoint again, "
            "all of its files."
        )
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the data: it was cloned without Git LFS. "
            "Run `git lfs install` and `git lfs pull` in that repository, then try again."
        )
    if not start:
        raise CheckpointError(f"{path} is empty: a copy or download was cut off. Copy or download it again.")
    if start.lstrip().startswith((b"<!", b"<?", b"<html", b"<HTML")):
        raise CheckpointError(
            f"{path} is a web page, not the data: a download went wrong. Delete it and download it again."
        )


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    require_data(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error}). Copy or download it again, or restore it from a backup."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path} holds a JSON {type(value).__name__} where an object was expected. Copy or download it again."
        )
    return value
