"""Standard output and standard error: results, messages, and progress bars.

A result is written whole and at once, or fails with one clear error. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpt2simple.errors import StorageError
from gpt2simple.storage.contents import visible
from gpt2simple.storage.disk import LOST, storage_errors

logger = logging.getLogger(__name__)
BAR_DELAY = 1.0  # seconds of work before a bar appears


class _StderrHandler(logging.Handler):
    """Writes messages to the current sys.stderr, above a running progress bar rather than into it.

    Leaves what a handler of the program shows there to it: no message appears twice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None:  # to None tqdm would prefer stdout, which belongs to results
            return
        if not any(_shows(handler, record) for handler in logging.getLogger("gpt2simple").handlers):
            from tqdm import tqdm  # on first use: `--help` needs none

            with contextlib.suppress(*LOST):
                tqdm.write(visible(self.format(record)), file=sys.stderr)


def _shows(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Whether a handler of the program writes a record to the terminal."""
    stream = getattr(handler, "stream", None)
    return stream is not None and stream in (sys.stdout, sys.stderr) and record.levelno >= handler.level


def show_messages() -> None:
    """Show the package's messages on stderr, unless the program has given the logger "gpt2simple" its own handler."""
    package = logging.getLogger("gpt2simple")
    if not package.handlers:
        package.addHandler(_StderrHandler())
        package.setLevel(package.level or logging.INFO)
        package.propagate = False  # a notebook's own handlers would show each message twice


class _Forgiving:
    """A stream that loses what it cannot write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(*LOST):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(*LOST):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def forgiving_stderr() -> Iterator[None]:
    """Whatever writes to standard error inside the block, none of it ends a command whose results go elsewhere."""
    stream = sys.stderr
    if stream is not None:
        sys.stderr = _Forgiving(stream)
    try:
        yield
    finally:
        with contextlib.suppress(*LOST):
            if stream is not None:
                stream.flush()  # what fails here stays replaced: Python would try again at exit, and change its code
            sys.stderr = stream


@contextlib.contextmanager
def _bar(title: str, *, hidden: bool = False, **how: Any) -> Iterator[Any]:
    """A bar on stderr, in a terminal alone, that appears after a second and leaves nothing behind."""
    from tqdm import tqdm

    disable = True if hidden or sys.stderr is None else None  # None: where it is no terminal
    with tqdm(desc=title, file=sys.stderr, disable=disable, delay=BAR_DELAY, leave=False, **how) as bar:
        yield bar


@contextlib.contextmanager
def reading_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function to call with bytes read and total bytes (None: unknown); in a terminal it shows a bar on stderr.

    The bar appears only if reading takes longer than a second.
    """
    with _bar(title, unit="B", unit_scale=True) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


@contextlib.contextmanager
def counting_bar(title: str, total: int) -> Iterator[Callable[[], object]]:
    """A function to call when one of several results is finished; in a terminal it shows a bar on stderr.

    There is none for a single result, nor where results go to a terminal too, which the bar would tear apart.
    """
    results = sys.stdout is not None and not getattr(sys.stdout, "closed", False) and _is_terminal(sys.stdout)
    with _bar(title, hidden=results or total < 2, total=total) as bar:
        yield bar.update


def _is_terminal(stream: Any) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


class StandardOutput:
    """Writes text to the current sys.stdout; characters missing in its encoding become codes such as \\u20ac."""

    def __init__(self) -> None:
        self._codes_explained = False

    def __call__(self, text: str) -> None:
        """Write and flush some text.

        Raises:
            StorageError: it is closed, or its disk cannot be written. BrokenPipeError: the reader has closed the pipe.
        """
        # None where whoever started this process closed it; files that stand in for it may lack `closed`.
        if sys.stdout is None or getattr(sys.stdout, "closed", False):
            raise StorageError("Cannot write standard output: it is closed. Open it, or write to a file instead.")
        with storage_errors(Path("standard output")):
            try:
                sys.stdout.write(text)
            except UnicodeEncodeError:  # before anything was written
                self._write_codes(text, sys.stdout.encoding)
            sys.stdout.flush()

    def _write_codes(self, text: str, encoding: str) -> None:
        if not self._codes_explained:
            self._codes_explained = True
            logger.info(
                f"Standard output is encoded in {encoding}, which lacks some characters of the text: they are shown as "
                "codes such as \\u20ac. Set PYTHONIOENCODING=utf-8 to see them."
            )
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
