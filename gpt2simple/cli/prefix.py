"""The prefix of ``generate``: typed, from a file, or from standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click


def read_prefix(typed: tuple[str, ...], path: Path | None) -> str | list[str]:
    """The prefix that the options give, a list where there are several.

    Args:
        typed: the values of ``--prefix``; ``-`` is read from standard input.
        path: that of ``--prefix-file``; ``-`` likewise.

    Raises:
        UsageError: it cannot be read, or standard input is asked for twice.
    """
    if path is not None:
        name = f"--prefix-file {path}"
        return _read(name, _standard_input if str(path) == "-" else path.read_bytes)
    if typed.count("-") > 1:
        raise click.UsageError(f"--prefix - was given {typed.count('-')} times; standard input can be read once.")
    texts = [_read("--prefix -", _standard_input) if text == "-" else text for text in typed]
    return texts if len(texts) > 1 else "".join(texts)


def _standard_input() -> bytes:
    if sys.stdin is None:  # closed by whoever started this process
        raise OSError("standard input is closed")
    return sys.stdin.buffer.read()


def _read(name: str, read: Callable[[], bytes]) -> str:
    try:
        return _without_last_line_end(read().decode("utf-8-sig"))  # -sig: a byte-order mark is no part of a text
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read ({error}); expected a text in UTF-8.") from None


def _without_last_line_end(text: str) -> str:
    """Editors and ``echo`` end a text with a line end that nobody typed; a model would go on in a new line."""
    return re.sub(r"\r?\n\Z", "", text)
