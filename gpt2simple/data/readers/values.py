"""Single values of a record, whatever they are for: what is missing, and bytes that are text."""

from __future__ import annotations

from typing import Any

from gpt2simple.errors import DataError

_MISSING = ("NAType", "NaTType")  # what pandas has in empty cells beside NaN


def is_missing(value: Any) -> bool:
    """Whether a value stands for none, NaN apart."""
    return value is None or type(value).__name__ in _MISSING


def bytes_as_text(value: bytes, what: str, where: str) -> str:
    """The text that bytes hold.

    Args:
        what, where: the value and its place, for messages.

    Raises:
        DataError: they are not UTF-8.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {what} holds bytes that are not UTF-8 ({error}). Pass strings.") from error
