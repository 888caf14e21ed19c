"""What separates the columns of a table, and whether its first row names them, from its first lines.

Prose has separators too. A separator is believed where it gives each row the columns that the first row has; commas and
semicolons that all precede a space, and commas that all stand between digits, are believed last.
"""

from __future__ import annotations

import csv
import itertools
import logging
import re
from collections.abc import Collection

from gpt2simple.data.readers.fields import USUAL_NAMES

logger = logging.getLogger(__name__)
_DELIMITERS = (",", ";", "\t", "|")
_NAMED = re.compile(r'"?sep=([^"\s\w]|\t)"?\s*')  # the first line that Excel reads, and some programs write
_NAME = re.compile(r"Unnamed: \d+|[^\W\d][\w./()-]*( [\w./()-]+){0,2}")
_NUMBER = re.compile(r"[-+\d.,%]+")
_LONGEST_NAME = 40  # characters


def find_delimiter(name: str, sample: list[str], usual: str, given: str | None) -> tuple[str, int]:
    """What separates the columns, and how many lines at the beginning say nothing else.

    Args:
        name: of the file, for messages.
        sample: its first lines.
        usual: what is expected in files of this type.
        given: the setting ``delimiter``.
    """
    if sample and (named := _NAMED.fullmatch(sample[0])):
        return given or named[1], 1
    if given is not None:
        return given, 0
    tables = {delimiter: rows for delimiter in _DELIMITERS if _is_table(rows := rows_of(sample, delimiter))}
    clear = [delimiter for delimiter, rows in tables.items() if not _is_of_prose(delimiter, rows)]
    if usual in clear or (usual in tables and not clear):
        return usual, 0
    if clear:
        found = max(clear, key=lambda delimiter: len(tables[delimiter][0]))
        logger.info(f"{name}: the columns are separated by {found!r}; set delimiter to change that.")
        return found, 0
    if tables:
        other = next(iter(tables))
        logger.info(f"{name} is read as one column; if {other!r} separates its columns, set delimiter={other!r}.")
    return usual, 0


def rows_of(sample: list[str], delimiter: str) -> list[list[str]]:
    """The rows of a sample of lines, without blank ones and one that it cuts; empty if they are not valid."""
    rows: list[list[str]] = []
    reader = csv.reader(sample, delimiter=delimiter, strict=True)
    try:
        rows.extend(reader)
    except csv.Error:
        if reader.line_num < len(sample):
            return []
    return [row for row in rows if row]


def _is_table(rows: list[list[str]]) -> bool:
    """Whether each row has two columns or more, and no cells beyond those of the first row."""
    return bool(rows) and all(len(row) > 1 and not any(row[len(rows[0]) :]) for row in rows)


def _is_of_prose(delimiter: str, rows: list[list[str]]) -> bool:
    if delimiter not in ",;":
        return False
    return all(
        right.startswith(" ") or (delimiter == "," and left[-1:].isdigit() and right[:1].isdigit())
        for row in rows
        for left, right in itertools.pairwise(row)
    )


def has_header(
    name: str,
    first: list[str],
    second: list[str] | None,
    given: bool | None,
    needs_names: bool,
    usual_names: Collection[str] = USUAL_NAMES,
) -> bool:
    """Whether the first row names the columns: as given, as the chosen columns need it, or as it appears.

    It appears so when its cells are different short names or empty, and one of them is a usual one ("text") or the
    second row's cells are not all names; or when they are the numbers from 0, as pandas writes them.
    """
    if given is not None:
        return given
    if needs_names:
        return True
    cells = [cell.strip() for cell in first]
    filled = [cell for cell in cells if cell]
    different = bool(filled) and len(set(filled)) == len(filled)
    usual = any(cell.lower() in usual_names for cell in filled) and not any(map(_NUMBER.fullmatch, filled))
    differ = second is not None and not _are_names(second)
    numbered = cells[-len(filled) :] == filled == [str(number) for number in range(len(filled))]
    numbered = numbered and second is not None and not all(map(_NUMBER.fullmatch, filter(None, second)))
    short = all(len(cell) <= _LONGEST_NAME for cell in filled)
    names_columns = different and (numbered or (usual and short) or (_are_names(filled) and differ))
    shown = ", ".join(repr(cell[:30]) for cell in first[:5])
    taken, other = ("column names", "text") if names_columns else ("text", "column names")
    logger.info(f"{name}: the first row ({shown}) is taken as {taken}; header={not names_columns} reads it as {other}.")
    return names_columns


def _are_names(row: list[str]) -> bool:
    return all(len(cell) <= _LONGEST_NAME and _NAME.fullmatch(cell.strip()) for cell in row)


def column_names(first: list[str]) -> list[str]:
    """The names in a header, all different: as in pandas, a missing one is "Unnamed: 0", a second "a" is "a.1"."""
    names: list[str] = []
    for number, cell in enumerate(first):
        name = cell.strip() or f"Unnamed: {number}"
        versions = itertools.chain([name], (f"{name}.{version}" for version in itertools.count(1)))
        names.append(next(version for version in versions if version not in names))
    return names
