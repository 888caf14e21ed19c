"""Processes that train together on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from gpt2simple.backend.cluster import Cluster, local_addresses
from tests.helpers.paths import ROOT

LIMIT_SECONDS = 120  # for whatever should happen


class Worker:
    """A process with a TF_CONFIG of its own, and what it has written."""

    def __init__(self, command: Sequence[str], addresses: Sequence[str], index: int, **environment: str) -> None:
        config = Cluster(tuple(addresses), index).to_json()
        self.name = f"orker {index} ({addresses[index]})"
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | {"TF_CONFIG": config, "PYTHONPATH": str(ROOT)} | environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=target.extend, args=(stream,), daemon=True)
            for target, stream in ((self.lines, self.process.stdout), (self.errors, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, start: str) -> None:
        """Wait for a line that starts so."""
        limit = time.monotonic() + LIMIT_SECONDS
        while not any(line.startswith(start) for line in self.lines):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"no line {start!r}: {self.lines} {self.errors}")
            time.sleep(0.01)

    def end(self) -> int:
        """The exit code, once it has ended by itself."""
        code = self.process.wait(LIMIT_SECONDS)
        for reader in self._readers:
            reader.join()
        return code

    @property
    def said(self) -> list[str]:
        """The errors that it told."""
        return [line.strip() for line in self.errors if line.startswith(("Error: ", "Traceback"))]


@contextlib.contextmanager
def workers(count: int, command: Sequence[str], present: Sequence[int] | None = None) -> Iterator[list[Worker]]:
    """Workers that run a command of Python; those that are present, else all."""
    addresses = local_addresses(count)
    started = [Worker(command, addresses, index) for index in (range(count) if present is None else present)]
    try:
        yield started
    finally:
        for worker in started:
            worker.process.kill()
            worker.end()
