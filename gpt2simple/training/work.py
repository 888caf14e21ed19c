"""The loop's two counterparts: what it trains on, and who keeps its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gpt2simple.training.progress import Progress

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # inputs, targets, weights, each [B, T]


class Keeper(Protocol):
    """Whoever keeps checkpoints."""

    def save(self, progress: Progress) -> None:
        """Keep the trainer's state as it is now; it is the best so far where ``best_step`` is ``step``."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run trains on.

    Attributes:
        batch: number of a micro-batch since the run began -> arrays [B, T]; a pure function, so that a number is all
            there is to a position in the data.
        epoch_at: number of micro-batches taken -> passes over the text.
        accumulate: micro-batches per step.
        held_out: batches of one look; empty: nothing is held out. target_bytes: bytes that their targets spell.
        sample: step -> what the model writes, or None.
    """

    batch: Callable[[int], Batch]
    epoch_at: Callable[[int], float]
    accumulate: int
    held_out: Sequence[Batch]
    target_bytes: int
    sample: Callable[[int], str] | None
