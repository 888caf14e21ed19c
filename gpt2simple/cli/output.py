"""Results of commands on standard output, as JSON or as text."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from gpt2simple.storage.contents import json_text, visible


def show(result: Any, *, as_json: bool) -> None:
    """Print the result of a call, as JSON or as a summary."""
    show_json(result.to_json()) if as_json else show_line(result.summary())


def show_json(value: Any) -> None:
    """Print one JSON value; what is not finite becomes null.

    Raises:
        StorageError: standard output is closed, or its disk cannot be written.
    """
    show_result(json_text(value, indent=2, ascii_only=True))


class JsonList:
    """Prints a JSON list, each entry when it comes, as ``show_json`` prints a whole one; a context that ends it.

    If the work on it fails, the list is ended all the same; nothing is printed where it had no entry.
    """

    def __init__(self) -> None:
        self._separator = "[\n"

    def add(self, value: Any) -> None:
        """Print the next entry. Raises as ``show_json`` does."""
        self._write(self._separator + textwrap.indent(json_text(value, indent=2, ascii_only=True), "  "))
        self._separator = ",\n"

    def __enter__(self) -> JsonList:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._separator == ",\n":
            self._write("\n]\n")
        elif kind is None:
            self._write("[]\n")

    def _write(self, text: str) -> None:
        from gpt2simple.api.console import StandardOutput  # on first use: `--help` does not need it

        StandardOutput()(text)


def show_result(text: str) -> None:
    """Print the lines for which the command was called; raises as ``show_json`` does."""
    from gpt2simple.api.console import StandardOutput  # on first use: `--help` does not need it

    StandardOutput()(f"{text}\n")


def show_line(text: str) -> None:
    """Print a summary, unless standard output is closed, as on Windows without a console."""
    if sys.stdout is not None:
        show_result(visible(text))
