"""Texts to classify from the command line or files, and their classes as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from gpt2simple.cli.options import read_words
from gpt2simple.data.sources import open_source
from gpt2simple.errors import DataError
from gpt2simple.settings import TextSettings

if TYPE_CHECKING:
    from gpt2simple.api.result import Classification


def words_or_lines(noun: str, words: tuple[str, ...], files: tuple[str, ...], encoding: str) -> list[str]:
    """Texts from the command line, or the lines of files; the noun says what they are, such as "text".

    Raises:
        UsageError: both were given, or neither.
    """
    if bool(words) == bool(files):
        raise click.UsageError(f"Give {noun}s, or --file with a {noun} on each line: one of the two.")
    return read_words(noun.upper(), words, encoding) if words else [line.text for line in lines_of(files, encoding)]


class Line(NamedTuple):
    """A line of what the user named, numbered from 1, without its end."""

    file: str
    number: int
    text: str


def lines_of(files: Sequence[str], encoding: str) -> list[Line]:
    """The lines of files, of which blank ones are left out; ``-`` is standard input.

    Raises:
        DataError: a file is missing or cannot be read, or there is no text.
    """
    settings = TextSettings(format="lines", encoding=encoding)
    sources = [open_source(name, None, settings) for name in files]
    lines = [
        Line(source.names[0], number, part.text)
        for source in sources
        for number, part in enumerate(source.parts(), 1)
        if part.text.strip()
    ]
    if not lines:
        names = ", ".join(source.names[0] for source in sources)
        raise DataError(f"{names} holds no text. Give a file with a text on each line.")
    return lines


def as_table(found: Sequence[Classification]) -> str:
    """A CSV table with a header, without the last line end."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = list(found[0].probabilities)
    writer.writerow(["text", "label", *(f"p({name})" for name in names)])
    for one in found:
        writer.writerow([one.text, one.label, *(f"{one.probabilities[name]:.6f}" for name in names)])
    return file.getvalue().rstrip("\n")
