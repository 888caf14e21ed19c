"""Texts packed into rows, one after the other, in training and evaluation: hardly any padding, few different shapes.

A micro-batch is one row. Its texts are of all lengths, chosen so that every row of an epoch holds nearly as many
tokens: each width of a row costs a compilation. The model lets no text attend to another, so that a text's loss is the
same in any row. Every batch is a pure function of the seed and its number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from gpt2simple.data.batches import Batch
from gpt2simple.errors import DataError

# A text's number -> its inputs int32 [T], targets int32 [T] and loss mask float32 [T].
ReadText = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]

_MULTIPLE = 16  # tokens: widths are multiples of it
_MOST_WIDTHS = 3
_LITTLE_PADDING = 0.05  # with which another width is not worth its compilation
_NOISE = (0.3, 0.1, 0.03)  # of lengths, when texts are sorted by them: so that no two epochs have the same batches


class PackedBatches:
    """Endless micro-batches of one row each: in every epoch each text is in exactly one of them.

    Attributes:
        widths: of rows in tokens, ascending.
        steps_per_epoch: optimizer steps in which each text is read once.
        padding: share of all positions of an epoch that hold no token, 0 to 1.
    """

    def __init__(self, lengths: np.ndarray, read: ReadText, *, batch_size: int, accumulate: int, seed: int) -> None:
        """Batches of texts of these lengths, int [N] in tokens.

        Args:
            batch_size: texts in a micro-batch; where they do not divide evenly, some have one less.
            accumulate: micro-batches in a step.

        Raises:
            DataError: there is no text.
        """
        if not len(lengths):
            raise DataError("There is no text to train on. Give labelled texts.")
        self._lengths, self._read, self._seed, self.accumulate = lengths, read, seed, accumulate
        self.steps_per_epoch = -(-len(lengths) // (batch_size * accumulate))
        draws = [self._draw_rows(np.random.default_rng((seed, 0)), noise)[1] for noise in (0.0, *_NOISE)]
        totals = np.max([np.sort(draw) for draw in draws], axis=0)  # (rows,)
        self.widths = _fewest_widths(-(-totals // _MULTIPLE) * _MULTIPLE)
        self._steps = lru_cache(maxsize=2)(self._draw_steps)  # two epochs: a caller may look ahead
        positions = sum(width * accumulate for width, _ in self._steps(0))
        self.padding = 1.0 - int(lengths.sum()) / positions

    def batch(self, index: int) -> Batch:
        """The micro-batch of this number, counted from 0; those of one step have the same width."""
        step, micro_batch = divmod(index, self.accumulate)
        epoch, place = divmod(step, self.steps_per_epoch)
        width, rows = self._steps(epoch)[place]
        return _packed(self._read, rows[micro_batch], width)

    def epoch_at(self, index: int) -> float:
        """Passes over the texts completed before the micro-batch of this number."""
        return index / (self.accumulate * self.steps_per_epoch)

    def _draw_steps(self, epoch: int) -> list[tuple[int, list[np.ndarray]]]:
        """The width of each step of an epoch, and the numbers of the texts of each of its rows."""
        generator = np.random.default_rng((self._seed, epoch))
        for noise in (*_NOISE, 0.0):
            rows, totals = self._draw_rows(generator, noise)
            if totals.max() <= self.widths[-1]:
                break
        order = np.argsort(totals, kind="stable")  # (rows,): rows of one step need about the same width
        steps = []
        for step in generator.permutation(self.steps_per_epoch).tolist():
            chosen = order[step * self.accumulate :][: self.accumulate].tolist()
            steps.append((_narrowest(self.widths, totals[chosen].max()), [rows[row] for row in chosen]))
        return steps

    def _draw_rows(self, generator: np.random.Generator, noise: float) -> tuple[list[np.ndarray], np.ndarray]:
        """The numbers of the texts of each row of an epoch, and how many tokens each has, int64 [rows].

        The texts are taken in order of their length, as many as there are rows at a time: each row gets one of them,
        the row with the fewest tokens the longest.
        """
        count = self.steps_per_epoch * self.accumulate
        shuffled = generator.permutation(len(self._lengths))  # (N,)
        keys = self._lengths[shuffled] * generator.uniform(1.0 - noise, 1.0 + noise, len(shuffled))  # (N,)
        order = shuffled[np.argsort(-keys, kind="stable")]  # (N,)
        totals = np.zeros(count, np.int64)
        rows: list[list[int]] = [[] for _ in range(count)]
        for start in range(0, len(order), count):
            texts = order[start : start + count]
            texts = texts[np.argsort(-self._lengths[texts], kind="stable")]
            emptiest = np.argsort(totals, kind="stable")[: len(texts)]
            totals[emptiest] += self._lengths[texts]
            for row, text in zip(emptiest.tolist(), texts.tolist(), strict=True):
                rows[row].append(text)
        return [np.array(row, np.int64) for row in rows], totals


def packed_rows(lengths: np.ndarray, read: ReadText, *, width: int, batch_size: int) -> list[tuple[Batch, np.ndarray]]:
    """The texts sorted by length, each in exactly one batch of one row, and the numbers of its texts, int64 [texts].

    Args:
        lengths: int [N], tokens of each text. width: of rows; at least that of the longest text.
        batch_size: texts that are in a row, at most.
    """
    rows: list[list[int]] = []
    left = 0
    for text in np.argsort(lengths, kind="stable").tolist():
        if not rows or lengths[text] > left or len(rows[-1]) == batch_size:
            rows.append([])
            left = width
        rows[-1].append(text)
        left -= int(lengths[text])
    return [(_packed(read, np.array(row, np.int64), width), np.array(row, np.int64)) for row in rows]


def rounded_width(tokens: int) -> int:
    """The width of a row that holds so many tokens."""
    return -(-tokens // _MULTIPLE) * _MULTIPLE


def _fewest_widths(totals: np.ndarray) -> tuple[int, ...]:
    """Widths, ascending, that rows of so many tokens [rows] can have with little padding."""
    for most in range(1, _MOST_WIDTHS + 1):
        widths = _best_widths(totals, most)
        chosen = np.asarray(widths)[np.searchsorted(widths, totals)]  # (rows,)
        if 1.0 - totals.sum() / chosen.sum() <= _LITTLE_PADDING:
            break
    return widths


def _best_widths(totals: np.ndarray, most: int) -> tuple[int, ...]:
    """The widths that rows should be padded to so that there is as little padding as possible, ascending.

    Args:
        totals: int [N], the tokens of each row.
        most: how many widths there may be, at least 1.
    """
    different, frequency = np.unique(totals, return_counts=True)  # (U,)
    if len(different) <= most:
        return tuple(different.tolist())
    rows = np.append(0, np.cumsum(frequency))  # (U + 1,), rows that are shorter than each of the widths
    # Positions for all rows shorter than each of the widths, with so many widths used; then one more is added.
    positions = np.append(0.0, np.full(len(different), np.inf))  # (U + 1,)
    choices = []
    for _ in range(most):
        added, choice = np.full(len(positions), np.inf), np.zeros(len(positions), np.int64)
        added[0] = 0.0
        for last in range(1, len(positions)):  # rows from some width on are padded to the one before ``last``
            costs = positions[:last] + (rows[last] - rows[:last]) * different[last - 1]
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


def _narrowest(widths: tuple[int, ...], tokens: int) -> int:
    """The narrowest of the widths that holds so many tokens."""
    return widths[int(np.searchsorted(widths, tokens))]


def _packed(read: ReadText, texts: np.ndarray, width: int) -> Batch:
    """A batch of one row of this width; what follows the texts is another one, without a target."""
    inputs, targets = np.zeros((1, width), np.int32), np.zeros((1, width), np.int32)
    loss_mask, positions = np.zeros((1, width), np.float32), np.zeros((1, width), np.int32)
    start = 0
    for text in texts.tolist():
        of_text = read(text)
        end = start + len(of_text[0])
        for row, values in zip((inputs, targets, loss_mask), of_text, strict=True):
            row[0, start:end] = values
        positions[0, start:end] = np.arange(end - start)
        start = end
    return Batch(inputs, targets, loss_mask, positions)
