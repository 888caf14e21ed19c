"""Standard output and standard error: messages, a bar while a text is read, and results.

A result is written whole and at once, or fails with one clear error. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from gpt2simple.errors import StorageError
from gpt2simple.storage.disk import storage_errors

_SECONDS_BEFORE_A_BAR = 1.0


def tell(text: str) -> None:
    """A remark for the user on stderr, above a running progress bar rather than into it; where that is closed, none."""
    if sys.stderr is not None:  # to None tqdm would prefer stdout, which belongs to results
        tqdm.write(text, file=sys.stderr)


@contextlib.contextmanager
def reading_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function to call with bytes read and all bytes (None: unknown); in a terminal it moves a bar on stderr.

    What takes less than a second shows none.
    """
    bar = tqdm(
        desc=title,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=True if sys.stderr is None else None,  # None: where it is no terminal
        delay=_SECONDS_BEFORE_A_BAR,
        leave=False,
    )

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield show


class StandardOutput:
    """Writes text to standard output, as it is at that moment; what its encoding lacks as codes such as \\u20ac.

    Args:
        notify: is told, once, that there are such codes.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._said = False

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
        if not self._said:
            self._said = True
            self._notify(
                f"Standard output takes {encoding}, which lacks some characters of the text: they are shown as codes "
                "such as \\u20ac. Set PYTHONIOENCODING=utf-8 to see them."
            )
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
