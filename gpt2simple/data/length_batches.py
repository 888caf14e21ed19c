"""Labelled texts as batches of texts of similar length, in training and evaluation.

A row holds one text, padded at its end. A batch is as wide as one of a few lengths, which are chosen so that there is
little padding: each width costs a compilation. Every batch is a pure function of the seed and its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gpt2simple.data.batches import Batch
from gpt2simple.errors import DataError


class LengthBatches:
    """Endless batches of texts of similar length: in every epoch each text is in exactly one of them.

    An epoch shuffles the texts of each length and cuts them into optimizer steps. The texts that do not fill a step go
    to the next longer length, so only one step of an epoch is not full: its last rows are empty, and count nothing.
    Then the steps are shuffled.

    Attributes:
        lengths: the widths of batches in tokens, ascending; the last one is that of the longest text.
        steps_per_epoch: optimizer steps in which each text is read once.
        padding: share of all positions of an epoch that hold no token, 0 to 1.
    """

    def __init__(
        self,
        ids: Sequence[np.ndarray],
        labels: np.ndarray,
        weights: np.ndarray,
        *,
        batch_size: int,
        accumulate: int,
        seed: int,
        most_lengths: int,
    ) -> None:
        """Batches of these texts.

        Args:
            ids: the token ids of each text. labels: int32 [N]. weights: float32 [N], of each text in the loss.
            batch_size: texts in a micro-batch. accumulate: micro-batches in a step.
            most_lengths: how many different widths there may be.

        Raises:
            DataError: there is no text, or one without a token.
        """
        counts = _token_counts(ids)  # (N,)
        if not len(counts):
            raise DataError("There is no text to train on. Give labelled texts.")
        self._ids, self._labels, self._weights, self._seed = ids, labels, weights, seed
        self.batch_size, self.accumulate = batch_size, accumulate
        self.lengths = best_lengths(counts, most_lengths)
        bucket_of = np.searchsorted(self.lengths, counts)  # (N,)
        self._buckets = [np.flatnonzero(bucket_of == bucket) for bucket in range(len(self.lengths))]
        per_step = batch_size * accumulate
        self.steps_per_epoch = -(-len(counts) // per_step)
        self._steps = lru_cache(maxsize=2)(self._draw_steps)  # two epochs: a caller may look ahead
        positions = sum(width * per_step for width, _ in self._steps(0))  # the same in each epoch
        self.padding = 1.0 - int(counts.sum()) / positions

    def batch(self, index: int) -> Batch:
        """The micro-batch of this number, counted from 0; those of one step have the same width.

        The target of a text is its label, at the place of its last token; the loss mask has the text's weight there,
        and is 0 everywhere else.
        """
        step, micro_batch = divmod(index, self.accumulate)
        epoch, place = divmod(step, self.steps_per_epoch)
        width, texts = self._steps(epoch)[place]
        chosen = texts[micro_batch * self.batch_size :][: self.batch_size]
        return _filled(self._ids, self._labels, self._weights, chosen, (self.batch_size, width))

    def epoch_at(self, index: int) -> float:
        """Passes over the texts completed before the micro-batch of this number."""
        return index / (self.accumulate * self.steps_per_epoch)

    def _draw_steps(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """The width of each step of an epoch, and the numbers of its texts, int64 [at most those of a step]."""
        generator = np.random.default_rng((self._seed, epoch))
        per_step = self.batch_size * self.accumulate
        steps: list[tuple[int, np.ndarray]] = []
        left = np.zeros(0, np.int64)  # of shorter texts
        for width, bucket in zip(self.lengths, self._buckets, strict=True):
            waiting = np.concatenate([left, generator.permutation(bucket)])  # the shorter ones first, to move no more
            full = len(waiting) // per_step * per_step
            steps += [(width, waiting[start : start + per_step]) for start in range(0, full, per_step)]
            left = waiting[full:]
        if len(left):
            steps.append((self.lengths[-1], left))
        return [steps[place] for place in generator.permutation(len(steps))]


def evaluation_batches(
    ids: Sequence[np.ndarray], labels: np.ndarray, *, batch_size: int, lengths: Sequence[int]
) -> list[tuple[Batch, np.ndarray]]:
    """The texts sorted by length, each in exactly one batch, and the numbers of its texts, int64 [rows in use].

    Each text weighs 1. The last batch may not be full: its last rows are empty, and count nothing.

    Args:
        lengths: the widths that batches may have, ascending. Texts that are longer are as wide as the longest one.

    Raises:
        DataError: a text has no token.
    """
    counts = _token_counts(ids)  # (N,)
    if not len(counts):
        return []
    widths = [*lengths]
    if not widths or counts.max() > widths[-1]:
        widths.append(int(counts.max()))
    order = np.argsort(counts, kind="stable")  # (N,)
    weights = np.ones(len(counts), np.float32)
    found = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        width = widths[int(np.searchsorted(widths, counts[chosen[-1]]))]
        found.append((_filled(ids, labels, weights, chosen, (batch_size, width)), chosen))
    return found


def best_lengths(token_counts: np.ndarray, most: int) -> tuple[int, ...]:
    """The lengths that texts should be padded to so that there is as little padding as possible, ascending.

    Args:
        token_counts: int [N], the tokens of each text.
        most: how many lengths there may be, at least 1.
    """
    different, frequency = np.unique(token_counts, return_counts=True)  # (U,)
    if len(different) <= most:
        return tuple(different.tolist())
    texts = np.append(0, np.cumsum(frequency))  # (U + 1,), texts that are shorter than each of the lengths
    # Positions for all texts shorter than each of the lengths, with so many lengths used; then one more is added.
    positions = np.append(0.0, np.full(len(different), np.inf))  # (U + 1,)
    choices = []
    for _ in range(most):
        added, choice = np.full(len(positions), np.inf), np.zeros(len(positions), np.int64)
        added[0] = 0.0
        for last in range(1, len(positions)):  # texts from some length on are padded to the one before ``last``
            costs = positions[:last] + (texts[last] - texts[:last]) * different[last - 1]
            choice[last] = costs.argmin()
            added[last] = costs[choice[last]]
        positions = added
        choices.append(choice)
    chosen, last = [], len(different)
    for choice in reversed(choices):
        if last:
            chosen.append(int(different[last - 1]))
            last = int(choice[last])
    return tuple(reversed(chosen))


def _token_counts(ids: Sequence[np.ndarray]) -> np.ndarray:
    """The tokens of each text, int64 [N]."""
    counts = np.fromiter(map(len, ids), np.int64, len(ids))
    if len(counts) and not counts.min():
        raise DataError(f"Text {int(counts.argmin())} has no token, so there is nothing to classify. Leave it out.")
    return counts


def _filled(
    ids: Sequence[np.ndarray], labels: np.ndarray, weights: np.ndarray, chosen: np.ndarray, shape: tuple[int, int]
) -> Batch:
    """A batch of this shape (B, T) of the texts of these numbers, at most B; the rows after them are empty."""
    inputs, targets, loss_mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for row, text in enumerate(chosen.tolist()):
        last = len(ids[text]) - 1
        inputs[row, : last + 1] = ids[text]
        targets[row, last] = labels[text]
        loss_mask[row, last] = weights[text]
    return inputs, targets, loss_mask
