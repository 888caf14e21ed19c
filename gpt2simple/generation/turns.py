"""Pieces in the order of their samples, though several samples are written side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gpt2simple.generation.samples import Piece


class Turns:
    """Holds back the pieces of a sample until all samples before it are done."""

    def __init__(self) -> None:
        self._turn = 0  # the first sample that is not done: its pieces are given out at once
        self._held: dict[int, deque[Piece]] = {}  # by sample, in the order in which they came

    def add(self, piece: Piece) -> None:
        """Take the next piece of any sample."""
        self._held.setdefault(piece.sample, deque()).append(piece)

    def ready(self) -> Iterator[Piece]:
        """The pieces whose turn it is; one that is not asked for is still held."""
        while pieces := self._held.get(self._turn):
            piece = pieces.popleft()
            yield piece
            if piece.finish_reason is not None:  # not before: whoever is stopped over this piece is still at its sample
                del self._held[self._turn]
                self._turn += 1

    def finished_later(self) -> list[list[Piece]]:
        """The pieces of each sample that is done and has to wait for one that is not; for when no more will come."""
        later = [pieces for number, pieces in sorted(self._held.items()) if number > self._turn]
        return [list(pieces) for pieces in later if pieces[-1].finish_reason is not None]
