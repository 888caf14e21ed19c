"""Results of commands on standard output, as JSON or as text."""

from __future__ import annotations

import sys
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


def show_result(text: str) -> None:
    """Print the lines for which the command was called; raises as ``show_json`` does."""
    from gpt2simple.api.console import StandardOutput  # on first use: `--help` does not need it

    StandardOutput()(f"{text}\n")


def show_line(text: str) -> None:
    """Print a summary, unless standard output is closed, as on Windows without a console."""
    if sys.stdout is not None:
        show_result(visible(text))
