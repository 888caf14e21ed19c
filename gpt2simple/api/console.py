"""Standard output and standard error: messages, a bar while a text is read, and results.

A result is written whole and at once, or fails with one clear error. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from gpt2simple.errors import StorageError
from gpt2simple.storage.disk import storage_errors

logger = logging.getLogger(__name__)


class _StderrHandler(logging.Handler):
    """Messages on stderr as it is at that moment, above a running progress bar rather than into it."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:  # to None tqdm would prefer stdout, which belongs to results
            from tqdm import tqdm  # on first use: `--help` needs none

            tqdm.write(self.format(record), file=sys.stderr)


def show_messages() -> None:
    """Show the package's messages on stderr, unless the program has given the logger "gpt2simple" its own handler."""
    package = logging.getLogger("gpt2simple")
    if not package.handlers:
        package.addHandler(_StderrHandler())
        package.setLevel(package.level or logging.INFO)
        package.propagate = False  # a notebook's own handlers would show each message twice


@contextlib.contextmanager
def reading_bar(title: str, *, delay: float = 1.0) -> Iterator[Callable[[int, int | None], None]]:
    """A function to call with bytes read and all bytes (None: unknown); in a terminal it moves a bar on stderr.

    What takes less than ``delay`` seconds shows none.
    """
    from tqdm import tqdm

    bar = tqdm(
        desc=title,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=True if sys.stderr is None else None,  # None: where it is no terminal
        delay=delay,
        leave=False,
    )

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield show


class StandardOutput:
    """Writes text to standard output, as it is at that moment; what its encoding lacks as codes such as \\u20ac."""

    def __init__(self) -> None:
        self._codes_explained = False

    def __call__(self, text: str) -> None:
        """Write some text and wait until the system has taken it.

        Raises:
            StorageError: it is closed, or goes to a disk that takes no more. BrokenPipeError: nobody reads any more.
        """
        # None where whoever started this process closed it; files that stand in for it may lack `closed`.
        if sys.stdout is None or getattr(sys.stdout, "closed", False):
            raise StorageError("Cannot write standard output: it is closed. Open it, or have the text put into a file.")
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
                f"Standard output takes {encoding}, which lacks some characters of the text: they are shown as codes "
                "such as \\u20ac. Set PYTHONIOENCODING=utf-8 to see them."
            )
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
