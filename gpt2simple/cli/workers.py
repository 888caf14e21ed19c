"""``--workers``: a command in several processes of this machine that train together.

The command runs again in each of them, with a TF_CONFIG of its own. The first is the chief, whose output is shown. The
others' output is shown where one of them fails. All get the signals that this process gets, and end when it ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click

from gpt2simple.backend.cluster import VARIABLE, Cluster, local_addresses
from gpt2simple.backend.cores import usable_cores
from gpt2simple.cli.errors import arguments_of
from gpt2simple.cli.help import SettingOption
from gpt2simple.cli.options import CommandT
from gpt2simple.settings.session import PLACE, STRATEGIES

_MARK = "GPT2SIMPLE_WORKER"  # in the environment of a process that was started here: its threads
_ALLOWED = ("auto", "multiworker")
_PAUSE_SECONDS = 0.1
_LAST_LINES = 10
_KILL_SECONDS = 5.0  # from the last signal to the end
# For the others to end once one has: one that waits for a lost one notices within 30 s, and then the chief saves, which
# takes minutes where the model is large.
_OTHERS_SECONDS = 300.0


def workers_option(command: CommandT) -> CommandT:
    """Add ``--workers`` to a command that trains; stands directly above it."""

    @functools.wraps(command)
    def with_workers(workers: int | None, *, settings: dict[str, Any], **parameters: Any) -> Any:
        if (threads := os.environ.get(_MARK)) is not None:
            end_with_parent(sys.stdin)
            settings.setdefault("threads", int(threads))
            settings.setdefault("strategy", "multiworker")
        elif workers is not None:
            _require_possible(workers, settings, parameters["dataset"])
            if workers > 1:
                context = click.get_current_context()
                again = [sys.executable, "-P", "-m", "gpt2simple", *arguments_of(context)]
                context.exit(run_in_processes(again, workers, threads=settings.get("threads")))
        return command(settings=settings, **parameters)

    option = click.option(
        "--workers",
        cls=SettingOption,
        group=PLACE,
        common=False,
        type=click.IntRange(min=1),
        help="Train in this many processes of this machine together; for several machines see docs/several.md.",
    )
    return option(with_workers)  # type: ignore[return-value]


def _require_possible(workers: int, settings: dict[str, Any], dataset: Any) -> None:
    """Raise UsageError for what excludes ``--workers``."""
    strategy = settings.get("strategy", STRATEGIES[0])
    if strategy not in _ALLOWED:
        raise click.UsageError(
            f"--workers {workers} starts workers, and --strategy {strategy} uses none; leave out one of the two."
        )
    if os.environ.get(VARIABLE):
        raise click.UsageError(
            f"--workers {workers} starts workers on this machine, and {VARIABLE} in the environment names others; "
            "leave out the option to train with those, or unset the variable."
        )
    if workers > 1 and "-" in ((dataset,) if isinstance(dataset, str) else dataset):
        raise click.UsageError("--workers reads the text once in each process, and standard input - can be read once. "
                               "Write the text to a file.")  # fmt: skip


def run_in_processes(command: Sequence[str], count: int, *, threads: int | None) -> int:
    """Run a command as several workers and return the exit code of the first that failed, else 0.

    Args:
        command: a program and its arguments. threads: of each process; None: an equal part of all cores.
    """
    addresses = local_addresses(count)
    own = threads or max((usable_cores() or 1) // count, 1)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(command, addresses, number, own).running()) for number in range(count)]
        stack.enter_context(_signals_passed_on(workers))
        failed = _wait_for(workers)
        return 0 if failed is None else _told(failed, workers[0])


class _Worker:
    """A process; its output is the terminal's for the chief, else a file's."""

    def __init__(self, command: Sequence[str], addresses: tuple[str, ...], number: int, threads: int) -> None:
        self.number, self.address, self._command = number, addresses[number], list(command)
        self._received = set[int]()
        config = Cluster(addresses, number).to_json()
        package = str(Path(__file__).resolve().parents[2])  # python -P does not look into the current folder
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        self._environment = os.environ | {VARIABLE: config, _MARK: str(threads), "PYTHONPATH": path}

    @contextlib.contextmanager
    def running(self) -> Iterator[_Worker]:
        """Start it, and see that it has ended when the block ends."""
        with contextlib.ExitStack() as stack:
            self._output = None if self.number == 0 else stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,  # which closes when this process ends, by whatever
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,  # Ctrl-C in the terminal reaches it through here alone, once
            )
            try:
                yield self
            finally:
                if self.code is None:
                    self.kill()
                stack.callback(self._process.__exit__, None, None, None)

    @property
    def code(self) -> int | None:
        """The exit code as shells tell it; None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def killed_by(self) -> int | None:
        """The signal that ended it, if it came from elsewhere."""
        code = self._process.returncode or 0
        return -code if code < 0 and -code not in self._received else None

    def pass_on(self, number: int) -> None:
        """Send it a signal."""
        self._received.add(number)
        with contextlib.suppress(OSError):
            self._process.send_signal(number) if os.name == "posix" else self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def last_lines(self) -> list[str]:
        """The end of its output."""
        if self._output is None:
            return []
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:]


@contextlib.contextmanager
def _signals_passed_on(workers: Sequence[_Worker]) -> Iterator[None]:
    def handle(number: int, _frame: FrameType | None) -> None:
        for worker in workers:
            worker.pass_on(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _wait_for(workers: Sequence[_Worker]) -> _Worker | None:
    """Wait for all; those that do not end after another has ended are killed. The first that failed."""
    failed, limit = None, None
    while any(worker.code is None for worker in workers):
        ended = [worker for worker in workers if worker.code is not None]
        failed = failed or next((worker for worker in ended if worker.code), None)
        if limit is None and (failed is not None or workers[0] in ended):
            limit = time.monotonic() + _OTHERS_SECONDS
        if limit is not None and time.monotonic() > limit:
            _end([worker for worker in workers if worker.code is None])
        time.sleep(_PAUSE_SECONDS)
    return failed or next((worker for worker in workers if worker.code), None)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.pass_on(signal.SIGTERM)
    limit = time.monotonic() + _KILL_SECONDS
    while any(worker.code is None for worker in workers) and time.monotonic() < limit:
        time.sleep(_PAUSE_SECONDS)
    for worker in workers:
        if worker.code is None:
            worker.kill()


def _told(failed: _Worker, chief: _Worker) -> int:
    """Say why a worker failed, unless the chief has said it; its exit code."""
    code = failed.code or 0
    if failed is chief and chief.killed_by is not None:
        click.echo(
            f"Worker 0 ({chief.address}), the chief, was killed by signal {chief.killed_by}. To continue: run the same "
            "command again.",
            err=True,
        )
    if failed is not chief and not chief.code == code == 2:  # incorrect usage, the same for all
        lines = failed.last_lines()
        told = "It wrote nothing." if not lines else f"The last {len(lines)} lines that it wrote:"
        click.echo(f"Worker {failed.number} ({failed.address}) ended with exit code {code}. {told}", err=True)
        for line in lines:
            click.echo(f"  {line}", err=True)
    return code


def end_with_parent(stream: IO[Any] | None) -> None:
    """End this process, as SIGTERM does, once the process that started it has ended, which closes a stream."""

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while stream is not None and os.read(stream.fileno(), 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)  # not raise_signal, which would leave the main thread waiting

    threading.Thread(target=watch, name="parent", daemon=True).start()
