"""Texts as sequences of words, as in the GPT-2 paper's section 4: lower-cased runs of letters and digits.

Keeps of each text where its words stand, found again only when somebody asks: 100 MB of text have 18 million words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

WORD = re.compile(r"[^\W_]+")
_NO_WORD = re.compile(r"[\W_]")
_SLICE_CHARACTERS = 1 << 18
BREAK = -1  # between texts: no passage runs from one into the next


class Vocabulary(dict[str, int]):
    """A number for each word, whatever its case; asked for a new one, it takes it in."""

    def __init__(self) -> None:
        super().__init__()
        self._lowered: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        number = self._lowered.setdefault(word.lower(), len(self._lowered))
        self[word] = number
        return number

    def numbers(self, text: str) -> list[int]:
        """The words of a text as numbers."""
        return list(map(self.__getitem__, WORD.findall(text)))


class WordSequence:
    """Texts as one sequence of word numbers, with `BREAK` behind each.

    Attributes:
        words: int32 [N].
    """

    def __init__(self, texts: Iterable[str], vocabulary: Vocabulary) -> None:
        self._texts: list[str] = []
        self._text_starts: list[int] = []  # in words
        self._slices: list[tuple[int, int]] = []  # first character in the text, per slice
        self._slice_starts: list[int] = []  # in words
        parts: list[np.ndarray] = []
        count = 0
        for number, text in enumerate(texts):
            self._texts.append(text)
            self._text_starts.append(count)
            for first, last in _slices(text):
                self._slices.append((number, first))
                self._slice_starts.append(count)
                found = np.array(vocabulary.numbers(text[first:last]), dtype=np.int32)
                parts.append(found)
                count += len(found)
            parts.append(np.array([BREAK], dtype=np.int32))
            count += 1
        self.words = np.concatenate(parts) if parts else np.zeros(0, np.int32)

    @property
    def texts(self) -> Sequence[str]:
        return self._texts

    def place(self, first: int, count: int) -> tuple[int, int, int]:
        """Which text some words stand in, and the characters from the first to behind the last of them."""
        number, start, _ = self._word(first)
        _, _, end = self._word(first + count - 1)
        return number, start, end

    def _word(self, index: int) -> tuple[int, int, int]:
        place = int(np.searchsorted(self._slice_starts, index, side="right")) - 1
        number, offset = self._slices[place]
        found = WORD.finditer(self._texts[number], offset)
        match = next(islice(found, index - self._slice_starts[place], None))
        return number, match.start(), match.end()


def _slices(text: str) -> Iterable[tuple[int, int]]:
    """A text in stretches that cut no word."""
    first = 0
    while first < len(text):
        last = min(first + _SLICE_CHARACTERS, len(text))
        if last < len(text):
            gap = _NO_WORD.search(text, last)
            last = gap.start() if gap else len(text)
        yield first, last
        first = last
