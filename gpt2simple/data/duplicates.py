"""Which documents are copies or near copies of others, from their sketches.

The measure of two documents is the share of the n-grams of the one with fewer that the other has too; from `NEAR` on
they are near copies. So the same sentences in another order are found, small edits, and a document inside a longer one.

* Documents of fewer than 20 words are only compared as a whole: two jokes may well begin in the same way.
* N-grams in many documents, such as those of a licence, count only for documents that have few others. Where templates
  make up most of each document, as in a log, near copies are all the same found, and may link up into one large group.
* Pairs are looked for among documents that share n-grams: for each n-gram, its first document with each, and each with
  the next. So time and memory grow with the number of n-grams, at most `sketches.MOST_GRAMS`, whatever they are in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpt2simple.data.sketches import WORDS_PER_GRAM, Sketches

NEAR = 0.5
FEWEST_WORDS = 20
_FEWEST_GRAMS = 8  # of a sample; a share of fewer says little
_COMMON = 30  # n-grams in more documents than this, and in more than one in fifty, are common
_FEWEST_RARE = 0.25  # the share of a document's n-grams that must not be common for the common ones not to count
_AT_ONCE = 1 << 20  # n-grams sorted or looked up at a time, to bound memory
_LOW = np.uint64((1 << 32) - 1)
_HALF = np.uint64(32)


@dataclass(frozen=True, kw_only=True, eq=False)
class NearCopies:
    """Pairs of documents that are near copies; of copies, only the first document is in any pair.

    Attributes:
        pairs: int64 [P, 2], numbers of documents from 0, the lower one first.
        shares: float64 [P, 2], the share of the n-grams of each that the other has too.
    """

    pairs: np.ndarray
    shares: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)


def copies(sketches: Sketches) -> np.ndarray:
    """The group of each document, int64 [D]: the number of the first document with the same words."""
    _, first, group = np.unique(sketches.texts, return_index=True, return_inverse=True)
    return first[group]


def near_copies(sketches: Sketches) -> NearCopies:
    """The pairs of near copies among the documents."""
    if len(sketches.counts) < 2:  # the most usual text: spare it the sorting
        return NearCopies(pairs=np.zeros((0, 2), np.int64), shares=np.zeros((0, 2)))
    by_gram, sizes = _counted(sketches)
    pairs = _candidates(by_gram, sizes)
    shares = _shared(by_gram, sizes, pairs)[:, None] / sizes[pairs]  # (pairs, 2)
    near = shares.max(axis=1, initial=0.0) >= NEAR
    return NearCopies(pairs=pairs[near], shares=shares[near])


def groups(first: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The groups that copies and pairs link up, int64 [D]: of each document, the lowest number in its group.

    Args:
        first: as ``copies`` gives it. pairs: int64 [P, 2].
    """
    label = first.copy()
    low, high = pairs.T
    while True:
        before = label.copy()
        least = np.minimum(label[low], label[high])
        np.minimum.at(label, label[low], least)  # the roots of both, not the documents: whole groups move at once
        np.minimum.at(label, label[high], least)
        label = label[label[label]]
        if (label == before).all():
            return label[first]


def _counted(sketches: Sketches) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams that several documents share, and how many n-grams of each document count.

    Returns:
        uint64 [G], n-gram << 32 | document, equal n-grams side by side and their documents ascending; int64 [D].
    """
    documents = len(sketches.counts)
    first = copies(sketches)
    eligible = (first == np.arange(documents)) & (sketches.counts >= _FEWEST_GRAMS)  # (D,)
    owners = np.repeat(np.arange(documents, dtype=np.uint32), np.where(eligible, sketches.counts, 0))
    grams = sketches.grams[np.repeat(eligible, sketches.counts)]  # (G,)
    sizes, rares = np.zeros((2, documents), np.int64)  # n-grams of each document, and those that are not common
    shared, shared_rare = [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    parts = len(grams) // _AT_ONCE + 1  # the n-grams in turn, to bound memory
    for part in range(parts):
        chosen = (grams >> np.uint32(16)) % np.uint32(parts) == part
        by_gram, _ = _sorted((grams[chosen].astype(np.uint64) << _HALF) | owners[chosen])
        frequency = _sorted(by_gram >> _HALF)[1]  # of each n-gram, in documents
        rare = np.repeat(frequency <= max(_COMMON, documents // 50), frequency)
        in_documents = (by_gram & _LOW).astype(np.int64)
        sizes += np.bincount(in_documents, minlength=documents)
        rares += np.bincount(in_documents[rare], minlength=documents)
        several = np.repeat(frequency > 1, frequency)
        shared.append(by_gram[several])
        shared_rare.append(rare[several])
    fewest = max(_FEWEST_GRAMS, (FEWEST_WORDS - WORDS_PER_GRAM + 1) >> sketches.level)
    rare_suffice = (rares >= fewest) & (rares >= _FEWEST_RARE * sizes)  # (D,)
    by_gram = np.concatenate(shared)
    in_documents = (by_gram & _LOW).astype(np.int64)
    counts = (np.concatenate(shared_rare) | ~rare_suffice[in_documents]) & (sizes >= fewest)[in_documents]
    return by_gram[counts], np.where(rare_suffice, rares, sizes)


def _sorted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different keys in ascending order, and how often each occurs (``np.unique`` takes ten times as long)."""
    keys = np.sort(keys)
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return keys[first], np.diff(np.append(first, len(keys)))


def _candidates(by_gram: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Pairs of documents that may be near copies, int64 [pairs, 2], the lower number first."""
    same = by_gram[1:] >> _HALF == by_gram[:-1] >> _HALF  # whether the next document has the n-gram too
    place = np.flatnonzero(same)
    begins = np.maximum.accumulate(np.where(np.append(True, ~same)[: len(by_gram)], np.arange(len(by_gram)), 0))
    far = place[begins[place] < place]  # those whose next document is not the second one
    owners = by_gram & _LOW
    pairs = [owners[place] << _HALF | owners[place + 1], owners[begins[far]] << _HALF | owners[far + 1]]
    keys, counts = _sorted(np.concatenate(pairs))
    found = np.column_stack([keys >> _HALF, keys & _LOW]).astype(np.int64)
    # Not all that two documents share shows here: a third one may stand between them.
    return found[counts >= NEAR / 2 * sizes[found].min(axis=1, initial=len(by_gram))]


def _shared(by_gram: np.ndarray, sizes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """How many n-grams the documents of each pair share, int64 [pairs]; some pairs at a time."""
    by_document = np.sort((by_gram << _HALF) | (by_gram >> _HALF))
    lengths = np.bincount((by_document >> _HALF).astype(np.int64), minlength=len(sizes))  # (D,)
    starts = np.cumsum(lengths) - lengths
    swapped = lengths[pairs[:, 0]] > lengths[pairs[:, 1]]
    small, large = np.where(swapped, pairs.T[::-1], pairs.T)
    ends = np.cumsum(lengths[small])
    shared, done = np.zeros(len(pairs), np.int64), 0
    while done < len(pairs):
        last = max(int(np.searchsorted(ends, (ends[done - 1] if done else 0) + _AT_ONCE, side="right")), done + 1)
        few = small[done:last]
        of_pair = np.repeat(np.arange(last - done), lengths[few])
        offsets = np.arange(len(of_pair)) - np.repeat(np.cumsum(lengths[few]) - lengths[few], lengths[few])
        grams = by_document[np.repeat(starts[few], lengths[few]) + offsets] & _LOW
        wanted = (large[done:last][of_pair].astype(np.uint64) << _HALF) | grams
        at = np.minimum(np.searchsorted(by_document, wanted), len(by_document) - 1)
        shared[done:last] = np.bincount(of_pair[by_document[at] == wanted], minlength=last - done)
        done = last
    return shared
