"""What each of several replicas takes of a training step, so that together they take it once.

A replica is one of the devices, of this machine or others, that make a step together. A step is A micro-batches of B
rows. If the number of replicas divides A, each takes whole micro-batches. Else each takes rows of every one; a row of
several texts is dealt over the replicas by its texts first (`packing`), and is then a micro-batch of as many rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_LOSS_MASK = 2  # place among the arrays of a `Batch`


class StepShare(NamedTuple):
    """What one replica takes of each step.

    It computes as many rows as every other replica. Rows that are not its own have a loss mask of 0 there.

    Attributes:
        micro_batches: A, of the whole step. rows: B, of each whole micro-batch.
        first, taken: the first micro-batch that it computes, and how many.
        first_row, n_rows: the first row that it computes of each of them, and how many.
        own_rows: the first, and the last + 1, of the rows that it learns from.
    """

    micro_batches: int
    rows: int
    first: int
    taken: int
    first_row: int
    n_rows: int
    own_rows: tuple[int, int]

    @property
    def cuts_rows(self) -> bool:
        """Whether it computes only some rows of a micro-batch."""
        return self.n_rows < self.rows

    def of(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Its part of the arrays of a step, each [A, B, T]: [A', B', T]."""
        start, end = self.first_row, self.first_row + self.n_rows
        parts = [array[self.first : self.first + self.taken, start:end] for array in arrays]  # (A', B', T) each
        if (start, end) != self.own_rows:
            counts = np.zeros((1, self.n_rows, 1), np.float32)
            counts[:, self.own_rows[0] - start : self.own_rows[1] - start] = 1.0
            parts[_LOSS_MASK] = parts[_LOSS_MASK] * counts
        return tuple(parts)


def step_shares(replicas: int, micro_batches: int, rows: int) -> tuple[StepShare, ...]:
    """The share of each replica in steps of so many micro-batches of so many rows."""
    if micro_batches % replicas == 0:
        count = micro_batches // replicas
        return tuple(
            StepShare(micro_batches, rows, number * count, count, 0, rows, (0, rows)) for number in range(replicas)
        )
    n_rows = -(-rows // replicas)
    shares = []
    for number in range(replicas):
        own = number * rows // replicas, (number + 1) * rows // replicas
        shares.append(StepShare(micro_batches, rows, 0, micro_batches, min(own[0], rows - n_rows), n_rows, own))
    return tuple(shares)


def parts_of_rows(replicas: int, micro_batches: int) -> int:
    """Into how many rows a row of several texts is dealt, in steps of so many micro-batches."""
    return 1 if micro_batches % replicas == 0 else replicas


def batch_of_one(replicas: int, rows: int, micro_batches: int) -> tuple[int, int]:
    """The most rows, or texts, of a micro-batch, and the micro-batches, that one of so many replicas computes."""
    if micro_batches % replicas == 0:
        return rows, micro_batches // replicas
    return -(-rows // replicas), micro_batches


def target_count(arrays: Sequence[np.ndarray]) -> np.float32:
    """The targets of a whole step, or their weights, from its arrays [A, B, T]."""
    return np.float32(arrays[_LOSS_MASK].sum(dtype=np.float64))


def idle_message(replicas: int, batch_size: int, micro_batches: int) -> str | None:
    """What to say where some replicas have nothing to learn from; None: all have.

    Args:
        batch_size: rows, or texts, of a micro-batch.
    """
    idle = replicas - batch_size
    if micro_batches % replicas == 0 or idle <= 0:
        return None
    return (
        f"A step has {batch_size * micro_batches} rows, so that {idle} of {replicas} devices have nothing to do. "
        f"batch_size={replicas} or accumulate_gradients={replicas} gives each its share; both change the steps."
    )
