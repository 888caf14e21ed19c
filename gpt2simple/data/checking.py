"""Copies, near copies and shared passages in any text, found from its words alone: no tokenizer, no cache.

A text is read once, in bounded memory: of each document its hashes and its first words are kept, and of a text that
another is compared with one number for each word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2simple.data.documents import TextPart, documents
from gpt2simple.data.encode import Progress, no_progress, tasks
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.data.sketches import Sketches, SketchWriter, part_hashes
from gpt2simple.data.sources import open_source
from gpt2simple.data.words import gram_hashes, hashed_units
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings

PASSAGE_WORDS = 13  # two texts on one subject hardly ever have so many words in a row in common
_EXCERPT = 60  # characters


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckedText:
    """What is kept of a text.

    Attributes:
        sketches: of its documents. beginnings: the first words of each.
    """

    sketches: Sketches
    beginnings: list[str]


def read_words(
    dataset: Any,
    settings: TextSettings,
    *,
    also: Callable[[list[TextPart]], None] = lambda task: None,
    progress: Progress = no_progress,
) -> CheckedText:
    """Read a text.

    Args:
        also: called with the parts of its documents, many at a time.

    Raises:
        DataError: the dataset is missing, cannot be read, or holds no text.
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    check_encoding(settings.encoding)
    source = open_source(dataset, None, settings)
    writer, beginnings, begins = SketchWriter(), list[str](), True
    for task, begin in tasks(documents(source.parts())):
        writer.add(part_hashes([part.text for part in task], begin), [part.ends for part in task])
        for text, ends in task:
            if begins:
                beginnings.append(" ".join(text[: 4 * _EXCERPT].split())[:_EXCERPT])
            begins = ends
        also(task)
        progress(source.bytes_read(), source.total_bytes())
    if not beginnings:
        raise DataError(f"{', '.join(source.names)} holds no text, or nothing but white space. Give a text to check.")
    return CheckedText(sketches=writer.finish(), beginnings=beginnings)


class Passages:
    """Which passages of a text are in another too: each run of `PASSAGE_WORDS` words is looked up by its hash."""

    def __init__(self) -> None:
        self._hashes: list[np.ndarray] = []
        self._owners: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._document = self._words = 0  # that is being read, and its words so far
        self._seen: tuple[np.ndarray, np.ndarray] | None = None  # the different hashes, and whether each was found

    def add(self, task: list[TextPart]) -> None:
        """Append parts of the text whose passages are looked for."""
        for words, (_, ends) in zip(_words(task), task, strict=True):
            hashes = gram_hashes(words, PASSAGE_WORDS)
            self._hashes.append(hashes)
            self._owners.append(np.full(len(hashes), self._document, np.int32))
            self._places.append(np.arange(len(hashes), dtype=np.int32) + self._words)
            self._document, self._words = (
                (self._document + 1, 0) if ends else (self._document, self._words + len(words))
            )

    def look_in(self, task: list[TextPart]) -> None:
        """Look for them in parts of the other text, after all of the first was appended."""
        if self._seen is None:
            self._hashes = [np.concatenate(self._hashes)]
            different = np.unique(self._hashes[0])
            self._seen = different, np.zeros(len(different), bool)
        different, seen = self._seen
        for words in _words(task) if len(different) else ():
            hashes = gram_hashes(words, PASSAGE_WORDS)
            places = np.searchsorted(different, hashes)  # np.isin would sort all of them again for each document
            places[places == len(different)] = 0
            seen[places[different[places] == hashes]] = True

    def found(self) -> Iterator[tuple[int, float, int]]:
        """The number of each document with such passages, the share of its runs of words, the word where one begins."""
        if self._seen is None:
            return
        different, seen = self._seen
        hit = seen[np.searchsorted(different, self._hashes[0])] if len(different) else np.zeros(0, bool)
        owners, places = np.concatenate(self._owners), np.concatenate(self._places)
        counts, hits = np.bincount(owners), np.bincount(owners[hit])
        first = np.unique(owners[hit], return_index=True)[1]
        for place in np.flatnonzero(hit)[first].tolist():
            document = int(owners[place])
            yield document, float(hits[document] / counts[document]), int(places[place])


def _words(task: list[TextPart]) -> list[np.ndarray]:
    found = hashed_units([part.text for part in task])
    bounds = np.append(0, np.cumsum(found.words))[found.bounds]
    return np.split(found.hashes[found.words], bounds[1:-1])
