"""Which field of a record is the text: a named column, a template of several, or the obvious one.

Where texts are read with labels, each comes with the label beside it, which `labels` finds. Serves tables, JSON objects
and dataset features alike; knows none of their files.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from string import Formatter
from typing import Any

from gpt2simple.data.documents import LabelledPart, TextPart
from gpt2simple.data.readers.labels import USUAL_LABELS, LabelChooser, no_label
from gpt2simple.data.readers.nested import (
    EVERY_KEY,
    KeyPath,
    expand,
    find_path,
    joined,
    listing,
    names_inside,
    split_name,
)
from gpt2simple.data.readers.pairs import PairChooser, how_to_read_pairs
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.settings.pairs import PairTextSettings
from gpt2simple.settings.text import ReadingSettings
from gpt2simple.storage.contents import counted

logger = logging.getLogger(__name__)
_MOST_WITHOUT = 1000  # records at the beginning, before a name counts as wrong
USUAL_NAMES = ("text", "content", "body", "document", "story", "article", "review", "sentence", "title")
_SPEAKERS = ("role", "author", "from", "sender", "user", "username", "name")
_WEAK_NAMES = ("title", "document")  # of a text, and as often of what holds the texts


class TextChooser:
    """Takes the text, and the label where one is wanted, out of the records of one file.

    The choice made at the first record holds for all.

    A record may hold several texts, where a name such as ``messages.content`` leads through a list.
    """

    def __init__(
        self, name: str, settings: ReadingSettings, classes: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """For records of ``name``, as messages call it.

        Args:
            settings: with labels where they are LabelledTextSettings.
            classes: by the name of a feature that holds numbers of classes, the names of those.
        """
        self._name = name
        self._labels: LabelChooser | None = None
        if isinstance(settings, LabelledTextSettings):
            self._labels = LabelChooser(name, settings.label_column, classes or {})
        self._template = parse_template(settings.template) if settings.template is not None else None
        by_template = [field for _, field in self._template or () if field is not None]
        self._fields: list[str | int] = [settings.column] if settings.column is not None else [*by_template]
        self._chosen: str | None = None
        self._missing: DataError | None = None  # about the first record that lacks what was named
        self._found = self._left_out = 0  # records

    @property
    def named(self) -> bool:
        """Whether the user named what the text is made of."""
        return bool(self._fields)

    @property
    def needs_names(self) -> bool:
        """Whether the settings refer to columns by their names."""
        by_label = self._labels is not None and self._labels.needs_names
        return by_label or any(isinstance(field, str) and not field.isdecimal() for field in self._fields)

    @property
    def usual_names(self) -> tuple[str, ...]:
        """Names that columns of texts, or of labels where they are wanted, usually have."""
        return USUAL_NAMES if self._labels is None else (*USUAL_NAMES, *USUAL_LABELS)

    def reaches(self, record: Mapping[str, Any]) -> bool:
        """Whether a name of the user's begins at this record, and not at the entries of a list in it."""
        names = [field for field in self._fields if isinstance(field, str)]
        return any(name in record or split_name(name)[0] in (*record, EVERY_KEY) for name in names)

    def needed(self, names: list[str]) -> list[str]:
        """Those of ``names`` that are needed; all of them where the first record decides.

        Raises:
            DataError: one that the user named is not among them.
        """
        texts = [self._path(field, names, "")[0] for field in self._fields]
        if self._labels is None:
            return texts or names
        label = self._labels.require(names)
        return names if label is None or not texts else list(dict.fromkeys([*texts, label]))

    def decide(self, record: Mapping[str, Any]) -> None:
        """Choose the text by a record that stands for many, where the user named none.

        Raises:
            DataError: it cannot be guessed.
        """
        if not self._fields:
            self._chosen = self._guess(record, "", of_many=True)

    def parts(self, record: Mapping[str, Any], place: str, *, whole: bool = False) -> list[TextPart]:
        """The texts of one record, whole; none where it lacks what the user named, see ``finish``.

        Args:
            record: names and values.
            place: where the record is, for messages: "line 3".
            whole: whether it is the whole file, so that a list of strings in it is several texts.

        Raises:
            DataError: a field holds no text, the label is missing, or one of the two cannot be guessed.
        """
        if not self._fields:
            if self._chosen is None or self._chosen not in record:
                self._chosen = self._guess(record, place)
            text = self._as_text(record[self._chosen], self._chosen, place)
            rows, label_path = self._with_labels(record, [(self._chosen,)], [{}], place)
            return [self._part(text, row, label_path, place) for row in rows]
        try:
            paths = [self._path(field, record, place) for field in self._fields]
            if not (rows := expand(record, paths)):
                lacking = (f for f, path in zip(self._fields, paths, strict=True) if not expand(record, [path]))
                raise self._no_column(next(lacking, self._fields[0]), record, place)
        except DataError as error:
            self._missing, self._left_out = self._missing or error, self._left_out + 1
            if not self._found and self._left_out >= _MOST_WITHOUT:
                raise self._missing from None
            return []
        except ValueError:
            raise DataError(
                f"{self._name}, {place}: the template leads through two lists, so that their texts belong together in "
                "no certain way. Name texts of one list."
            ) from None
        self._found += 1
        rows, label_path = self._with_labels(record, paths, rows, place)
        single = self._labels is None and self._template is None and whole and len(rows) == 1
        if single and is_list_of_text(entries := rows[0][paths[0]]):
            return [TextPart(entry) for entry in entries]
        # In a list null is as good as no key: of a message without words, a template would leave its author.
        rows = [row for row in rows if not any(len(path) > 1 and row[path] is None for path in paths)]
        return [self._part(self._built(row, paths, place), row, label_path, place) for row in rows]

    def text_alone(self, text: str, place: str) -> TextPart:
        """A text that is no part of a record.

        Raises:
            DataError: it needs a label, which only a record has.
        """
        if self._labels is not None:
            raise no_label(f"{self._name}, {place}")
        return TextPart(text)

    def _with_labels(
        self, record: Mapping[str, Any], texts: list[KeyPath], rows: list[dict[KeyPath, Any]], place: str
    ) -> tuple[list[dict[KeyPath, Any]], KeyPath | None]:
        """The rows of a record with the label in each, and the label's path; as they are where none is wanted."""
        if self._labels is None:
            return rows, None
        before = self._labels.guessed
        path = self._labels.path(record, texts, place)
        if self._labels.guessed != before:
            logger.info(f"{self._name}: the label is taken from {path[0]!r}; set label_column to change that.")
        try:
            found = expand(record, [*texts, path])
        except ValueError:
            found = []
        if not found and not expand(record, [path]):
            raise no_label(f"{self._name}, {place}")
        if len(found) != len(rows):
            raise DataError(
                f"{self._name}, {place}: there is not one label for each text in {'.'.join(path)!r}. Name the label "
                "that is beside the text (label_column=..., --label-column ...)."
            )
        return found, path

    def _part(self, text: str, row: Mapping[KeyPath, Any], label_path: KeyPath | None, place: str) -> TextPart:
        if self._labels is None or label_path is None:
            return TextPart(text)
        return LabelledPart(text, self._labels.label(row[label_path], label_path, text, place))

    def finish(self) -> None:
        """To be called after the last record: logs how many lack what the user named.

        Raises:
            DataError: all of them do.
        """
        if self._missing is not None and not self._found:
            raise self._missing
        if self._left_out:
            what = " and ".join(repr(field) for field in dict.fromkeys(self._fields))
            logger.info(f"{self._name}: left out {counted(self._left_out, 'record')} without {what}.")

    def require_choice(self, record: Mapping[str, Any]) -> None:
        """Raise DataError for an object that is a whole file and holds lists, of which the user named none."""
        lists = [key for key, value in record.items() if is_list_of_text(value)]
        strong = any(self._is_strong(key, value) for key, value in record.items())
        if (inside := names_inside(record)) or (lists and not strong):
            raise self._holds_lists([*inside, *lists], "")

    def _path(self, field: str | int, record: Collection[str], place: str) -> KeyPath:
        """The path of a field in a record, or among the names of a file's columns."""
        if (path := find_path(field, record)) is None:
            raise self._no_column(field, record, place)
        return path

    def _no_column(self, field: str | int, record: Collection[str], place: str) -> DataError:
        found = f"has no column {field!r}"
        if isinstance(field, int) or field.isdecimal():
            found = f"has {counted(len(record), 'column')}, so there is no column {field} (the first is 0)"
        where = f"{self._name}, {place}," if place else self._name
        names = listing([*record, *names_inside(record)])
        return DataError(f"{where} {found}. It has: {names}. Name one of them (column=..., --column ...).")

    def _built(self, row: Mapping[KeyPath, Any], paths: list[KeyPath], place: str) -> str:
        texts = [self._as_text(row[path], ".".join(path), place) for path in paths]
        if self._template is None:
            return texts[0]
        fields = iter(texts)
        return "".join(literal + (next(fields) if field is not None else "") for literal, field in self._template)

    def _as_text(self, value: Any, field: str, place: str) -> str:
        if self._fields and is_list_of_text(value):
            return "\n".join(value)
        if isinstance(value, list) and not is_list_of_text(value) and (text := joined(value)) is not None:
            return text
        if isinstance(value, (list, dict)):
            inside = [name for name in names_inside({field: [value]}) if name != field]
            hint = f", such as {listing(_usual_first(inside)[:3])}" if inside else ""
            raise DataError(
                f"{self._name}, {place}: {field!r} holds a {type(value).__name__}; expected text. "
                f"Name another field (column=...){hint}."
            )
        return scalar_text(value)

    def _guess(self, record: Mapping[str, Any], place: str, *, of_many: bool = False) -> str:
        """The name of the text.

        Args:
            of_many: whether the record stands for many, so that the lengths of its values say something.
        """
        if self._labels is not None and (label := self._labels.before_text(record)) is not None:
            record = {name: value for name, value in record.items() if name != label}
        names = list(record)
        if self._chosen is not None:  # a later record without the field that the first one had
            raise DataError(
                f"{self._name} has a record without {self._chosen!r}, which the first one has; it has: "
                f"{listing(names)}. Complete it, or name the text (column={self._chosen!r}) to leave such records out."
            )
        inside = names_inside(record)
        if inside and not any(self._is_strong(name, value) for name, value in record.items()):
            raise self._holds_lists(inside, place, self._as_pairs(record))
        if len(names) == 1:
            return names[0]
        texts = [name for name, value in record.items() if isinstance(value, (str, bytes))]
        usual = [name for usual_name in USUAL_NAMES for name in names if name.lower() == usual_name]
        chosen = usual[0] if usual else texts[0] if len(texts) == 1 else None
        if chosen is None and self._labels is not None and names == texts == ["0", "1"]:  # two columns without names
            chosen = max(names, key=lambda name: len(record[name])) if of_many else "0"
        if chosen is None:
            raise DataError(
                f"{self._name} has several columns: {listing(names)}. Say which one is the text (column=..., "
                "--column ...), build it from several (template='{a}\\n{b}'), or read the file as plain text "
                f"(format='text', --format text).{self._as_pairs(record)}"
            )
        logger.info(f"{self._name}: the text is taken from {chosen!r}; set column or template to change that.")
        return chosen

    @staticmethod
    def _is_strong(name: str, value: Any) -> bool:
        """Whether a field is the text even where lists of records lie beside it, as those of comments do."""
        return name.lower() in USUAL_NAMES and name.lower() not in _WEAK_NAMES and isinstance(value, (str, bytes, list))

    def _as_pairs(self, record: Mapping[str, Any]) -> str:
        """What to do with a record that is a pair of a prompt and a completion; nothing is said of others."""
        return f" {how}" if self._labels is None and (how := how_to_read_pairs(record, self._name)) else ""

    def _holds_lists(self, inside: list[str], place: str, more: str = "") -> DataError:
        first, *others = _usual_first(inside)
        speaker = next((name for name in others if {*split_name(name)[-2:]} & {*_SPEAKERS}), None)
        built = f", or build a text of several (template='{{{speaker}}}: {{{first}}}')" if speaker else ""
        where = f"{self._name}, {place}," if place else self._name
        return DataError(
            f"{where} holds its texts in lists: {listing([first, *others])}. Name one (column={first!r}, --column "
            f"{first}){built}.{more}"
        )


RecordChooser = TextChooser | PairChooser


def record_chooser(
    name: str, settings: ReadingSettings, classes: Mapping[str, Sequence[str]] | None = None
) -> RecordChooser:
    """What takes texts, or pairs where the settings are of pairs, out of the records of ``name``."""
    return (
        PairChooser(name, settings) if isinstance(settings, PairTextSettings) else TextChooser(name, settings, classes)
    )


def parse_template(template: str) -> list[tuple[str, str | None]]:
    """A template such as ``{title}\\n{body}`` as pairs of literal text and the field after it.

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
    # A name may hold a colon, which Python's formatting takes as the beginning of a format.
    return [(literal, f"{field}:{spec}" if spec else field) for literal, field, spec, _ in parts]


def is_list_of_text(value: Any) -> bool:
    """Whether a value is a list of strings and nothing else."""
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _usual_first(names: list[str]) -> list[str]:
    """Names of texts, those first that end as names of texts usually do."""
    return sorted(names, key=lambda name: split_name(name)[-1] not in (*USUAL_NAMES, "parts", "message", "value"))


def scalar_text(value: Any) -> str:
    """A value as a text: bytes decoded, "" for what is missing.

    Raises:
        DataError: it is bytes that are not UTF-8.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):  # as tables of pandas have it
        return ""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"A record holds bytes that are not UTF-8 ({error}). Decode them first, and pass strings."
        ) from error
