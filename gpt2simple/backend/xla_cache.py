"""What XLA has compiled for this processor, kept on disk: the next process that needs it compiles nothing.

TensorFlow can write its compiled functions to a folder and read them from there, but it trusts that folder: a torn file
or a full disk fails the computation, and code for another processor can end the process. So the folder that it gets
belongs to one process alone. Before TensorFlow computes, the entries of the store that are whole are linked into it;
when the process ends, what is new there joins the store, under a name that contains its digest.

::

    compiled/<key>/<name>@<digest>.pb                the store, of one TensorFlow on one kind of processor
    compiled/<key>/<our name>.known                  empty: a function that some process has compiled
    compiled/<key>/.tmp-.../entries/<name>.pb        the folder of a running process
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from gpt2simple.backend.cores import usable_cores
from gpt2simple.backend.packages import tensorflow_version
from gpt2simple.backend.xla_flags import option_added
from gpt2simple.storage.disk import user_cache
from gpt2simple.storage.files import sha256_of
from gpt2simple.storage.temporary import remove_leftovers, temporary_name

_SETTING = "GPT2SIMPLE_COMPILE_CACHE"  # a folder, or "off"
_FLAGS = "TF_XLA_FLAGS"
_MOST_BYTES = 256_000_000  # of all stores together
_FREE_BYTES = 100_000_000  # on the disk: far more than a process adds
_TRIED_BYTES = 1 << 20

_folder: _ProcessFolder | None = None


@contextlib.contextmanager
def kept_on_disk(threads: int | None) -> Iterator[None]:
    """Have TensorFlow, which first computes in this block, keep what it compiles for the CPU.

    Nothing is kept where that is switched off, where the user has set up TensorFlow's own cache, and where there is no
    room or no folder that only this user can write.

    Args:
        threads: that TensorFlow was told to compute with, or None; the code may depend on it.
    """
    global _folder
    flags, named = os.environ.get(_FLAGS), os.environ.get(_SETTING)
    # A value that is no list of options is the name of a file with them.
    own = "persistent_cache" in (flags or "") or (flags or "-").lstrip()[:1] != "-"
    if named == "off" or _folder is not None or own:
        yield
        return
    with contextlib.suppress(OSError):
        root = Path(named).expanduser() if named else user_cache() / "compiled"
        _folder = _ProcessFolder.open(root, threads)
    if _folder is None:
        yield
        return
    atexit.register(_folder.close)
    with option_added(_FLAGS, _folder.flags):
        yield


def start_anew() -> bool:
    """After a failure: give TensorFlow an empty folder, on another disk; whether computing again may help."""
    return _folder is not None and _folder.start_anew()


def require_room() -> None:
    """Start anew if the folder cannot be written: before a computation that cannot be repeated."""
    if _folder is not None:
        _folder.require_room()


def is_known(name: str) -> bool:
    """Whether an earlier process has compiled a function of this name, which then is most likely on disk."""
    return _folder is not None and name in _folder.known


def add_known(name: str) -> None:
    """Let later processes know that this one has compiled a function."""
    if _folder is not None:
        _folder.known.add(name)


class _ProcessFolder:
    """The folder that TensorFlow has in this process.

    Attributes:
        flags: that name it to TensorFlow.
        known: names of the functions that were compiled by earlier processes or by this one.
    """

    def __init__(self, store: Path) -> None:
        """Make it, with the whole entries of a store.

        Raises:
            OSError: it cannot be made.
        """
        self._store, self._pid, self._elsewhere, self._lock = store, os.getpid(), False, threading.Lock()
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(temporary_name(store))
            self._entries, self._link = folder / "entries", folder / "link"
            self._entries.mkdir(parents=True)
            for path in sorted(store.glob("*@*.pb")):
                with contextlib.suppress(FileNotFoundError):  # another process has removed it meanwhile
                    self._take(path)
            self._linked = {path.name for path in self._entries.iterdir()}
            self.known = {path.stem for path in store.glob("*.known")}
            try:
                self._link.symlink_to(self._entries, target_is_directory=True)
            except OSError:  # Windows grants that to few
                self._link = self._entries
            self._open = stack.pop_all()
        self.flags = (
            f'--tf_xla_persistent_cache_directory="{self._link}" --tf_xla_persistent_cache_read_only=false '
            "--tf_xla_persistent_cache_device_types=CPU"
        )

    @classmethod
    def open(cls, root: Path, threads: int | None) -> _ProcessFolder | None:
        """The folder of this process under the root of all stores; None where none can be had.

        Raises:
            OSError: it cannot be made.
        """
        key = _key(threads)
        if key is None or '"' in str(root):
            return None
        store = (root / key).absolute()
        for folder in (root, store):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        if not all(map(_is_ours_alone, (root, store))) or not _has_room(store):
            return None
        remove_leftovers(store)
        return cls(store)

    def _take(self, path: Path) -> None:
        """An entry of the store, which is removed from there instead if it is not as it was written."""
        name, _, digest = path.stem.rpartition("@")
        if sha256_of(path) == digest:
            os.link(path, self._entries / f"{name}.pb")
        else:
            path.unlink()

    def start_anew(self) -> bool:
        with self._lock, contextlib.suppress(OSError):
            if not self._elsewhere:
                self._move()
                self._elsewhere = True
            return True
        return False

    def _move(self) -> None:
        if _has_room(self._store):  # so that it was an entry, perhaps of another build, which would fail again
            for path in self._store.glob("*@*.pb"):
                if f"{path.stem.rpartition('@')[0]}.pb" in self._linked:
                    path.unlink(missing_ok=True)
        if self._link == self._entries:
            shutil.rmtree(self._entries, ignore_errors=True)
            self._entries.mkdir(exist_ok=True)
            return
        other = self._open.enter_context(tempfile.TemporaryDirectory(prefix="gpt2simple-", ignore_cleanup_errors=True))
        next_link = self._link.with_name("next")
        next_link.symlink_to(other, target_is_directory=True)
        next_link.replace(self._link)

    def require_room(self) -> None:
        if not self._elsewhere and not _has_room(self._entries):
            self.start_anew()

    def close(self) -> None:
        """Add what is new to the store, and remove the folder."""
        if os.getpid() != self._pid:  # a fork, which does not own it
            return
        with self._open, contextlib.suppress(OSError):
            for path in sorted(self._entries.glob("*.pb")):
                if path.name not in self._linked and not self._elsewhere:
                    path.replace(self._store / f"{path.stem}@{sha256_of(path)}.pb")
            for name in set() if self._elsewhere else self.known:
                (self._store / f"{name}.known").touch()
            _trim(self._store.parent)


def _has_room(folder: Path) -> bool:
    """Whether a folder takes files: a quota, or a disk that is read-only, shows only when one is written."""
    try:
        if shutil.disk_usage(folder).free < _FREE_BYTES:
            return False
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIED_BYTES))
    except OSError:
        return False
    return True


def _trim(root: Path) -> None:
    """Remove the oldest entries of all stores until the others are within bounds."""
    newest_first = sorted(((path.stat(), path) for path in root.glob("*/*@*.pb")), key=lambda x: -x[0].st_mtime)
    kept = 0
    for status, path in newest_first:
        kept += status.st_size
        if kept > _MOST_BYTES:
            path.unlink()
            for known in path.parent.glob("*.known"):  # which of them this was is not told
                known.unlink()


def _is_ours_alone(folder: Path) -> bool:
    """Whether no other user can write there: what lies there is run."""
    if not hasattr(os, "getuid"):  # on Windows a user's folders are closed to others, unless they were opened
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _key(threads: int | None) -> str | None:
    """The name of the store of this TensorFlow, processor and number of threads; None where these are not known."""
    version, processor = tensorflow_version(), _processor()
    if processor is None or version is None:
        return None
    cores = threads or usable_cores()
    settings = [os.environ.get(name) for name in (_FLAGS, "XLA_FLAGS", "TF_NUM_INTRAOP_THREADS")]
    described = repr((version, platform.machine(), processor, cores, settings))
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _processor() -> str | None:
    """What this processor can do, in the system's words: machine code of another may be more than it understands."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "linux":
            lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
            return next((line for line in lines if line.startswith(("flags", "Features"))), None)
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout or None
    return platform.processor() or None if sys.platform == "win32" else None
