"""Standard output for results; standard error for messages and the progress bar of reading a text.

A result is written and flushed at once, or fails with one clear error.
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
_SECONDS_BEFORE_A_BAR = 1.0


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, above a running progress bar instead of into it."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:  # with None tqdm would use stdout, which is for results
            from tqdm import tqdm  # on first use: `--help` does not need it

            tqdm.write(self.format(record), file=sys.stderr)


def show_messages() -> None:
    """Show the package's messages on stderr, unless the program has given the logger "gpt2simple" its own handler."""
    package = logging.getLogger("gpt2simple")
    if not package.handlers:
        package.addHandler(_StderrHandler())
        package.setLevel(package.level or logging.INFO)
        package.propagate = False  # a notebook's own handlers would show each message twice


@contextlib.contextmanager
def reading_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function to call with bytes read and total bytes (None: unknown); in a terminal it updates a bar on stderr.

    The bar appears after one second.
    """
    from tqdm import tqdm

    bar = tqdm(
        desc=title,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=True if sys.stderr is None else None,  # None: disabled unless stderr is a terminal
        delay=_SECONDS_BEFORE_A_BAR,
        leave=False,
    )

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield show


class StandardOutput:
    """Writes text to the current `sys.stdout`; characters that its encoding lacks become codes such as \\u20ac."""

    def __init__(self) -> None:
        self._codes_explained = False

    def __call__(self, text: str) -> None:
        """Write and flush the text.

        Raises:
            StorageError: standard output is closed, or its disk is full. BrokenPipeError: the reader has gone.
        """
        # None if the parent process closed it; objects that replace it may lack `closed`.
        if sys.stdout is None or getattr(sys.stdout, "closed", False):
            raise StorageError("Cannot write standard output: it is closed. Open it, or write the text to a file.")
        with storage_errors(Path("standard output")):
            try:
                sys.stdout.write(text)
            except UnicodeEncodeError:  # nothing has been written yet
                self._write_codes(text, sys.stdout.encoding)
            sys.stdout.flush()

    def _write_codes(self, text: str, encoding: str) -> None:
        if not self._codes_explained:
            self._codes_explained = True
            logger.info(
                f"Standard output uses {encoding}, which lacks some characters of the text; they are shown as codes "
                "such as \\u20ac. Set PYTHONIOENCODING=utf-8 to see them."
            )
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
