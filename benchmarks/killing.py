"""Processes that are killed: copies of one that has imported TensorFlow, so that each starts in milliseconds."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def warm_up() -> None:
    """Import all that the copies need; nothing is computed here, which no copy would survive."""
    import gpt2simple.api.compare
    import gpt2simple.api.report
    import gpt2simple.cli.commands
    import gpt2simple.training.trainer  # noqa: F401
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.gpt2.container import why_not_transformers

    assert tf.function  # loads it
    why_not_transformers()  # and transformers


class Copy:
    """A copy of this process that does some work and ends.

    Attributes:
        status: its exit code, -9 where it was killed with signal 9; None while it runs.
    """

    def __init__(self, work: Callable[[], Any], said: Path) -> None:
        """Begin. What it says goes into the file ``said``."""
        sys.stdout.flush()
        told, tell = os.pipe()
        self._pid = os.fork()
        self.status: int | None = None
        if self._pid == 0:
            _work(work, said, tell)
        os.close(tell)
        os.read(told, 1)  # from here on signals meet the work
        os.close(told)

    def poll(self) -> int | None:
        """Its status."""
        if self.status is None:
            found, status = os.waitpid(self._pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if found else None
        return self.status

    def wait(self, at_most_seconds: float = 600.0) -> int:
        """Its status once it has ended."""
        deadline = time.monotonic() + at_most_seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"process {self._pid} did not end in {at_most_seconds:.0f} s")
            time.sleep(0.005)
        assert self.status is not None
        return self.status

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self._pid, number)


def _work(work: Callable[[], Any], said: Path, tell: int) -> None:
    code = 1
    try:
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        atexit._clear()  # what this process is to do at its end would remove the folders of the one that it copies
        # A process in the background of a script has inherited that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.write(tell, b".")
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
