"""Texts as sequences of words, and which of their n-grams also occur in other texts: an exact index.

Words are lower-cased runs of letters and digits, as in section 4 of the GPT-2 paper. Of each text only the places of
its words are kept, and found again when somebody asks: 100 MB of text hold 18 million words. Each n-gram has a 64-bit
hash by which the places are sorted. N-grams with equal hashes are compared word by word, so a collision costs time and
never a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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


WORDS_PER_GRAM = 8  # as in Radford et al. 2019, section 4


@dataclass(frozen=True)
class Match:
    """A passage that cannot be made longer: ``words`` words from ``start`` on stand in the source at ``places``.

    Attributes:
        places: int64 [P], every place where it stands, ascending.
    """

    start: int
    words: int
    places: np.ndarray


class CopyIndex:
    """All places of all sequences of n words of a source, int32 [N] with `BREAK` between texts."""

    def __init__(self, words: np.ndarray, n: int = WORDS_PER_GRAM) -> None:
        self._words, self._n = words, n
        numbers = gram_numbers(words, n)
        starts = np.flatnonzero(~_broken(words, n))
        order = np.argsort(numbers[starts])
        self._places = starts[order]
        self._sorted = numbers[self._places]

    @property
    def grams(self) -> int:
        """How many sequences of n words the source has."""
        return len(self._places)

    def copied(self, words: np.ndarray) -> np.ndarray:
        """Whether the n words from each place on stand in the source, bool [len - n + 1], for words [len]."""
        numbers = gram_numbers(words, self._n)
        found = np.zeros(len(numbers), bool)
        if not len(self._sorted):
            return found
        first = np.searchsorted(self._sorted, numbers)
        candidates = np.flatnonzero((first < len(self._sorted)) & ~_broken(words, self._n))
        candidates = candidates[self._sorted[first[candidates]] == numbers[candidates]]
        same = np.ones(len(candidates), bool)
        for offset in range(self._n):
            same &= self._words[self._places[first[candidates]] + offset] == words[candidates + offset]
        found[candidates] = same
        for place in candidates[~same]:  # a collision of numbers: look at all places that share the number
            found[place] = len(self._places_of(words, int(place), int(numbers[place]))) > 0
        return found

    def matches(self, words: np.ndarray) -> Iterator[Match]:
        """The longest copied passages of words [len], in order: none lies within another."""
        numbers = gram_numbers(words, self._n)
        end = 0  # of the passage before
        for start in np.flatnonzero(self.copied(words)).tolist():
            if end - start >= self._n and (end == len(words) or words[end] == BREAK):
                continue  # a part of the passage before, which nothing can make longer
            places = self._extended(words, start, self._places_of(words, start, int(numbers[start])), end - start)
            if places is None:
                continue
            length = self._longest(words, start, places, max(end - start + 1, self._n))
            yield length
            end = start + length.words

    def _places_of(self, words: np.ndarray, start: int, number: int) -> np.ndarray:
        key = np.uint64(number)
        low, high = np.searchsorted(self._sorted, key, "left"), np.searchsorted(self._sorted, key, "right")
        places = np.sort(self._places[low:high])
        for offset in range(self._n):
            places = places[self._words[places + offset] == words[start + offset]]
        return places

    def _extended(self, words: np.ndarray, start: int, places: np.ndarray, known: int) -> np.ndarray | None:
        """Those places whose passage is longer than ``known`` words; None where there are none."""
        for offset in range(known, self._n - 1, -1):  # the last word first: it is the one that others lack
            places = self._agreeing(places, offset, words[start + offset])
            if not len(places):
                return None
        return places

    def _longest(self, words: np.ndarray, start: int, places: np.ndarray, length: int) -> Match:
        while start + length < len(words) and words[start + length] != BREAK:
            longer = self._agreeing(places, length, words[start + length])
            if not len(longer):
                break
            places, length = longer, length + 1
        return Match(start, length, places)

    def _agreeing(self, places: np.ndarray, offset: int, word: int) -> np.ndarray:
        places = places[places + offset < len(self._words)]
        return places[self._words[places + offset] == word]


def gram_numbers(words: np.ndarray, n: int) -> np.ndarray:
    """A 64-bit hash of the n words from each place on, uint64 [max(len - n + 1, 0)] (Karp and Rabin, 1987)."""
    count = max(len(words) - n + 1, 0)
    values = words.astype(np.int64).view(np.uint64)
    numbers = np.zeros(count, np.uint64)
    factor = 1
    for offset in range(n):
        factor = factor * 0x9E3779B97F4A7C15 % (1 << 64)
        numbers += values[offset : offset + count] * np.uint64(factor)
    return numbers


def _broken(words: np.ndarray, n: int) -> np.ndarray:
    """Whether the n words from each place on hold a `BREAK`, bool [max(len - n + 1, 0)]."""
    before = np.concatenate([[0], np.cumsum(words == BREAK)])
    return before[n:] > before[: len(before) - n] if len(words) >= n else np.zeros(0, bool)
