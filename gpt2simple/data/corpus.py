"""An encoded text, and a chosen part of one.

The layout of ids, everywhere: the end-of-text id first, then each document followed by one end-of-text id. So every
document is enclosed by two of them and neighbours share one; a model learns both how texts begin and how they end.
Knows no files and no tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpt2simple.data.duplicates import copies, groups, near_copies
from gpt2simple.data.sketches import Sketches


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """An encoded text.

    Attributes:
        ids: uint16 or uint32 [N], in memory or memory-mapped; the layout is in the module's docstring.
        end_of_text: the id between documents.
        document_starts: int64 [D], where each document's first token lies in ``ids``.
        document_bytes: int64 [D], UTF-8 bytes of each document.
        document_digests: uint64 [D], equal for documents of equal text.
        sketches: what tells copies and near copies.
        characters: Unicode characters of all documents.
        files: how many files were read; 0 when the text came from the program itself.
        sources: what was read, as the user named it.
        fingerprint: identifies text, tokenizer and settings; a run that is continued must find the same one.
    """

    ids: np.ndarray
    end_of_text: int
    document_starts: np.ndarray
    document_bytes: np.ndarray
    document_digests: np.ndarray
    sketches: Sketches
    characters: int
    files: int
    sources: tuple[str, ...]
    fingerprint: str

    @property
    def tokens(self) -> int:
        """All ids, the end-of-text ids included."""
        return len(self.ids)

    @property
    def documents(self) -> int:
        return len(self.document_starts)

    @cached_property
    def bytes(self) -> int:
        """UTF-8 bytes of all documents."""
        return int(self.document_bytes.sum())

    @cached_property
    def duplicates(self) -> int:
        """Documents with the same words as an earlier one, in the same order."""
        return self.documents - len(np.unique(self.sketches.texts))

    @cached_property
    def near_duplicates(self) -> int:
        """Documents that are near copies of an earlier one, but not copies."""
        return self.documents - self.duplicates - len(np.unique(self.groups))

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of copies and near copies of each document, int64 [D]: the number of the first one in it."""
        return groups(copies(self.sketches), near_copies(self.sketches).pairs)

    @cached_property
    def document_ends(self) -> np.ndarray:
        """int64 [D], where each document ends: the place after its end-of-text id."""
        return np.append(self.document_starts[1:], self.tokens)  # (D,)

    @cached_property
    def document_tokens(self) -> np.ndarray:
        """int64 [D], tokens of each document, its end-of-text id included."""
        return self.document_ends - self.document_starts  # (D,)

    def whole(self) -> TokenSet:
        """All of the text as one stream of tokens."""
        return TokenSet(self.ids, [(0, self.tokens)], documents=self.documents)


class TokenSet:
    """A part of a corpus as one stream of tokens: spans of its ids, one after the other, without copying them."""

    def __init__(self, ids: np.ndarray, spans: Sequence[tuple[int, int]] | np.ndarray, *, documents: int = 1) -> None:
        """Of ``ids`` [N], the spans ``(start, stop)`` in this order; empty ones are left out, touching ones joined.

        Args:
            documents: how many documents the spans hold, whole or in part.
        """
        pairs = np.asarray(spans, dtype=np.int64).reshape(-1, 2)  # (spans, 2)
        starts, stops = pairs[pairs[:, 0] < pairs[:, 1]].T  # (spans,)
        opens, closes = np.ones((2, len(starts)), dtype=bool)  # whether a gap, or the edge, is before and behind
        opens[1:] = closes[:-1] = starts[1:] != stops[:-1]
        self._ids = ids
        self._starts = starts[opens]  # (joined spans,)
        lengths = stops[closes] - self._starts  # (joined spans,)
        self._ends = np.cumsum(lengths)  # of each span, counted in this stream
        self.tokens = int(lengths.sum())
        self.documents = documents

    @property
    def targets(self) -> int:
        """Tokens that have a token before them: what a model can predict."""
        return max(self.tokens - 1, 0)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The tokens from ``start`` to before ``stop`` of the stream, int32 [stop - start]."""
        assert 0 <= start <= stop <= self.tokens, (start, stop, self.tokens)
        parts = []
        span = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            end = min(stop, int(self._ends[span]))
            # place in ids = place in the stream - stream place of the span's start + the span's start in ids
            shift = int(self._starts[span]) - (int(self._ends[span - 1]) if span else 0)
            parts.append(self._ids[start + shift : end + shift])
            start, span = end, span + 1
        return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, dtype=np.int32)
