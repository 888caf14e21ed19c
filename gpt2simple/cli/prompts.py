"""Prompts from the command line, from files and from standard input, each a text, a conversation or an instruction."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click

from gpt2simple.api.request import INSTRUCTION_KEYS, checked_prompts
from gpt2simple.cli.classes import lines_of
from gpt2simple.cli.options import read_words, without_last_line_end
from gpt2simple.data.readers.plain import decoded
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.storage.contents import parse_json, quoted

logger = logging.getLogger(__name__)
_STDIN = "standard input"
_JSON_LINES = {".jsonl", ".ndjson"}
_EXPECTED = 'a string, {"prompt": ...}, {"messages": [...]} or {"instruction": ..., "input": ...}'


def read_prompts(name: str, words: tuple[str, ...], files: tuple[str, ...], encoding: str) -> list[Any]:
    """The prompts that a command names, in their order.

    Args:
        name: what the words are, for messages. words: prompts; ``-`` is standard input as one prompt.
        files: with a prompt on each line; ``-`` is standard input. encoding: of all that is read.

    Raises:
        UsageError: standard input cannot be read. DataError: a file cannot be, or a line is no prompt.
    """
    typed = zip(words, read_words(name, words, encoding), strict=True)
    return [
        *(without_last_line_end(text) if word == "-" else text for word, text in typed),
        *(
            _prompt(text, f"{file}, line {number}", is_json=not _JSON_LINES.isdisjoint(Path(file).suffixes))
            for file, number, text in (lines_of(files, encoding) if files else [])
        ),
    ]


def typed_prompts(encoding: str) -> Iterator[list[Any]]:
    """The lines of standard input, each as soon as it ends; those that arrive at once come together.

    Raises:
        UsageError: it is closed. DataError: it is in another encoding, a line is no prompt, or a pipe has none.
    """
    if sys.stdin is None:  # closed by the parent process
        raise click.UsageError("No prompt was given, and standard input is closed. Give prompts, or --file.")
    typed = sys.stdin.isatty()
    if typed:
        logger.info("Type a prompt and press Enter. Ctrl-D ends this; on Windows, Ctrl-Z and Enter.")
    stdin = cast(Any, sys.stdin.buffer)
    stream = cast(Any, SimpleNamespace(read=stdin.read1))  # returns what has arrived, and never waits for more
    held, read, found = "", 0, False
    for text in decoded(_STDIN, stream, encoding):
        *lines, held = (held + text).split("\n")
        yield from _numbered(lines, read)
        found, read = found or any(map(str.strip, lines)), read + len(lines)
    yield from _numbered([held], read)
    if not (typed or found or held.strip()):
        raise DataError(f"{_STDIN} holds no prompt. Give prompts, or --file with a prompt on each line.")


def _numbered(lines: list[str], before: int) -> Iterator[list[Any]]:
    """The prompts of lines that follow others, together; nothing where all are blank."""
    prompts: list[Any] = []
    try:
        for number, line in enumerate(lines, before + 1):
            if line.strip():
                prompts.append(_prompt(line.removesuffix("\r"), f"{_STDIN}, line {number}"))
    finally:  # those before a line that is no prompt are answered first
        if prompts:
            yield prompts


def _prompt(line: str, where: str, *, is_json: bool = False) -> Any:
    """The prompt of a line: the line itself, or what JSON says.

    Args:
        is_json: whether every line is JSON; otherwise only an object with prompt, messages or instruction is.

    Raises:
        DataError: it is no prompt.
    """
    if not is_json and not line.lstrip().startswith("{"):
        return line
    try:
        value = parse_json(line)
    except ValueError as error:
        if not is_json:
            return line
        raise DataError(f"{where}: this is not JSON ({error}); expected {_EXPECTED}. Correct it.") from error
    if isinstance(value, Mapping):
        prompt = value.get("prompt", value.get("messages"))
        lower = {name.lower(): each for name, each in value.items()}  # as in the files to train on
        if prompt is None and lower.get("instruction") is not None:
            # Not all of it: a record to train on has an output too.
            prompt = {key: lower[key] for key in INSTRUCTION_KEYS if key in lower}
        if prompt is None and not is_json:
            return line
        value = value if prompt is None else prompt
    if isinstance(value, list):
        while value and isinstance(value[-1], Mapping) and value[-1].get("role") == "assistant":
            value = value[:-1]  # the answer, in a file to train on
    try:
        return checked_prompts([value])[0]
    except SettingsError as error:
        raise DataError(f"{where}: found {quoted(value)}; expected {_EXPECTED}. Correct it.") from error
