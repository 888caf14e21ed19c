"""Where generated texts go: new files, and the lines between samples. Knows no session and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gpt2simple.errors import SettingsError
from gpt2simple.storage import GrowingFile


def new_file(path: Path) -> GrowingFile:
    """A file for samples under a name that the user chose.

    Raises:
        SettingsError: something has that name. StorageError: the file cannot be made.
    """
    try:
        return GrowingFile(path)
    except FileExistsError:
        raise SettingsError(
            f"{path} exists, and is not overwritten. Name another destination_path, or move it away."
        ) from None


def new_file_in(folder: Path) -> GrowingFile:
    """A file for samples in a folder, under a name that says when and that no file has, in any process.

    Raises:
        StorageError: the file cannot be made.
    """
    stem, number = f"gpt2simple_{datetime.now():%Y%m%d_%H%M%S}", 0
    while True:
        try:
            return GrowingFile(folder / (f"{stem}_{number}.txt" if number else f"{stem}.txt"))
        except FileExistsError:
            number += 1


def write_samples(texts: Sequence[str], delim: str, file: GrowingFile) -> None:
    """Write texts to a file, the delimiter behind each where there are several."""
    for text in texts:
        file.append(f"{text}\n{delim if len(texts) > 1 else ''}")
