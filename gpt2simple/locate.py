"""Where a model lies: a known size, the built-in one, or a folder of the user's.

Knows names and folders; not what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpt2simple.download import download_gpt2
from gpt2simple.errors import SettingsError
from gpt2simple.registry import resolve


def model_folder(model_name: str, model_dir: Path, notify: Callable[[str], None]) -> Path:
    """The folder of a model, downloaded first if it is a known size that is not there.

    Args:
        model_name: a known name, the name of a folder in ``model_dir``, or the path of a folder.

    Raises:
        SettingsError: it is none of these.
        DownloadError: it could not be fetched.
    """
    try:
        resolve(model_name)
    except SettingsError:
        for folder in (model_dir / model_name, Path(model_name)):
            if folder.is_dir():
                return folder
        raise
    return download_gpt2(model_name, model_dir, notify=notify)


def canonical_name(model_name: str) -> str:
    """One spelling for each known model: "gpt2" and "117M" are "124M"; other names stay as they are."""
    try:
        return resolve(model_name).name
    except SettingsError:
        return model_name
