"""The order in which a text is read in training and evaluation, as batches of fixed shape.

Every batch is a pure function of the seed and its number, so the position of a run is one number. Packed: a window may
hold the end of one document and the beginning of the next, with the end-of-text id between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.errors import DataError, SettingsError


class PackedShape(NamedTuple):
    """What all batches of packed texts have in common.

    Attributes:
        longest: no text has more tokens.
        targets: no row has more; where there are few, the last block of the model computes these alone. None: all.
    """

    longest: int
    targets: int | None = None


class Batch(NamedTuple):
    """What a step or an evaluation reads at a time.

    Attributes:
        inputs, targets: int32 [B, T]. loss_mask: float32 [B, T], 1 where a target counts, 0 in padding.
        positions: int32 [1, T], of each token in its text, where the only row holds several texts; else None.
    """

    inputs: np.ndarray
    targets: np.ndarray
    loss_mask: np.ndarray
    positions: np.ndarray | None = None

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Those that there are."""
        return tuple(array for array in self if array is not None)


def checked_window(window: int | None, longest: int, name: str = "window") -> int:
    """A window in tokens that the model can read; None: the longest one.

    Args:
        longest: tokens of context that the model has positions for.
        name: of the setting.

    Raises:
        SettingsError: the window is longer.
    """
    if window is not None and window > longest:
        raise SettingsError(
            f"{name} is {window}; this model reads at most {longest} tokens. Leave {name} out, or give up to {longest}."
        )
    return longest if window is None else window


class TrainingWindows:
    """Endless batches of windows: in every epoch each target token is in exactly one of them.

    An epoch reads the text from a random place to its end and on from its beginning, cut into windows, the windows in
    random order. The next epoch cuts it elsewhere. Where reading continues at the beginning, the window holds the
    end-of-text id that opens the text as an input, so the model learns nothing about what would follow the text's last
    token. The last cut of an epoch is shorter in general; its row is padded. A batch may hold rows of two epochs.
    """

    def __init__(self, tokens: TokenSet, window: int, batch_size: int, seed: int) -> None:
        """Windows of ``window`` tokens (fewer where the text is shorter), ``batch_size`` a batch, drawn from ``seed``.

        Raises:
            DataError: there are not even two tokens.
        """
        if not tokens.targets:
            raise DataError("The text has fewer than two tokens, so there is nothing to train on. Give a longer text.")
        self._tokens, self._seed, self._wanted_window = tokens, seed, window
        self.window = min(window, tokens.targets)
        self.batch_size = batch_size
        self.tokens_per_epoch = tokens.targets
        self.windows_per_epoch = -(-tokens.targets // self.window)
        self._order = lru_cache(maxsize=2)(self._draw_order)  # two epochs: a batch may touch both

    @property
    def message(self) -> str | None:
        """A message for the user where the window had to shrink."""
        if self.window == self._wanted_window:
            return None
        return f"The text is shorter than a window of {self._wanted_window} tokens; windows of {self.window} are used."

    def batch(self, index: int) -> Batch:
        """The micro-batch of this number, counted from 0; always the same for the same number."""
        inputs, targets, loss_mask = _empty_batch(self.batch_size, self.window)  # (B, T)
        for row in range(self.batch_size):
            start, length = self._place(index * self.batch_size + row)
            places = [(start, min(length, self.tokens_per_epoch - start))]
            if places[0][1] < length:  # on from the beginning
                places.append((0, length - places[0][1]))
            column = 0
            for first, count in places:
                _fill(self._tokens, first, count, (inputs[row], targets[row], loss_mask[row]), column)
                column += count
        return Batch(inputs, targets, loss_mask)

    def epoch_at(self, index: int) -> float:
        """Passes over the text completed before the micro-batch of this number."""
        return index * self.batch_size / self.windows_per_epoch

    def _place(self, number: int) -> tuple[int, int]:
        """Where the window of this number starts among the targets, and how many it holds."""
        epoch, slot = divmod(number, self.windows_per_epoch)
        offset, order = self._order(epoch)  # (), (windows_per_epoch,)
        first = int(order[slot]) * self.window
        return (offset + first) % self.tokens_per_epoch, min(self.window, self.tokens_per_epoch - first)

    def _draw_order(self, epoch: int) -> tuple[int, np.ndarray]:
        generator = np.random.default_rng((self._seed, epoch))
        offset = int(generator.integers(self.tokens_per_epoch))
        return offset, generator.permutation(self.windows_per_epoch)


def evaluation_batches(
    tokens: TokenSet, window: int, batch_size: int, *, at_most: int | None = None, devices: int = 1
) -> Iterator[Batch]:
    """The text from its first to its last target in consecutive windows, each target in exactly one.

    All batches have the same shape, [B, min(window, targets)]; the loss mask is 0 where the last one is not full.

    Args:
        batch_size: windows in a batch, at most; fewer where that takes no more batches.
        at_most: so many of the windows, evenly spread, where there are more; None: all.
        devices: that share the batches: no batch has more than a device's share of the windows.
    """
    window = min(window, tokens.targets)
    starts: Sequence[int] = range(0, tokens.targets, window) if window else ()
    if not starts:
        return
    if at_most is not None and at_most < len(starts):
        starts = [starts[number * len(starts) // at_most] for number in range(at_most)]
    most_rows = min(batch_size, -(-len(starts) // devices))
    count = -(-len(starts) // most_rows)
    rows = -(-len(starts) // count)  # the fewest that so many batches need
    for first in range(0, len(starts), rows):
        inputs, targets, loss_mask = _empty_batch(rows, window)  # (B, T)
        for row, start in enumerate(starts[first : first + rows]):
            length = min(window, tokens.targets - start)
            _fill(tokens, start, length, (inputs[row], targets[row], loss_mask[row]), 0)
        yield Batch(inputs, targets, loss_mask)


def _empty_batch(batch_size: int, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (batch_size, window)
    return np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)


def _fill(
    tokens: TokenSet, first: int, count: int, rows: tuple[np.ndarray, np.ndarray, np.ndarray], column: int
) -> None:
    """Write ``count`` targets, from the ``first`` on, and the tokens before them into rows [T], from ``column`` on."""
    inputs, targets, loss_mask = rows  # (T,)
    read = tokens.read(first, first + count + 1)  # (count + 1,)
    inputs[column : column + count] = read[:-1]
    targets[column : column + count] = read[1:]
    loss_mask[column : column + count] = 1.0
