"""Which field of a record is the text: a named column, a template of several, or the obvious one.

Serves tables, JSON objects and dataset features alike; knows none of their files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from string import Formatter
from typing import Any

from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import quoted

logger = logging.getLogger(__name__)
USUAL_NAMES = ("text", "content", "body", "document", "story", "article", "review", "sentence", "title")


class TextChooser:
    """Takes the text out of the records of one file; the choice made at the first record holds for all."""

    def __init__(self, name: str, settings: TextSettings) -> None:
        """For records of ``name``, as messages call it."""
        self._name = name
        self._column = settings.column
        self._template = parse_template(settings.template) if settings.template is not None else None
        self._chosen: str | None = None

    @property
    def needs_names(self) -> bool:
        """Whether the settings refer to columns by their names."""
        by_name = [self._column] if self._column is not None else [field for _, field in self._template or () if field]
        return any(isinstance(field, str) and not field.isdecimal() for field in by_name)

    def needed(self, names: list[str]) -> list[str]:
        """Those of ``names`` that the text is made of; all of them where the first record decides.

        Raises:
            DataError: one that the user named is not among them.
        """
        if self._template is not None:
            return [self._find(field, names, "") for _, field in self._template if field is not None]
        if self._column is not None:
            return [self._find(self._column, names, "")]
        return names

    def text(self, record: Mapping[str, Any], place: str) -> str:
        """The text of one record.

        Args:
            record: names and values.
            place: where the record is, for messages: "line 3".

        Raises:
            DataError: a field is missing, holds no text, or cannot be guessed.
        """
        names = list(record)
        if self._template is not None:
            return "".join(
                literal + (_as_text(record[self._find(field, names, place)]) if field is not None else "")
                for literal, field in self._template
            )
        if self._chosen is None or self._chosen not in record:
            self._chosen = self._find(self._column, names, place) if self._column is not None else self._guess(record)
        value = record[self._chosen]
        if isinstance(value, (list, dict)):
            raise DataError(
                f"{self._name}, {place}: {self._chosen!r} holds a {type(value).__name__}; expected text. "
                "Name another field (column=...)."
            )
        return _as_text(value)

    def _find(self, field: str | int, names: list[str], place: str) -> str:
        if isinstance(field, str) and field in names:
            return field
        if isinstance(field, int) or field.isdecimal():
            if 0 <= int(field) < len(names):
                return names[int(field)]
            found = f"has {len(names)} columns, so there is no column {field} (the first is 0)"
        else:
            found = f"has no column {field!r}"
        where = f"{self._name}, {place}," if place else self._name
        raise DataError(f"{where} {found}. It has: {_listing(names)}. Name one of them (column=..., --column ...).")

    def _guess(self, record: Mapping[str, Any]) -> str:
        names = list(record)
        if self._chosen is not None:  # a later record without the field that the first one had
            raise DataError(
                f"{self._name} has a record without {self._chosen!r}, which the first one has; it has: "
                f"{_listing(names)}. Complete it or leave it out."
            )
        if len(names) == 1:
            return names[0]
        texts = [name for name, value in record.items() if isinstance(value, (str, bytes))]
        usual = [name for usual_name in USUAL_NAMES for name in names if name.lower() == usual_name]
        chosen = usual[0] if usual else texts[0] if len(texts) == 1 else None
        if chosen is None:
            raise DataError(
                f"{self._name} has several columns: {_listing(names)}. Say which one is the text (column=..., "
                "--column ...), or build it from several (template='{a}\\n{b}')."
            )
        logger.info(f"{self._name}: the text is taken from {chosen!r}; set column or template to change that.")
        return chosen


def parse_template(template: str) -> list[tuple[str, str | None]]:
    """A template such as ``{title}\\n{body}`` as pairs of literal text and the field behind it.

    ``\\n`` and ``\\t`` may be written as two characters, as a command line passes them on.

    Raises:
        SettingsError: braces do not match, or it names no field.
    """
    try:
        parts = list(Formatter().parse(template.replace("\\n", "\n").replace("\\t", "\t")))
    except ValueError as error:
        raise SettingsError(
            f"template is {template!r} ({error}); expected text such as '{{title}}\\n{{body}}'."
        ) from None
    if not any(field for _, field, _, _ in parts):
        raise SettingsError(f"template is {template!r}; expected names in braces, such as '{{title}}\\n{{body}}'.")
    return [(literal, field) for literal, field, _, _ in parts]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"A record holds bytes that are not UTF-8 ({error}). Decode them first, and pass strings."
        ) from error


_LONGEST_LISTING = 300  # characters


def _listing(names: list[str]) -> str:
    shown = ", ".join(map(quoted, names[:20]))
    shown = shown if len(shown) <= _LONGEST_LISTING else f"{shown[:_LONGEST_LISTING]}..."
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
