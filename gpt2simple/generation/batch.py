"""Rows of a batch: who writes where, who waits, when the batch shrinks, what happens at the end of the window.

Knows token ids and logits; knows no text. `RowBatch` keeps the caches and the counts; the order of samples and their
ends are decided by `generator`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpt2simple._backend import tf
from gpt2simple.generation.decode import (
    KeysValues,
    cache_bucket,
    new_caches,
    prompt_bucket,
    prompt_reader,
    row_writer,
    select_rows,
    token_step,
)
from gpt2simple.generation.sampling import Scores
from gpt2simple.generation.shortlist import Shortlist
from gpt2simple.generation.weights import DecodeWeights
from gpt2simple.shape import ModelShape

MOST_SIZES = 4  # compiled batch sizes per call
_WORTH_SHRINKING = 32  # tokens that must remain to be written for a smaller batch to be worth moving to


def batch_sizes(largest: int) -> tuple[int, ...]:
    """The sizes through which a batch shrinks, by halves: 8 -> 8, 4, 2, 1; at most four."""
    sizes = [largest]
    while sizes[-1] > 1 and len(sizes) < MOST_SIZES:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(sizes)


class RowBatch:
    """The caches of some rows and the steps that move them on.

    Args:
        weights, shape: the model's.
        rows: rows at the start.
        longest: most tokens that any row will come to hold, prompt and new ones; beyond the window it slides.
        notify: is told once when a text outgrows the window.
        highest: how many of the highest logits are enough; 0: all are needed.
        shortlist: gives what finds these without reading all of the head, if anything; asked when there is one row.
    """

    def __init__(
        self,
        weights: DecodeWeights,
        shape: ModelShape,
        *,
        rows: int,
        longest: int,
        notify: Callable[[str], None],
        highest: int = 0,
        shortlist: Callable[[], Shortlist | None] = lambda: None,
    ) -> None:
        self._find_shortlist = shortlist
        self._shortlist: Shortlist | None = None
        self._highest = highest
        self._weights = weights
        self._shape = shape
        self._notify = notify
        self._said_sliding = False
        self._sizes = batch_sizes(rows)
        self.rows = rows
        self._slots = cache_bucket(min(longest, shape.n_ctx), shape.n_ctx)
        self._caches = new_caches(shape, rows, self._slots)
        self._step = self._bound_step()
        self._counts = np.zeros(rows, dtype=np.int32)  # tokens that each row's cache holds; 0: not in use
        self._slot = 0  # the ring's next slot
        self._last_prompt: tuple[tuple[int, ...], np.ndarray, list[KeysValues]] | None = None

    def read(self, row: int, tokens: Sequence[int]) -> Scores:
        """Fill a row with the last tokens of a text, at most a window of them; the logits of what follows."""
        window = tuple(tokens[-self._shape.n_ctx :])
        length = prompt_bucket(len(window), self._shape.n_ctx)
        if self._last_prompt is None or self._last_prompt[0] != window:
            padded = np.zeros(length, dtype=np.int32)
            padded[: len(window)] = window
            reader = prompt_reader(self._shape, self._weights.form, length)
            logits, keys_values = reader(self._weights, tf.constant(padded), tf.constant(len(window)))
            # Several samples of one prefix come one after another: they share one reading.
            self._last_prompt = (window, logits.numpy(), keys_values)
        _, logits, keys_values = self._last_prompt
        first = (self._slot - len(window)) % self._slots
        writer = row_writer(self._shape, self.rows, self._slots, length)
        writer(self._caches, keys_values, tf.constant(row), tf.constant(first))
        self._counts[row] = len(window)
        return Scores(logits)

    def is_full(self, row: int) -> bool:
        """Whether a row has no room for another token."""
        return bool(self._counts[row] >= self._shape.n_ctx)

    def slide(self, row: int, tokens: Sequence[int]) -> Scores:
        """Make room in a full row by re-reading the newer half of its text; the logits of what follows.

        Args:
            row: the row.
            tokens: its whole text, the token that was to be fed next included: it is fed by this.
        """
        if not self._said_sliding:
            self._said_sliding = True
            self._notify(
                f"The text is longer than the model's window of {self._shape.n_ctx} tokens: whenever the window is "
                "full, its older half is forgotten."
            )
        return self.read(row, tokens[-max(1, self._shape.n_ctx // 2) :])

    def step(self, tokens: dict[int, int]) -> dict[int, Scores]:
        """Feed one token to each of some rows; the logits of what follows, by row.

        Rows that are not named lose what they hold.
        """
        fed = np.zeros(self.rows, dtype=np.int32)
        for row, token in tokens.items():
            fed[row] = token
        numbers = tf.constant(np.concatenate([fed, self._counts, [self._slot]], dtype=np.int32))
        logits, vectors = self._step(numbers)
        logits = logits.numpy()
        self._slot = (self._slot + 1) % self._slots
        for row in tokens:
            self._counts[row] += 1
        if self._shortlist is not None:
            return {0: self._shortlist.highest(logits[0], vectors.numpy()[0], self._highest)}
        return {row: Scores(logits[row]) for row in tokens}

    def _bound_step(self) -> Callable[..., tf.Tensor]:
        weights = self._weights
        self._shortlist = self._find_shortlist() if self._highest and self.rows == 1 else None
        if self._shortlist is not None:
            weights = weights._replace(head=self._shortlist.rough)
        return token_step(self._shape, weights.form, self.rows, self._slots).bind(weights, self._caches)

    def release(self, row: int) -> None:
        """Say that a row is no longer in use."""
        self._counts[row] = 0

    def shrink(self, in_use: Sequence[int], remaining: int) -> dict[int, int] | None:
        """Move the rows in use to a smaller batch where that pays.

        The rule looks at counts only, not at what happens to be compiled: in reduced precision the same call must
        give the same text whatever ran before it.

        Args:
            in_use: the rows in use.
            remaining: most tokens that any of them may still write.

        Returns:
            New row by old row; None where the batch stays as it is.
        """
        size = min((size for size in self._sizes if size >= len(in_use)), default=self.rows)
        if size >= self.rows or remaining < _WORTH_SHRINKING:
            return None
        chosen = (list(in_use) + [0] * size)[:size]
        self._caches = select_rows(self._caches, chosen, self._shape)
        self._counts = np.where(np.arange(size) < len(in_use), self._counts[chosen], 0).astype(np.int32)
        self.rows = size
        self._step = self._bound_step()
        return {old: new for new, old in enumerate(in_use)}
