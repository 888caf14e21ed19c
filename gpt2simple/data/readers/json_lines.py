"""JSON and JSON Lines: each line, or each entry of a list, is a document.

`fields` chooses the key that holds the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from gpt2simple.data.documents import TextPart
from gpt2simple.data.readers.fields import RecordChooser, record_chooser
from gpt2simple.data.readers.plain import decoded_lines, decoded_whole
from gpt2simple.errors import DataError
from gpt2simple.settings.fields import is_text
from gpt2simple.settings.text import ReadingSettings
from gpt2simple.storage.contents import parse_json, quoted


def read_json_lines(name: str, stream: BinaryIO, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document for each line: a string, or an object of which a key holds the text.

    Raises:
        DataError: a line is not JSON, or has no such key.
    """
    chooser = record_chooser(name, settings)
    for number, line in enumerate(decoded_lines(name, stream, settings.encoding), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line.rstrip("\n"))
        except ValueError as error:
            raise DataError(
                f"{name}, line {number}: this is not JSON ({error}). A .jsonl file has one JSON value on each line; "
                "give plain text the ending .txt, or format='text' (--format text)."
            ) from error
        yield from _documents(name, value, chooser, f"line {number}")
    chooser.finish()


def read_json(name: str, stream: BinaryIO, settings: ReadingSettings) -> Iterator[TextPart]:
    """One document for each entry of a list, or one for a single string or object. Reads the whole file into memory.

    An object that holds nothing but one list is read as that list; of others that hold lists, the texts have to be
    named. Lists in the list are read as if they were one. Lines of JSON are understood too.

    Raises:
        DataError: the file is not JSON, or an entry has no such key.
    """
    text = decoded_whole(name, stream, settings.encoding)
    chooser = record_chooser(name, settings)
    try:
        values = parse_json(text)
    except ValueError as error:
        values = _as_lines(text)
        if values is None:
            raise DataError(
                f"{name} is not JSON ({error}). Repair it, or give plain text the ending .txt, or format='text' "
                "(--format text)."
            ) from error
    if isinstance(values, dict) and not chooser.reaches(values):
        only = next(iter(values.values())) if len(values) == 1 else None
        if isinstance(only, list):
            values = only
        elif not chooser.named:
            chooser.require_choice(values)
    whole = isinstance(values, dict)
    for number, value in enumerate(_entries(values) if isinstance(values, list) else [values]):
        yield from _documents(name, value, chooser, f"entry {number}", whole=whole)
    chooser.finish()


def _entries(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list) and value and all(isinstance(entry, (dict, list)) for entry in value):
            yield from _entries(value)
        else:
            yield value


def _documents(name: str, value: Any, chooser: RecordChooser, place: str, *, whole: bool = False) -> Iterator[TextPart]:
    if isinstance(value, dict) and value:
        parts = chooser.parts(value, place, whole=whole)
    elif isinstance(value, str):
        parts = [chooser.text_alone(value, place)]
    else:
        raise DataError(f"{name}, {place}: found {quoted(value)}; expected a string, or an object with a text in it.")
    for part in parts:
        if not is_text(part.text):  # JSON can spell it (\\ud83d) where a text was cut in the middle of an emoji
            raise DataError(
                f"{name}, {place}: the text holds half a surrogate pair, such as a cut emoji leaves, which is not a "
                "character. Remove it, or leave the record out."
            )
        yield part


def _as_lines(text: str) -> list[Any] | None:
    try:
        return [parse_json(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None
