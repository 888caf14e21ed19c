"""Text on standard output: out at once and whole, or one clear error.

Knows nothing of what is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from gpt2simple.errors import StorageError
from gpt2simple.storage import storage_errors


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
