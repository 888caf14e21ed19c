"""The label beside a text: which field of a record holds it, and what its values are as strings.

Serves tables, JSON objects, dataset features and the values of a program alike; knows none of their files.
"""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from gpt2simple.data.documents import plain_line_ends
from gpt2simple.data.readers.nested import KeyPath, find_path, listing, names_inside
from gpt2simple.data.readers.values import bytes_as_text, is_missing
from gpt2simple.errors import DataError
from gpt2simple.settings.fields import is_text
from gpt2simple.storage.contents import counted, quoted

USUAL_LABELS = ("label", "labels", "class", "category", "sentiment", "target")
_ROW_NUMBERS = re.compile(r"Unnamed: \d+")  # a column without a name, such as pandas writes first
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
_HOW_TO_NAME = "(label_column=..., --label-column ...)"


class LabelChooser:
    """Finds the label in the records of one file; the choice made at the first record holds for all.

    Attributes:
        column: what the user named; None: the label is guessed.
        guessed: the name that was guessed, once a record was seen.
    """

    def __init__(self, name: str, column: str | int | None, classes: Mapping[str, Sequence[str]]) -> None:
        """For records of ``name``, as messages call it.

        Args:
            classes: by the name of a feature that holds numbers of classes, the names of those.
        """
        self._name, self.column, self._classes = name, column, classes
        self.guessed: str | None = None
        self._seen = False  # whether a record had what the user named

    @property
    def needs_names(self) -> bool:
        """Whether the user refers to a column by its name."""
        return isinstance(self.column, str) and not self.column.isdecimal()

    def before_text(self, names: Collection[str]) -> str | None:
        """The column that is the label whatever the text is, and so is not the text; None: not known yet."""
        if self.column is not None:
            path = find_path(self.column, names)
            return path[0] if path is not None and len(path) == 1 else None
        return self._by_name(list(names)) if len(names) > 1 else None

    def require(self, names: Collection[str]) -> str | None:
        """The column that the user named, or None.

        Raises:
            DataError: it is not among ``names``.
        """
        if self.column is None:
            return None
        if (path := find_path(self.column, names)) is None:
            raise self._no_column(names, "")
        return path[0]

    def path(self, record: Mapping[str, Any], texts: Sequence[KeyPath], place: str) -> KeyPath:
        """The path of the label in a record.

        Args:
            texts: the paths of what the text is made of.

        Raises:
            DataError: it is not there, cannot be guessed, or is the text itself.
        """
        path: KeyPath | None
        if self.column is None:
            path = (self._guess(record, {path[0] for path in texts}, place),)
        elif (path := find_path(self.column, record)) is None:
            raise no_label(self._where(place)) if self._seen else self._no_column(record, place)
        self._seen = True
        if path in texts:
            raise DataError(
                f"{self._where(place)}: {'.'.join(path)!r} was named as the text and as its label. Name two columns "
                "(column=..., label_column=...)."
            )
        return path

    def label(self, value: Any, path: KeyPath, text: str, place: str) -> str | None:
        """A value as the name of a label; None is allowed only where there is no text either.

        Raises:
            DataError: there is no label, or something that is none.
        """
        where = self._where(place)
        if len(path) == 1 and (names := self._classes.get(path[0])) and isinstance(value, numbers.Integral):
            value = names[int(value)] if 0 <= int(value) < len(names) else None  # -1: not known, in some catalogues
        found = label_of(value, where)
        if found is None and text.strip():
            raise no_label(where)
        return found

    def _where(self, place: str) -> str:
        return f"{self._name}, {place}" if place else self._name

    def _by_name(self, names: list[str]) -> str | None:
        usual = [name for usual_name in USUAL_LABELS for name in names if name.lower() == usual_name]
        classes = [name for name in names if name in self._classes]
        return usual[0] if usual else classes[0] if len(classes) == 1 else None

    def _guess(self, record: Mapping[str, Any], texts: Collection[str], place: str) -> str:
        if self.guessed is not None and self.guessed not in texts:
            if self.guessed not in record:
                raise no_label(self._where(place))
            return self.guessed
        names = [name for name in record if name not in texts]
        others = [name for name in names if not _ROW_NUMBERS.fullmatch(name)]
        chosen = self._by_name(names) or (others[0] if len(others) == 1 else None)
        if chosen is None and not others:
            raise DataError(
                f"{self._name} has {counted(len(record), 'column')}: {listing([*record])}; expected a label beside "
                "each text. Add a column with the labels."
            )
        if chosen is None:
            raise DataError(
                f"{self._name} has several columns beside the text: {listing(names)}. Say which one is the label "
                f"{_HOW_TO_NAME}."
            )
        self.guessed = chosen
        return chosen

    def _no_column(self, record: Collection[str], place: str) -> DataError:
        where = f"{self._where(place)}," if place else self._name
        names = listing([*record, *names_inside(record)])
        return DataError(f"{where} has no column {self.column!r}. It has: {names}. Name one of them {_HOW_TO_NAME}.")


def no_label(where: str) -> DataError:
    """The error about a text without a label."""
    return DataError(f"{where}: there is no label here, and every row needs one. Add it, or leave the row out.")


def label_of(value: Any, where: str) -> str | None:
    """A label as a string, without white space at its ends; None: there is none.

    Args:
        where: the place of the value, for messages.

    Raises:
        DataError: it is neither a string nor a number.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if is_missing(value):
        return None
    if isinstance(value, bytes):
        value = bytes_as_text(value, "the label", where)
    if isinstance(value, str):
        if not is_text(value):
            raise DataError(
                f"{where}: the label holds half a surrogate pair, which is not a character. Remove it there."
            )
        return plain_line_ends(value).strip() or None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        if not math.isfinite(value):
            return None if math.isnan(value) else str(value)
        return str(int(value)) if value == int(value) else str(value)
    raise DataError(f"{where}: the label is {quoted(value)}; expected a string or a number.")


def written_alike(names: Sequence[str]) -> list[list[str]]:
    """The groups of labels that may be meant as one: they differ only in case, white space, what cannot be seen, the
    way in which Unicode writes a character, or the way a number is written, as 1 and 1.0 do."""
    groups: dict[str | Decimal, list[str]] = {}
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        key = "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")
        groups.setdefault(Decimal(key) if _NUMBER.fullmatch(key) else key, []).append(name)
    return [group for group in groups.values() if len(group) > 1]
