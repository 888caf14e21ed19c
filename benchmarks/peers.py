"""Other tools, each in a Python and a process of its own that answers one JSON job at a time.

Knows nothing of what the jobs are. A worker's script is its tool's side; see `training_peers/worker.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Peer:
    """How to start one.

    Attributes:
        script: its worker. arguments: of the script.
        python: the environment variable that names its interpreter; None: this one.
        environ: added to its environment.
    """

    script: Path
    arguments: tuple[str, ...] = ()
    python: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> str | None:
        """The Python to run it with, or None where nobody has named one."""
        return sys.executable if self.python is None else os.environ.get(self.python)


class Worker:
    """A peer's process. It computes only while a job of its own is under way."""

    def __init__(self, peer: Peer) -> None:
        interpreter = peer.interpreter
        if interpreter is None:
            raise RuntimeError(f"{peer.python} is not set")
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [interpreter, str(peer.script), *peer.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "BENCH_VERBOSE" in os.environ else subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": str(Path(__file__).parent.parent),
                **peer.environ,
            },
        )
        self.load_seconds = self._answer()["load_seconds"]

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started

    def run(self, **job: Any) -> dict[str, Any]:
        """One job's answer."""
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self._process.args} ended with {self._process.wait()}; BENCH_VERBOSE=1 shows what it says"
            )
        return json.loads(line)


@contextlib.contextmanager
def workers(peers: Mapping[str, Peer]) -> Iterator[dict[str, Worker]]:
    """Running workers by name, ended afterwards."""
    running: dict[str, Worker] = {}
    try:
        for name, peer in peers.items():
            running[name] = Worker(peer)
        yield running
    finally:
        for worker in running.values():
            worker.close()


def available(peers: Mapping[str, Peer], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of the peers that can run here, and of those that cannot; says how to have the latter."""
    can, cannot = [], []
    for name in wanted:
        (can if peers[name].interpreter else cannot).append(name)
    for name in cannot:
        print(f"left out: {name} (set {peers[name].python} to its Python)")
    return can, cannot
