"""Reading what may be damaged: every error as one of ours, JSON that raises nothing but ValueError, short quotations.
And what is written or shown of it: JSON, and text without characters that a terminal or browser would obey.

A file comes from anywhere. Where a part of the package opens one, it wraps the reading in ``content_errors``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt2simple.errors import Gpt2SimpleError

_MOST_LEVELS = 100  # of nested lists and objects: ours have 5, and what walks through a value may be recursive
_LONGEST_REASON = 160  # characters


@contextmanager
def content_errors(clear: Callable[[str, Exception], Gpt2SimpleError]) -> Iterator[None]:
    """Turn whatever a file's content causes inside the block into one of our errors; our own pass unchanged.

    Args:
        clear: makes the error from a short reason and what was raised.
    """
    try:
        yield
    except Gpt2SimpleError:
        raise
    except Exception as error:  # parsers raise what they like: NotImplementedError, RecursionError, TokenError ...
        raise clear(reason(error), error) from error


def reason(error: Exception) -> str:
    """What an error says, in one line of at most 160 characters; its type where that is needed to understand it."""
    says = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(says[: 4 * _LONGEST_REASON].split())
    if not text or isinstance(error, (LookupError, MemoryError)):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


class _Quote(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 200:  # Python refuses to write out very long ones
            return f"a number of {x.bit_length():,} bits"
        return super().repr_int(x, level)


_QUOTE = _Quote()
_QUOTE.maxstring = _QUOTE.maxother = _QUOTE.maxlong = 60
_QUOTE.maxlevel = 2


def quoted(value: Any) -> str:
    """A value from a file or a caller for a message, however long or deep it is."""
    text = _QUOTE.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def as_name(text: str) -> str:
    """A name of the user's for a list or table: as it is where it is short and in one line, or else quoted."""
    return text if text.isprintable() and len(text) <= 60 else quoted(text)


# What a terminal or browser obeys or leaves out: control characters (but not tab and line feed), line and paragraph
# separators, marks, embeddings and isolates that set the direction, halves of surrogate pairs (which no file can hold).
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]"
)


def visible(text: str) -> str:
    """A text to look at, with what would not show, such as NUL or U+202E, written as in Python source."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def counted(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun, "1 copy" or "2,000 copies"; ``nouns``: the plural where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def parse_json(data: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested deeper than 100 levels.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # Counting is quick, and there are seldom so many.
    opened = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    if opened > _MOST_LEVELS and _is_deep(value):
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_LEVELS + 1):
        nodes = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list))]
        level = [child for node in nodes for child in node]
        if not level:
            return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of UTF-8.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, holds something else than an object, or text that UTF-8 cannot hold.
    """
    return json_object(path.read_bytes().decode("utf-8"))


def json_object(text: str) -> dict[str, Any]:
    """The object of a JSON text. Raises ValueError as ``read_json`` does."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__} where an object was expected")
    if "\\ud" in text.lower():  # perhaps half a surrogate pair, which could be neither printed nor written
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it holds half a surrogate pair, which is not a character") from None
    return value


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A value as JSON, with null in place of NaN and infinity, which JSON does not have.

    Halves of surrogate pairs, as names of files have for bytes that are no UTF-8, become ``?`` unless ``ascii_only``.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def json_digest(value: Any) -> str:
    """The sha256 of a JSON value, as 64 hexadecimal digits; the order of an object's keys makes no difference."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """A JSON value with null in place of NaN and infinity."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
