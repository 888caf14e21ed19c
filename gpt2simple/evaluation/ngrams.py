"""Texts as sequences of words (`data.words`), and an exact index of which n-grams of a text also occur in another.

The positions of words are kept per slice of text and located again when needed: 100 MB of text hold 18 million words.
The n-grams of the source are sorted by a 64-bit hash; those with equal hashes are compared word by word, so that a
collision costs time but never causes a wrong result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gpt2simple.data.words import WORD, WORD_ENDS, find_words, folded, gram_hashes

_SLICE_CHARACTERS = 1 << 18
BREAK = -1  # between texts: no passage runs from one text into the next


class Vocabulary(dict[str, int]):
    """A number for each word, ignoring case and how accents are encoded; a new word gets the next number."""

    def __init__(self) -> None:
        super().__init__()
        self._folded: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        number = self._folded.setdefault(folded(word), len(self._folded))
        self[word] = number
        return number

    def numbers(self, text: str) -> list[int]:
        """The words of a text as numbers."""
        return list(map(self.__getitem__, find_words(text)))


class WordSequence:
    """Texts as one sequence of word numbers, with `BREAK` after each.

    Attributes:
        words: int32 [N]. texts: the texts.
    """

    def __init__(self, texts: Iterable[str], vocabulary: Vocabulary) -> None:
        self.texts: list[str] = []
        self._slices: list[tuple[int, int]] = []  # number of the text and first character, per slice
        self._slice_starts: list[int] = []  # index in `words` of its first word, per slice
        parts: list[np.ndarray] = []
        count = 0
        for number, text in enumerate(texts):
            self.texts.append(text)
            for first, last in _slices(text):
                self._slices.append((number, first))
                self._slice_starts.append(count)
                parts.append(np.array(vocabulary.numbers(text[first:last]), dtype=np.int32))
                count += len(parts[-1])
            parts.append(np.array([BREAK], dtype=np.int32))
            count += 1
        self.words = np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def place(self, first: int, count: int) -> tuple[int, int, int]:
        """Which text some words are in, and the characters where they start and end."""
        number, start, _ = self._word(first)
        _, _, end = self._word(first + count - 1)
        return number, start, end

    def _word(self, index: int) -> tuple[int, int, int]:
        place = int(np.searchsorted(self._slice_starts, index, side="right")) - 1
        number, offset = self._slices[place]
        found = WORD.finditer(self.texts[number], offset)
        match = next(islice(found, index - self._slice_starts[place], None))
        return number, match.start(), match.end()


def _slices(text: str) -> Iterable[tuple[int, int]]:
    """Start and end of slices of a text, none of which cuts a word."""
    first = 0
    while first < len(text):
        last = min(first + _SLICE_CHARACTERS, len(text))
        if last < len(text):
            last = end.start() if (end := WORD_ENDS.search(text, last)) else len(text)
        yield first, last
        first = last


WORDS_PER_GRAM = 8  # as in Radford et al. 2019, section 4


@dataclass(frozen=True)
class Match:
    """A passage of maximal length: the ``words`` words from ``start`` on occur in the source at ``places``.

    Attributes:
        places: int64 [P], where each occurrence starts, ascending.
    """

    start: int
    words: int
    places: np.ndarray


class CopyIndex:
    """An index of all n-grams of a source, int32 [N] with `BREAK` between texts."""

    def __init__(self, words: np.ndarray, n: int = WORDS_PER_GRAM) -> None:
        self._words, self._n = words, n
        hashes = gram_hashes(words, n)  # (N - n + 1,)
        starts = np.flatnonzero(~_broken(words, n))  # (grams,)
        self._places = starts[np.argsort(hashes[starts])]  # (grams,), by hash
        self._sorted = hashes[self._places]  # (grams,)

    def copied(self, words: np.ndarray) -> np.ndarray:
        """Whether the n-gram at each place occurs in the source, bool [len - n + 1], for words [len]."""
        hashes = gram_hashes(words, self._n)
        found = np.zeros(len(hashes), bool)
        if not len(self._sorted):
            return found
        first = np.searchsorted(self._sorted, hashes)  # (len - n + 1,)
        candidates = np.flatnonzero((first < len(self._sorted)) & ~_broken(words, self._n))
        candidates = candidates[self._sorted[first[candidates]] == hashes[candidates]]
        same = np.ones(len(candidates), bool)  # (candidates,)
        for offset in range(self._n):
            same &= self._words[self._places[first[candidates]] + offset] == words[candidates + offset]
        found[candidates] = same
        for place in candidates[~same]:  # a hash collision: compare all n-grams with this hash
            found[place] = len(self._places_of(words, int(place), int(hashes[place]))) > 0
        return found

    def matches(self, words: np.ndarray) -> Iterator[Match]:
        """The longest copied passages of words [len], in order; none is part of another."""
        hashes = gram_hashes(words, self._n)
        end = 0  # of the previous passage
        for start in np.flatnonzero(self.copied(words)).tolist():
            if end - start >= self._n and (end == len(words) or words[end] == BREAK):
                continue  # a part of the previous passage, which cannot be extended
            places = self._extended(words, start, self._places_of(words, start, int(hashes[start])), end - start)
            if places is None:
                continue
            match = self._longest(words, start, places, max(end - start + 1, self._n))
            yield match
            end = start + match.words

    def _places_of(self, words: np.ndarray, start: int, gram_hash: int) -> np.ndarray:
        low, high = (np.searchsorted(self._sorted, np.uint64(gram_hash), side) for side in ("left", "right"))
        places = np.sort(self._places[low:high])  # (P,)
        for offset in range(self._n):
            places = places[self._words[places + offset] == words[start + offset]]
        return places

    def _extended(self, words: np.ndarray, start: int, places: np.ndarray, known: int) -> np.ndarray | None:
        """The places whose passage is longer than ``known`` words; None if there are none."""
        for offset in range(known, self._n - 1, -1):  # last word first: it is the most likely to differ
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


def _broken(words: np.ndarray, n: int) -> np.ndarray:
    """Whether the n-gram at each place contains a `BREAK`, bool [max(len - n + 1, 0)]."""
    before = np.concatenate([[0], np.cumsum(words == BREAK)])  # (len + 1,)
    return before[n:] > before[: len(before) - n] if len(words) >= n else np.zeros(0, bool)
