"""Labelled texts from all that users give: tables, files and folders named by label, and values of a program.

`label_files` says which files are named by their label. Everything is in memory: texts to classify are short.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from gpt2simple.data.documents import LabelledPart, TextPart, plain_line_ends, without_end_marks
from gpt2simple.data.files import are_names
from gpt2simple.data.label_files import LabelFile, files_by_label, read_file
from gpt2simple.data.packing import ReadText
from gpt2simple.data.readers.fields import TextChooser, scalar_text
from gpt2simple.data.readers.labels import label_of, no_label
from gpt2simple.data.readers.nested import listing
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.data.sources import checked_source, open_source
from gpt2simple.errors import DataError
from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import quoted

_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]+")
_PROGRAM = "texts of the program"
_DECIDED_BY = 200  # rows, as in the sample of a table
_TAKEN = (
    "the name of a file or folder, a list of names, pairs (text, label), a tuple (texts, labels), a dict of columns, a "
    "data frame, or a tf.data.Dataset"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledTexts:
    """Texts and the label of each.

    Attributes:
        labels: int32 [N], the number of each text's label in ``names``.
        names: of the labels, sorted: as numbers where all are whole numbers.
        sources: what the texts are from, as the user named it.
        files: how many were read.
        blank: texts left out because they hold nothing but white space.
        ended: texts from which end-of-text marks at the end were removed.
        fingerprint: sha256 over names, labels and texts, as 64 hexadecimal digits.
    """

    texts: tuple[str, ...]
    labels: np.ndarray
    names: tuple[str, ...]
    sources: tuple[str, ...]
    files: int
    blank: int
    ended: int
    fingerprint: str


class _Opened(NamedTuple):
    parts: Iterator[TextPart]
    sources: tuple[str, ...]
    files: int = 0


def read_labelled(dataset: Any, settings: LabelledTextSettings, *, names: Sequence[str] | None = None) -> LabelledTexts:
    """Read texts with their labels.

    Args:
        names: the labels of training, for texts to validate or test with; None: those that occur.

    Raises:
        DataError: the dataset is missing, cannot be read, holds no texts, a text has no label, there are fewer than
            two labels, or one that ``names`` lacks.
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    check_encoding(settings.encoding)
    opened = _open(dataset, settings)
    texts: list[str] = []
    found: list[str] = []  # the label of each
    blank = ended = 0
    for text, label in _whole_texts(opened.parts):
        cleaned = without_end_marks(text := plain_line_ends(text))
        if not cleaned or cleaned.isspace():
            blank += 1
            continue
        if label is None:
            raise DataError(
                f"{', '.join(opened.sources)} is read as plain text, in which nothing says the labels. If it is a "
                "table or JSON, name its type (format='csv', --format csv)."
            )
        ended += cleaned is not text
        texts.append(cleaned)
        found.append(label)
    shown = ", ".join(opened.sources)
    if not texts:
        raise DataError(f"{shown} holds no texts, or only blank ones. Give labelled texts.")
    names = _sorted_names(found, shown) if names is None else _known_names(found, shown, names)
    number_of = {name: number for number, name in enumerate(names)}
    labels = np.array([number_of[label] for label in found], np.int32)  # (N,)
    return LabelledTexts(
        texts=tuple(texts),
        labels=labels,
        names=tuple(names),
        sources=opened.sources,
        files=opened.files,
        blank=blank,
        ended=ended,
        fingerprint=_fingerprint(names, labels, texts),
    )


def check_labelled(dataset: Any, settings: LabelledTextSettings) -> None:
    """A look at a dataset that takes no time, uses nothing up and logs nothing, as ``checked_source`` takes it.

    Raises:
        DataError: there is no such dataset, or its beginning cannot be read or has no labels.
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    check_encoding(settings.encoding)
    kind = _kind(dataset)
    if kind in ("names", "tf.data"):
        source = checked_source(dataset, _reading(settings))
        files_by_label(dataset, source.paths, settings)
    elif kind == "columns":
        next(_rows_of_columns(columns_of(dataset, _TAKEN), settings, logged=False), None)
    elif kind == "two lists":
        next(_of_two_lists(*dataset), None)
    elif isinstance(dataset, (list, tuple)):
        next(_of_entries(dataset, settings, logged=False), None)


def _reading(settings: LabelledTextSettings) -> TextSettings:
    return cast(TextSettings, settings)  # sources only look at what decides how a text is read


def _kind(dataset: Any) -> str:
    """What a dataset is: "names", "tf.data", "two lists", "columns" or "entries".

    Raises:
        DataError: it is none of these, or empty.
    """
    if isinstance(dataset, (str, Path)):
        return "names"
    if type(dataset).__module__.split(".")[0] == "tensorflow" and hasattr(dataset, "as_numpy_iterator"):
        return "tf.data"
    if column_names(dataset) is not None:
        return "columns"
    if isinstance(dataset, (list, tuple)):
        if not dataset:
            raise DataError(f"The dataset is an empty {type(dataset).__name__}. Expected {_TAKEN}.")
        if are_names(dataset):
            return "names"
        if isinstance(dataset, tuple) and len(dataset) == 2 and all(map(is_column, dataset)):
            return "two lists"
    if isinstance(dataset, Iterable) and not isinstance(dataset, (bytes, bytearray)):
        return "entries"
    raise DataError(f"The dataset is a {type(dataset).__name__}; expected {_TAKEN}.")


def is_column(value: Any) -> bool:
    """Whether a value is a list, an array or a series of a data frame."""
    is_list = hasattr(value, "__len__") and hasattr(value, "__iter__") and not isinstance(value, (str, bytes, Mapping))
    return is_list and getattr(value, "ndim", 1) > 0  # NumPy's single values have these two as well


def _open(dataset: Any, settings: LabelledTextSettings) -> _Opened:
    kind = _kind(dataset)
    if kind == "columns":
        return _Opened(_rows_of_columns(columns_of(dataset, _TAKEN), settings), (_PROGRAM,))
    if kind == "two lists":
        return _Opened(_of_two_lists(*dataset), (_PROGRAM,))
    if kind == "entries":
        return _Opened(_of_entries(dataset, settings), (_PROGRAM,))
    source = open_source(dataset, None, _reading(settings))
    by_label = files_by_label(dataset, source.paths, settings)
    parts = source.parts() if by_label is None else _of_files(by_label, settings)
    return _Opened(parts, source.names, len(source.paths))


def _of_files(files: list[LabelFile], settings: LabelledTextSettings) -> Iterator[TextPart]:
    for file in files:
        for text in _joined(read_file(file, settings)):
            yield LabelledPart(text, file.label)


def _joined(parts: Iterable[TextPart]) -> Iterator[str]:
    """Whole texts of those that come in parts."""
    held: list[str] = []
    for text, ends in parts:
        held.append(text)
        if ends:
            yield "".join(held)
            held = []


def _whole_texts(parts: Iterator[TextPart]) -> Iterator[tuple[str, str | None]]:
    for part in parts:
        if isinstance(part, LabelledPart):
            yield part.text, part.label
        else:  # of a source without labels, such as plain text on standard input
            yield part.text, None


def _of_two_lists(texts: Any, labels: Any) -> Iterator[TextPart]:
    if len(texts) != len(labels):
        raise DataError(
            f"The dataset has {len(texts):,} texts and {len(labels):,} labels; expected as many labels as texts. Give "
            "each text one label."
        )
    for number, (text, label) in enumerate(zip(texts, labels, strict=True)):
        yield _pair(text, label, number)


def _of_entries(entries: Iterable[Any], settings: LabelledTextSettings, *, logged: bool = True) -> Iterator[TextPart]:
    chooser = TextChooser(_PROGRAM, settings)
    for number, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            if not logged:
                return  # the choice of columns is logged when the texts are read
            yield from chooser.parts({str(name): value for name, value in entry.items()}, f"entry {number}")
        elif isinstance(entry, (list, tuple, np.ndarray)) and len(entry) == 2:
            yield _pair(entry[0], entry[1], number)
        else:
            raise DataError(
                f"Entry {number} of the dataset is {quoted(entry)}; expected a pair (text, label). The dataset may be "
                f"{_TAKEN}."
            )
    chooser.finish()


def _pair(text: Any, label: Any, number: int) -> TextPart:
    if isinstance(text, bytes):  # as NumPy and TensorFlow have it
        text = scalar_text(text)
    if not isinstance(text, str):
        raise DataError(f"Text {number} of the dataset is {quoted(text)}; expected a string. Give (text, label).")
    where = f"{_PROGRAM}, text {number}"
    found = label_of(label, where)
    if found is None and text.strip():
        raise no_label(where)
    return LabelledPart(str(text), found)


def column_names(dataset: Any) -> list[Any] | None:
    """The names of the columns of a dict or data frame; None: it has none."""
    if isinstance(dataset, Mapping):
        return list(dataset)
    sized = hasattr(dataset, "__len__")  # what is read as a stream has names too, and no columns
    for names in (getattr(dataset, "column_names", None) if sized else None, getattr(dataset, "columns", None)):
        # An Arrow table has under "columns" the columns themselves; names of pandas may be tuples.
        found = list(names) if isinstance(names, Iterable) else None
        if found is not None and not any(is_column(name) and not isinstance(name, tuple) for name in found):
            return found
    return None


def columns_of(dataset: Any, taken: str) -> dict[str, list[Any]]:
    """The columns of a dict or data frame.

    Args:
        taken: what a dataset may be, for messages.

    Raises:
        DataError: they are no lists, or not of the same length, or two have one name.
    """
    names = column_names(dataset) or []
    columns: dict[str, list[Any]] = {}
    for name in names:
        if names.count(name) > 1 or str(name) in columns:
            raise DataError(f"The dataset has several columns named {str(name)!r}. Give each column its own name.")
        column = dataset[name]
        if not is_column(column):
            raise DataError(
                f"The column {str(name)!r} of the dataset is {quoted(column)}; expected a list. Give each column as a "
                "list with a value for each text."
            )
        columns[str(name)] = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} has {length:,}" for name, length in list(lengths.items())[:5])
        raise DataError(f"The columns of the dataset are not equally long ({shown}). Give each a value for each text.")
    if not columns or not next(iter(lengths.values())):
        raise DataError(f"The dataset is a {type(dataset).__name__} without texts. Expected {taken}.")
    return columns


def _rows_of_columns(
    columns: dict[str, list[Any]], settings: LabelledTextSettings, *, logged: bool = True
) -> Iterator[TextPart]:
    chooser = TextChooser("the dataset", settings)
    chooser.needed(list(columns))
    if not logged:
        return
    some = {
        name: [value for value in column[:_DECIDED_BY] if isinstance(value, str)] for name, column in columns.items()
    }
    chooser.decide({name: " ".join(texts) if texts else None for name, texts in some.items()})
    for number, row in enumerate(zip(*columns.values(), strict=True)):
        yield from chooser.parts(dict(zip(columns, row, strict=True)), f"row {number}")
    chooser.finish()


def labelled_reader(ids: Sequence[np.ndarray], labels: np.ndarray, weights: np.ndarray | None = None) -> ReadText:
    """Reads a text for a batch: its label is the target of its last token, which alone counts.

    Args:
        ids: int32 [T] of each text. labels: int32 [N]. weights: float32 [N], of each text in the loss; None: 1.

    Raises:
        DataError: a text has no token.
    """
    for number, tokens in enumerate(ids):
        if not len(tokens):
            raise DataError(f"Text {number} has no token, so there is nothing to classify. Leave it out.")

    def read(text: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        targets, loss_mask = np.zeros(len(ids[text]), np.int32), np.zeros(len(ids[text]), np.float32)
        targets[-1], loss_mask[-1] = labels[text], 1.0 if weights is None else weights[text]
        return ids[text], targets, loss_mask

    return read


def _sorted_names(found: list[str], shown: str) -> list[str]:
    names = list(dict.fromkeys(found))
    if len(names) < 2:
        raise DataError(
            f"All {len(found):,} texts in {shown} have the label {quoted(names[0])}; expected two labels or more. Give "
            "texts of other classes too."
        )
    if all(map(_WHOLE_NUMBER.fullmatch, names)):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _known_names(found: list[str], shown: str, names: Sequence[str]) -> list[str]:
    known = set(names)
    unknown = Counter(label for label in found if label not in known)
    if unknown:
        label = min(unknown)
        raise DataError(
            f"The label {quoted(label)} occurs in {shown} and never in training, which has {listing(names)}. Correct "
            "it, or train on texts of that class too."
        )
    return list(names)


def _fingerprint(names: Sequence[str], labels: np.ndarray, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps([*names]).encode())
    digest.update(labels.astype("<i4").tobytes())
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
