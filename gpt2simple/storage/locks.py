"""Locks between processes, by a lock file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock

from gpt2simple.errors import Gpt2SimpleError, RunLockedError
from gpt2simple.storage.disk import make_folder, storage_errors

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(
    path: Path, busy_message: str, error: type[Gpt2SimpleError] = RunLockedError, wait_seconds: float = 0.0
) -> Iterator[None]:
    """Hold the lock file ``path`` during the block, against other processes and other holders in this one.

    The lock is released when the process ends, however it ends; the (empty) file may stay.

    Args:
        path: the lock file; missing parent folders are made.
        busy_message: the message of the error when it is held elsewhere.
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
            f"The disk that holds {path} does not support locks: make sure no other process writes there.", stacklevel=3
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def wait_for_lock(path: Path, busy_message: str) -> Iterator[None]:
    """Like ``locked``, but wait for the other holder, however long it takes; a message says so once."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(path, busy_message))
        except RunLockedError:
            logger.info(f"{busy_message} Waiting for it.")
            held.enter_context(locked(path, busy_message, wait_seconds=-1))
        yield
