"""Results of commands on standard output: as JSON, or as lines for people."""

from __future__ import annotations

import json
import sys
from typing import Any

from gpt2simple.api.console import StandardOutput


def show(result: Any, *, as_json: bool) -> None:
    """The result of a call: as JSON, or as a summary for people."""
    show_json(result.to_json()) if as_json else show_line(result.summary())


def show_json(value: Any) -> None:
    """One JSON value on standard output, readable by programs and people.

    Raises:
        StorageError: that is closed, or goes to a disk that takes no more.
    """
    show_result(json.dumps(value, indent=2, ensure_ascii=True))


def show_result(text: str) -> None:
    """A line on standard output, or several, for which the command was called; raises as ``show_json`` does."""
    StandardOutput()(f"{text}\n")


def show_line(text: str) -> None:
    """A line on standard output that says how it went: where that is closed, as on Windows without a console, none."""
    if sys.stdout is not None:
        show_result(text)
