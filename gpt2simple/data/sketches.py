"""What is kept of each document to tell copies: a hash of all its words, and a sample of the hashes of its n-grams.

Made while a text is encoded, in the same threads: later only its ids are there, which differ with case and spacing.
They are kept beside the ids. *Copies* have the same words and symbols in the same order; case, spacing, punctuation and
the form of Unicode make no difference. (Documents of nothing but punctuation are copies where only spacing differs.)
How many n-grams two documents share tells *near copies*; see `duplicates`.

Of a document the first million characters are looked into, and the rest has a plain digest: whether two books are
near copies shows there, and one large text takes hardly any time.

A text of up to `MOST_GRAMS` words is sampled whole; of a longer one every second n-gram is kept, every fourth and so
on, chosen by its hash, so that equal n-grams of two documents are both kept or both left out. With 12 n-grams of a
document of 50 words, as a text of a million of them has, a share of one half has a standard error of 0.14.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpt2simple.data.words import BASE, bytes_hash, gram_hashes, hashed_units, spans_hash

# Longer n-grams miss copies with small edits (of 5-grams, one word in ten replaced leaves 59%, of 4-grams 66%); shorter
# ones occur in any long text: of the 3-grams of a chapter, an unrelated book may have a third, of the 4-grams a tenth.
WORDS_PER_GRAM = 4
MOST_GRAMS = 12_000_000
LOOKED_INTO = 1_000_000  # characters at the beginning of each document


@dataclass(frozen=True, kw_only=True, eq=False)
class Sketches:
    """The sketches of all documents of a text.

    Attributes:
        texts: uint64 [D], equal for copies.
        counts: int64 [D], how many of ``grams`` are each document's.
        grams: uint32 [G], hashes of the sampled n-grams, in the order of the documents; repeated ones repeat.
        level: one in ``2 ** level`` n-grams was sampled: those of which the last ``level`` bits are 0.
    """

    texts: np.ndarray
    counts: np.ndarray
    grams: np.ndarray
    level: int

    def at_level(self, level: int) -> Sketches:
        """A smaller sample of the same documents; the same where it is at that level already."""
        if level <= self.level:
            return self
        kept = (self.grams & np.uint32((1 << level) - 1)) == 0  # (G,)
        owners = np.repeat(np.arange(len(self.counts)), self.counts)[kept]
        counts = np.bincount(owners, minlength=len(self.counts))
        return Sketches(texts=self.texts, counts=counts, grams=self.grams[kept], level=level)

    def followed_by(self, other: Sketches) -> Sketches:
        """The sketches of the documents of both, of these first."""
        level = max(self.level, other.level)
        parts = [self.at_level(level), other.at_level(level)]
        return Sketches(
            texts=np.concatenate([part.texts for part in parts]),
            counts=np.concatenate([part.counts for part in parts]),
            grams=np.concatenate([part.grams for part in parts]),
            level=level,
        )


class PartHashes(NamedTuple):
    """The hashes of parts of documents.

    Attributes:
        units: int64 [P], words and symbols in each. texts: uint64 [P], of all of them.
        counts: int64 [P], n-grams of each. grams: uint32 [G], of all parts.
        rests: of each, as UTF-8, what is not looked into.
    """

    units: np.ndarray
    texts: np.ndarray
    counts: np.ndarray
    grams: np.ndarray
    rests: list[bytes]


def part_hashes(whole_texts: Sequence[str], begins: Sequence[int]) -> PartHashes:
    """The hashes of parts of documents; n-grams that begin in one part and end in the next are left out.

    Args:
        begins: characters of the document before each part.
    """
    bounds = [max(LOOKED_INTO - begin, 0) for begin in begins]
    texts = [text[:bound] for text, bound in zip(whole_texts, bounds, strict=True)]
    rests = [text[bound:].encode("utf-8", "surrogatepass") for text, bound in zip(whole_texts, bounds, strict=True)]
    found = hashed_units(texts)
    hashes = spans_hash(found.hashes, found.bounds)  # (P,)
    units = np.diff(found.bounds)  # (P,)
    for part in np.flatnonzero(units == 0).tolist():
        spelled = " ".join(texts[part].split())
        hashes[part] = bytes_hash(spelled.encode("utf-8", "surrogatepass")) if spelled else 0
    words = found.hashes if found.words.all() else found.hashes[found.words]  # (W,)
    counts = np.diff(np.append(0, np.cumsum(found.words))[found.bounds])  # (P,), words of each
    part_of = np.repeat(np.arange(len(texts), dtype=np.int32), counts)  # (W,)
    whole = part_of[: 1 - WORDS_PER_GRAM] == part_of[WORDS_PER_GRAM - 1 :]  # (n-grams,), in one part
    grams = (gram_hashes(words, WORDS_PER_GRAM) >> np.uint64(32)).astype(np.uint32)
    return PartHashes(units, hashes, np.maximum(counts - WORDS_PER_GRAM + 1, 0), grams[whole], rests)


class SketchWriter:
    """Takes the hashes of the parts of documents in their order."""

    def __init__(self) -> None:
        self._texts, self._counts, self._grams = array("Q"), array("q"), array("I")
        self._level = 0
        self._begin()

    def _begin(self) -> None:
        self._units = self._hash = self._wordless = self._count = 0  # of the document that has not ended
        self._rest = hashlib.blake2b(digest_size=8)
        self._has_rest = False

    def add(self, parts: PartHashes, ends: Sequence[bool]) -> None:
        """Append parts, and end a document after each for which ``ends`` says so."""
        grams, counts = parts.grams, parts.counts
        if self._level:
            kept = Sketches(texts=parts.texts, counts=counts, grams=grams, level=0).at_level(self._level)
            grams, counts = kept.grams, kept.counts
        self._grams.frombytes(grams.tobytes())
        lists = (parts.units.tolist(), parts.texts.tolist(), counts.tolist(), parts.rests, ends)
        for units, text, count, rest, end in zip(*lists, strict=True):
            if units:
                self._hash += text * pow(BASE, self._units, 1 << 64) if self._units else text
            elif text:
                self._wordless = self._wordless * BASE + text
            if rest:
                self._rest.update(rest)
                self._has_rest = True
            self._units += units
            self._count += count
            if end:
                of_rest = int.from_bytes(self._rest.digest(), "little") if self._has_rest else 0
                self._texts.append(((self._hash if self._units else self._wordless) + of_rest) % (1 << 64))
                self._counts.append(self._count)
                self._begin()
        if len(self._grams) > MOST_GRAMS:
            self._thin_out()

    def _thin_out(self) -> None:
        self._counts.append(self._count)
        texts = np.zeros(len(self._counts), np.uint64)
        kept = Sketches(
            texts=texts, counts=np.array(self._counts), grams=np.frombuffer(self._grams, np.uint32), level=self._level
        ).at_level(self._level + 1)
        self._level = kept.level
        self._grams, self._counts = array("I", kept.grams.tobytes()), array("q", kept.counts.tobytes())
        self._count = self._counts.pop()

    def finish(self) -> Sketches:
        """The sketches of the documents that have ended."""
        counts = np.array(self._counts, np.int64)
        grams = np.frombuffer(self._grams, np.uint32)
        return Sketches(texts=np.array(self._texts, np.uint64), counts=counts, grams=grams, level=self._level)
