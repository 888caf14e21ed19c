"""Which passages of some texts stand verbatim in others: an exact index of all sequences of n words.

Each sequence has a 64-bit number by which the places are sorted; what shares a number is compared word by word, so a
collision of numbers costs a comparison and never an answer. Knows word numbers only; not what they spell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpt2simple.evaluation.words import BREAK

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
    """A number for the n words from each place on, uint64 [max(len - n + 1, 0)]; the same for the same words."""
    count = max(len(words) - n + 1, 0)
    mixed = _mixed(words.astype(np.int64).view(np.uint64))
    numbers = np.zeros(count, np.uint64)
    factor = 1
    for offset in range(n):
        factor = factor * 0x9E3779B97F4A7C15 % (1 << 64)
        numbers += mixed[offset : offset + count] * np.uint64(factor)
    return numbers


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's last steps (Steele et al. 2014): neighbouring numbers become unlike ones."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _broken(words: np.ndarray, n: int) -> np.ndarray:
    """Whether the n words from each place on hold a `BREAK`, bool [max(len - n + 1, 0)]."""
    before = np.concatenate([[0], np.cumsum(words == BREAK)])
    return before[n:] > before[: len(before) - n] if len(words) >= n else np.zeros(0, bool)
