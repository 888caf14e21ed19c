"""Texts packed into rows, one after the other, in training and evaluation: hardly any padding, few different shapes.

A micro-batch is one row. Its texts are of all lengths, chosen so that every row of an epoch holds nearly as many
tokens: each width of a row costs a compilation. The model lets no text attend to another, so that a text's loss is the
same in any row. Every batch is a pure function of the seed and its number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import numpy as np

from gpt2simple.data.batches import Batch
from gpt2simple.errors import DataError

# A text's number -> its inputs int32 [T], targets int32 [T] and loss mask float32 [T].
ReadText = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]

TokensT = TypeVar("TokensT", int, np.ndarray)

_MULTIPLE = 16  # tokens: widths are multiples of it
_MOST_WIDTHS = 3
_LITTLE_PADDING = 0.05  # with which another width is not worth its compilation
_NOISE = (0.3, 0.1, 0.03)  # of lengths, when texts are sorted by them: so that no two epochs have the same batches


class PackedBatches:
    """Endless micro-batches of one row each: in every epoch each text is in exactly one of them.

    Attributes:
        widths: of rows in tokens, ascending.
        most_targets: no row has more; rounded up.
        steps_per_epoch: optimizer steps in which each text is read once.
        padding: share of all positions of an epoch that hold no token, 0 to 1.
    """

    def __init__(
        self, lengths: np.ndarray, read: ReadText, *, batch_size: int, accumulate: int, seed: int,
        targets: np.ndarray | None = None, parts: int = 1,
    ) -> None:  # fmt: skip
        """Batches of texts of these lengths, int [N] in tokens.

        Args:
            targets: int [N], how many tokens of each text the loss counts; None: all.
            batch_size: texts in a micro-batch; where they do not divide evenly, all steps have nearly as many.
            accumulate: micro-batches in a step.
            parts: rows that the texts of a micro-batch are dealt over, for as many replicas. They do not change which
                texts are in which micro-batch.

        Raises:
            DataError: there is no text.
        """
        if not len(lengths):
            raise DataError("There is no text to train on. Give more texts.")
        self._lengths, self._read, self._seed, self.accumulate = lengths, read, seed, accumulate
        self._parts = parts
        self._targets = lengths if targets is None else targets
        self.steps_per_epoch = -(-len(lengths) // (batch_size * accumulate))
        draws = [self._draw(np.random.default_rng((seed, 0)), noise) for noise in (0.0, *_NOISE)]
        self._most_tokens = rounded_width(max(_most(lengths, rows) for steps in draws for rows in steps))
        self.most_targets = rounded_width(max(_most(self._targets, rows) for steps in draws for rows in steps))
        needed = [np.sort([_most(lengths, self._dealt(rows)) for rows in steps]) for steps in draws]  # (steps,) each
        self.widths = _fewest_widths(rounded_width(np.max(needed, axis=0)))
        self._steps = lru_cache(maxsize=2)(self._draw_epoch)  # two epochs: a caller may look ahead
        positions = sum(width * accumulate * parts for width, _ in self._steps(0))
        self.padding = 1.0 - int(lengths.sum()) / positions

    def batch(self, index: int) -> Batch:
        """The micro-batch of this number, counted from 0; those of one step have the same width."""
        step, micro_batch = divmod(index, self.accumulate)
        epoch, place = divmod(step, self.steps_per_epoch)
        width, rows = self._steps(epoch)[place]
        own = rows[micro_batch * self._parts : (micro_batch + 1) * self._parts]
        return _joined([_packed(self._read, texts, width) for texts in own])

    def epoch_at(self, index: int) -> float:
        """Passes over the texts completed before the micro-batch of this number."""
        return index / (self.accumulate * self.steps_per_epoch)

    def _draw_epoch(self, epoch: int) -> list[tuple[int, list[np.ndarray]]]:
        """The width of each step of an epoch, and the numbers of the texts of each of its rows, dealt into parts."""
        generator = np.random.default_rng((self._seed, epoch))
        for noise in (*_NOISE, 0.0):  # the last is a draw that the widths were chosen for
            steps = self._draw(generator if noise else np.random.default_rng((self._seed, 0)), noise)
            tokens, targets = (max(_most(of, rows) for rows in steps) for of in (self._lengths, self._targets))
            if tokens <= self._most_tokens and targets <= self.most_targets:  # whatever the parts: the same order
                break
        dealt = [self._dealt(rows) for rows in steps]
        order = generator.permutation(self.steps_per_epoch).tolist()
        return [(_narrowest(self.widths, _most(self._lengths, dealt[step])), dealt[step]) for step in order]

    def _dealt(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        """The texts of each row, dealt into parts: those of the first row, of the second ..."""
        if self._parts == 1:
            return rows
        return [part for texts in rows for part in _dealt(self._lengths, texts, self._parts)]

    def _draw(self, generator: np.random.Generator, noise: float) -> list[list[np.ndarray]]:
        """The texts of an epoch, dealt over the steps, and those of each step over its rows."""
        shuffled = generator.permutation(len(self._lengths))  # (N,)
        keys = self._lengths[shuffled] * generator.uniform(1.0 - noise, 1.0 + noise, len(shuffled))  # (N,)
        steps = _dealt(self._lengths, shuffled[np.argsort(-keys, kind="stable")], self.steps_per_epoch)
        return [_dealt(self._lengths, texts, self.accumulate) for texts in steps]


def packed_rows(
    lengths: np.ndarray, read: ReadText, *, batch_size: int, most_tokens: int | None = None,
    widths: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[tuple[Batch, np.ndarray]]:  # fmt: skip
    """The texts in batches of one row, each in exactly one, and the numbers of its texts, int64 [texts].

    Args:
        lengths: int [N], tokens of each text.
        batch_size: texts that are in a row, at most. most_tokens: that a row of several texts has, about; None: any.
        widths: tokens of rows [R] -> widths that hold them [R]; None: as few and narrow as in training.
    """
    if not len(lengths):
        return []
    count = max(-(-len(lengths) // batch_size), -(-int(lengths.sum()) // (most_tokens or sys.maxsize)))
    rows = _dealt(lengths, np.argsort(-lengths, kind="stable"), min(count, len(lengths)))
    totals = np.array([lengths[texts].sum() for texts in rows])  # (R,)
    if widths is None:
        few = _fewest_widths(rounded_width(totals))
        chosen = [_narrowest(few, total) for total in totals.tolist()]
    else:
        chosen = widths(totals).tolist()
    return [(_packed(read, texts, width), texts) for texts, width in zip(rows, chosen, strict=True)]


def _dealt(lengths: np.ndarray, order: np.ndarray, count: int) -> list[np.ndarray]:
    """Texts [n] divided into so many groups with nearly as many texts and tokens: their numbers, int64 [texts] each.

    They are taken in their order, which is about that of their length, as many as there are groups at a time: each
    group gets one of them, the one with the fewest tokens the longest.
    """
    totals = np.zeros(count, np.int64)
    groups: list[list[int]] = [[] for _ in range(count)]
    for start in range(0, len(order), count):
        texts = order[start : start + count]
        texts = texts[np.argsort(-lengths[texts], kind="stable")]
        emptiest = np.argsort(totals, kind="stable")[: len(texts)]
        totals[emptiest] += lengths[texts]
        for group, text in zip(emptiest.tolist(), texts.tolist(), strict=True):
            groups[group].append(text)
    return [np.array(group, np.int64) for group in groups]


def _most(tokens: np.ndarray, rows: list[np.ndarray]) -> int:
    """The tokens of the row that has most, from those of each text [N]."""
    return max(int(tokens[texts].sum()) for texts in rows)


def _joined(rows: list[Batch]) -> Batch:
    """Batches of one row of several texts each, all of one width, as one of several rows."""
    if len(rows) == 1:
        return rows[0]
    return Batch(*(np.concatenate(arrays) for arrays in zip(*(row.arrays for row in rows), strict=True)))


def rounded_width(tokens: TokensT) -> TokensT:
    """The width of a row that holds so many tokens, or of each of several rows, int [rows]."""
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
    """The narrowest of the widths that holds so many tokens; one of its own where none does, as parts may have it."""
    return widths[int(np.searchsorted(widths, tokens))] if tokens <= widths[-1] else rounded_width(tokens)


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
