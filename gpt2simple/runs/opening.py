"""Taking a run for writing: its folder made, locked and in order; and gone again where nothing was begun in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpt2simple.runs.directory import RunDirectory
from gpt2simple.runs.folder import Notify
from gpt2simple.runs.layout import LOCK_FILE, LOCK_OWNER_FILE
from gpt2simple.storage import make_folder


@contextlib.contextmanager
def locked_run(path: Path, notify: Notify) -> Iterator[RunDirectory]:
    """The run of a folder, locked and repaired during the block.

    A folder that is new, and in which the block began no run (the text could not be read, say), is removed.

    Raises:
        RunLockedError: another process is writing the run. StorageError: the folder cannot be made.
    """
    is_new = not path.exists()
    make_folder(path)
    run = RunDirectory(path, notify)
    try:
        with run.lock():
            if run.exists:
                run.repair()
            yield run
    finally:
        if is_new and not run.exists:
            _discard_empty(path)


def _discard_empty(path: Path) -> None:
    if all(entry.name in (LOCK_FILE, LOCK_OWNER_FILE) for entry in path.iterdir()):
        with contextlib.suppress(OSError):  # Windows, or another process that has just begun here
            (path / LOCK_FILE).unlink(missing_ok=True)
            path.rmdir()
