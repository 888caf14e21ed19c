"""Whether what a user gives are names of texts or texts themselves.

A name is a path of a file or folder, a pattern, ``-`` for standard input, or ``tfds:name[/config][:split]``. Looks
whether files exist; opens none.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from gpt2simple.errors import DataError

STDIN = "-"
CATALOGUE = "tfds:"
_LONGEST = 1000  # characters of a name in a list
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".npz", ".gz", ".xz", ".zip")


class Names(tuple[str | Path, ...]):
    """Names that never are texts, such as the words of a command line: one that does not exist is an error."""


def are_names(entries: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list holds names rather than texts.

    Raises:
        DataError: some entries are names of files and others are not.
    """
    if isinstance(entries, Names):
        return True
    known = [isinstance(entry, Path) or (isinstance(entry, str) and _is_known(entry)) for entry in entries]
    likely = [k or (isinstance(e, str) and _looks_like_name(e)) for k, e in zip(known, entries, strict=True)]
    if all(likely):
        return True  # a misspelt name must not become a text
    if any(known):
        odd = entries[likely.index(False)]
        raise DataError(
            f"The list names files, but {str(odd)[:60]!r} is none. Give names of files that exist, or texts only."
        )
    return False


def expanded(name: str | Path) -> Path:
    """The path of a name, with the home folder for ``~``; a ``~`` that names nobody's home stays as it is."""
    return Path(os.path.expanduser(name))  # Path.expanduser() raises where there is no such user


def _is_known(entry: str) -> bool:
    if entry == STDIN or entry.startswith(CATALOGUE):
        return True
    if len(entry) > _LONGEST or "\n" in entry or "\0" in entry:
        return False
    try:
        return expanded(entry).exists() or (_is_pattern(entry) and _has_folder(entry) and _matches(entry))
    except OSError:  # too long a name, and such
        return False


def _looks_like_name(entry: str) -> bool:
    if " " in entry.strip():
        return False
    # "Who?" is a text unless a file is meant; "plays/*" is a pattern even where nothing matches it.
    return entry.lower().endswith(_TEXT_SUFFIXES) or (_is_pattern(entry) and (_has_folder(entry) or _matches(entry)))


def _is_pattern(entry: str) -> bool:
    return len(entry) <= _LONGEST and glob.has_magic(entry) and not any(character.isspace() for character in entry)


def _has_folder(entry: str) -> bool:
    return "/" in entry or os.sep in entry


def _matches(pattern: str) -> bool:
    return any(True for _ in glob.iglob(str(expanded(pattern))))
