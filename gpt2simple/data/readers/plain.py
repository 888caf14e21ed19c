"""Plain text from a stream of bytes: encodings, byte-order marks, and errors that say where.

Knows neither files' names beyond what a message needs nor documents beyond "the stream is one".
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from gpt2simple.data.documents import TextPart
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import ReadingSettings

_READ_BYTES = 1 << 20
_LONGEST_LINE = 1 << 28  # characters; a packed file of a few kilobytes can hold more than the memory does

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def check_encoding(encoding: str) -> None:
    """Return if Python knows a character encoding of this name.

    Raises:
        SettingsError: it does not.
    """
    try:
        "".encode(encoding)
    except (LookupError, ValueError):  # ValueError: a name that cannot be one, such as "\0"
        raise SettingsError(
            f"encoding is {encoding!r}; expected a character encoding that Python knows, such as 'utf-8', 'cp1252', "
            "'latin-1', 'utf-16' or 'gb18030'."
        ) from None


def marked_encoding(data: bytes, encoding: str) -> tuple[bytes, str]:
    """The byte-order mark at the beginning of a text and the encoding it means; without one, b"" and ``encoding``."""
    return next(((mark, meant) for mark, meant in _MARKS if data.startswith(mark)), (b"", encoding))


def read_plain(name: str, stream: BinaryIO, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document: the whole stream.

    Raises:
        DataError: a byte is not of this encoding; the message names file, place and what to try.
    """
    for text in decoded(name, stream, settings.encoding):
        yield TextPart(text, False)
    yield TextPart("")


def read_lines(name: str, stream: BinaryIO, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document for each line; blank ones are left out, as everywhere.

    Raises:
        DataError: as ``read_plain`` does, or a line is longer than what should be in memory at once.
    """
    for line in decoded_lines(name, stream, settings.encoding):
        yield TextPart(line.removesuffix("\n").removesuffix("\r"))


def decoded(name: str, stream: BinaryIO, encoding: str) -> Iterator[str]:
    """The text of a stream in parts of about 1 MB, a byte-order mark honoured and left out."""
    data = stream.read(_READ_BYTES)
    mark, encoding = marked_encoding(data, encoding)
    check_encoding(encoding)
    decoder = codecs.getincrementaldecoder(encoding)()
    place = len(mark)  # bytes that the decoder has been given
    data = data[len(mark) :] or stream.read(_READ_BYTES)
    while True:
        waiting = len(decoder.getstate()[0])  # the beginning of a character, given before
        try:
            yield decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise _undecodable(name, place - waiting + error.start, error, encoding) from error
        except UnicodeError as error:  # of the whole rather than of a byte: UTF-16 and UTF-32 without a mark
            raise _without_order(name, error, encoding) from error
        if not data:
            return
        place += len(data)
        data = stream.read(_READ_BYTES)


def decoded_whole(name: str, stream: BinaryIO, encoding: str) -> str:
    """The text of a stream as one string.

    Raises:
        DataError: it is longer than what should be in memory at once.
    """
    parts, characters = [], 0
    for text in decoded(name, stream, encoding):
        parts.append(text)
        characters += len(text)
        _require_short(name, "holds a text", characters)
    return "".join(parts)


def decoded_lines(name: str, stream: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of a stream with their ends; only ``\\n`` ends one: JSON strings may hold U+2028, cells a form feed."""
    held: list[str] = []  # the parts of a line that has not ended; joined once, or a long line would be copied often
    characters = 0
    for text in decoded(name, stream, encoding):
        *lines, last = text.split("\n")
        for line in lines:
            yield "".join([*held, line, "\n"])
            held, characters = [], 0
        held.append(last)
        characters += len(last)
        _require_short(name, "has a line", characters)
    if characters:
        yield "".join(held)


def _require_short(name: str, what: str, characters: int) -> None:
    if characters > _LONGEST_LINE:
        raise DataError(
            f"{name} {what} of more than {_LONGEST_LINE:,} characters, which has to be in memory as a whole. Use JSON "
            "Lines (.jsonl) with one document on each line, or give plain text the ending .txt."
        )


def _undecodable(name: str, place: int, error: UnicodeDecodeError, encoding: str) -> DataError:
    if b"\0" in error.object[:4096]:
        return DataError(
            f"{name} is not plain text: it holds zero bytes, and byte {place} is not {encoding}. "
            "Save it as plain text, or give its encoding (encoding='utf-16-le', --encoding utf-16-le)."
        )
    value = error.object[error.start]
    return DataError(
        f"{name}: byte {place} (0x{value:02x}) is not {encoding} ({error.reason}). Give the file's encoding: "
        "encoding='cp1252' (--encoding cp1252) for most Western files from Windows, or save it as UTF-8."
    )


def _without_order(name: str, error: UnicodeError, encoding: str) -> DataError:
    wide = "utf-32" if "32" in encoding else "utf-16"
    return DataError(
        f"{name} is not {encoding} ({error}). A text without a byte-order mark does not show which byte of a character "
        f"comes first, so name it: encoding='{wide}-le' (--encoding {wide}-le), as Windows writes, or '{wide}-be'."
    )
