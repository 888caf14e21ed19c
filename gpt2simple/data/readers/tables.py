"""CSV and TSV: each row is a document.

Knows the quoting rules (through Python's csv module) and how to recognise a header; `fields` chooses the column.
"""

from __future__ import annotations

import csv
import itertools
import logging
import re
from collections.abc import Iterator
from typing import BinaryIO

from gpt2simple.data.documents import TextPart
from gpt2simple.data.readers.fields import USUAL_NAMES, TextChooser
from gpt2simple.data.readers.plain import decoded_lines
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings

logger = logging.getLogger(__name__)
_LONGEST_FIELD = (1 << 31) - 1  # characters; the csv module's own limit of 131,072 is shorter than many a story
_NAME = re.compile(r"[^\W\d][\w.-]*( [\w.-]+){0,2}")


def read_table(name: str, stream: BinaryIO, settings: TextSettings, delimiter: str) -> Iterator[TextPart]:
    """One document for each row.

    Raises:
        DataError: the file is not of its encoding, a quote is never closed, or the columns do not fit the settings.
    """
    chooser = TextChooser(name, settings)
    csv.field_size_limit(_LONGEST_FIELD)
    lines = (line.replace("\r\n", "\n") for line in decoded_lines(name, stream, settings.encoding))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        filled = filter(None, rows)
        if (first := next(filled, None)) is None:
            return
        second = next(filled, None)
        header = _has_header(name, first, second, settings.header, chooser.needs_names)
        names = first if header else [str(number) for number in range(len(first))]
        chooser.needed(names)  # a wrong column is an error even where no row follows
        for row in itertools.chain([] if header else [first], [second] if second else [], filled):
            yield _document(row, names, chooser, name, rows.line_num)
    except csv.Error as error:
        raise DataError(
            f"{name}, line {rows.line_num}: this is not a valid row ({error}). "
            "Put fields with line breaks or separators in double quotes, and double the quotes inside them."
        ) from error


def _document(row: list[str], names: list[str], chooser: TextChooser, name: str, line: int) -> TextPart:
    if len(row) > len(names):
        raise DataError(
            f"{name}, line {line}: the row has {len(row)} columns, the first one has {len(names)}. "
            "Put fields that hold the separator in double quotes."
        )
    record = dict(zip(names, row + [""] * (len(names) - len(row)), strict=True))
    return TextPart(chooser.text(record, f"line {line}"))


def _has_header(name: str, first: list[str], second: list[str] | None, given: bool | None, needs_names: bool) -> bool:
    """Whether the first row names the columns: as given, as the chosen columns need it, or as it appears.

    It appears so when all its cells are different short names, and one of them is a usual one ("text") or the second
    row's cells are not all of that kind.
    """
    if given is not None:
        return given
    if needs_names:
        return True
    usual = any(cell.strip().lower() in USUAL_NAMES for cell in first)
    differ = second is not None and not _are_names(second)
    names_columns = _are_names(first) and len(set(first)) == len(first) and (usual or differ)
    shown = ", ".join(repr(cell[:30]) for cell in first[:5])
    taken, other = ("column names", "text") if names_columns else ("text", "column names")
    logger.info(f"{name}: the first row ({shown}) is taken as {taken}; header={not names_columns} reads it as {other}.")
    return names_columns


def _are_names(row: list[str]) -> bool:
    return all(len(cell) <= 40 and _NAME.fullmatch(cell.strip()) for cell in row)
