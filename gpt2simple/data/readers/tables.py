"""CSV and TSV: each row is a document.

Knows the quoting rules (through Python's csv module); `dialect` recognises separator and header, `fields` chooses the
column.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from gpt2simple.data.documents import TextPart, plain_line_ends
from gpt2simple.data.readers.dialect import column_names, find_delimiter, has_header, rows_of
from gpt2simple.data.readers.fields import record_chooser
from gpt2simple.data.readers.plain import decoded_lines
from gpt2simple.errors import DataError
from gpt2simple.settings.text import ReadingSettings

_LONGEST_FIELD = (1 << 31) - 1  # characters; the csv module's own limit of 131,072 is shorter than many a story
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 1 << 17  # enough to tell what separates the columns, and which hold numbers
_HAS_LETTER = re.compile(r"[^\W\d_]").search
_ADVICE = "or, if each line is one text, read it with format='lines' (--format lines)."


def read_table(name: str, stream: BinaryIO, settings: ReadingSettings, delimiter: str) -> Iterator[TextPart]:
    """One document for each row.

    Args:
        delimiter: what separates the columns of such files, unless the settings or the file say otherwise.

    Raises:
        DataError: the file is not of its encoding, a quote is never closed, or the columns do not fit the settings.
    """
    chooser = record_chooser(name, settings)
    csv.field_size_limit(_LONGEST_FIELD)
    lines = (plain_line_ends(line) for line in decoded_lines(name, stream, settings.encoding))
    sample = _sample(lines)
    separator, skipped = find_delimiter(name, sample, delimiter, settings.delimiter)
    rows = csv.reader(itertools.chain(sample[skipped:], lines), delimiter=separator, strict=True)
    try:
        filled = filter(None, rows)
        if (first := next(filled, None)) is None:
            return
        second = next(filled, None)
        header = has_header(name, first, second, settings.header, chooser.needs_names, chooser.usual_names)
        names = column_names(first) if header else [str(number) for number in range(len(first))]
        chooser.needed(names)  # a wrong column is an error even where no row follows
        if shown := rows_of(sample[skipped:], separator)[header:]:
            columns = itertools.zip_longest(*shown, fillvalue="")
            words = [cells if any(map(_HAS_LETTER, cells)) else None for cells in columns]  # None: numbers, dates ...
            chooser.decide({name: cells and " ".join(cells) for name, cells in zip(names, words, strict=False)})
        for row in itertools.chain([] if header else [first], [second] if second else [], filled):
            line = rows.line_num + skipped
            if any(row[len(names) :]):
                raise DataError(
                    f"{name}, line {line}: {separator!r} separates {len(row)} columns here, and {len(names)} in the "
                    "first row. If another character separates them, set delimiter (--delimiter); else put fields that "
                    f"hold {separator!r} in double quotes, {_ADVICE}"
                )
            record = dict(itertools.zip_longest(names, row[: len(names)], fillvalue=""))
            yield from chooser.parts(record, f"line {line}")
        chooser.finish()
    except csv.Error as error:
        raise DataError(
            f"{name}, line {rows.line_num + skipped}: this is not a valid row ({error}). Put fields with line breaks "
            f"or separators in double quotes, and double the quotes inside them; {_ADVICE}"
        ) from error


def _sample(lines: Iterator[str]) -> list[str]:
    """The first lines; at least one, if there is any."""
    taken: list[str] = []
    characters = 0
    for line in lines:
        taken.append(line)
        characters += len(line)
        if len(taken) == _SAMPLE_LINES or characters >= _SAMPLE_CHARACTERS:
            break
    return taken
