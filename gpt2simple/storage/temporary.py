"""Temporary names beside their targets: made, recognised, and removed when their process is gone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

# A temporary name of another machine (a shared drive) is dead when nothing has touched it for this long.
_FOREIGN_LEFTOVER_SECONDS = 24 * 3600
_TEMPORARY = re.compile(r"\.tmp-(?P<pid>\d+)-(?P<host>[0-9a-f]{6})-[0-9a-f]{8}")
_in_use: set[str] = set()  # temporary names of this process: its pid alone may be that of a dead one (containers)


@contextlib.contextmanager
def temporary_name(folder: Path) -> Iterator[Path]:
    """A free name in ``folder``; whatever still has it when the block ends is removed."""
    pid = os.getpid()
    name = f".tmp-{pid}-{_host()}-{secrets.token_hex(4)}"
    _in_use.add(name)
    try:
        yield folder / name
    finally:
        if os.getpid() == pid:  # not in a fork, which ends such blocks too
            remove(folder / name)
        _in_use.discard(name)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _may_be_in_use(path: Path, *, pid: int, host: str) -> bool:
    if host != _host():
        try:
            return time.time() - path.stat().st_mtime < _FOREIGN_LEFTOVER_SECONDS
        except OSError:
            return False
    if pid == os.getpid():
        return path.name in _in_use
    import psutil  # here: most commands never meet a leftover

    return bool(psutil.pid_exists(pid))


def remove(path: Path) -> None:
    """Remove a file or folder if it is there; what the system does not let go of now is left for remove_leftovers."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files and folders that processes which no longer run left in ``folder``.

    Those of running processes stay, and those of other machines until a day has passed.

    Returns:
        What was removed.
    """
    removed = []
    for path in sorted(folder.glob(".tmp-*")) if folder.is_dir() else []:
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _may_be_in_use(path, pid=int(match["pid"]), host=match["host"]):
            remove(path)
            removed.append(path)
    return removed


def is_temporary_name(name: str) -> bool:
    """Whether a file's name was made by ``temporary_name``."""
    return _TEMPORARY.fullmatch(name) is not None
