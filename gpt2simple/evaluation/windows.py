"""Sliding windows over a text: how much context each token is predicted with, each target counted once.

The method of transformers' guide to the perplexity of fixed-length models, with one difference: there, with a stride of
a whole window, the first token of every window but the first is never predicted; here every token but the very first of
the text is predicted exactly once, whatever the stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpt2simple.data.batches import checked_window
from gpt2simple.data.corpus import TokenSet
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.storage.contents import counted

# Each width is compiled separately, so short texts share a few: 64, 128 and so on up to the window.
_SHORTEST_WIDTH = 64


@dataclass(frozen=True)
class Protocol:
    """How a text is cut: windows of ``window`` inputs, each ``stride`` targets after the one before."""

    window: int
    stride: int

    @classmethod
    def of(cls, window: int | None, stride: int | None, longest: int) -> Protocol:
        """A checked protocol; None: the longest window that the model reads, and a stride of a whole window.

        Args:
            longest: tokens of context that the model has positions for.

        Raises:
            SettingsError: the window is longer than that, or the stride is longer than the window.
        """
        window = checked_window(window, longest)
        stride = window if stride is None else stride
        if stride > window:
            raise SettingsError(
                f"stride is {stride}, more than the window of {window} tokens: tokens between the windows would be "
                f"skipped. Give a stride of at most {window}."
            )
        return cls(window, stride)

    def text(self) -> str:
        """A description of the protocol, for comparison with published results."""
        context = self.window - self.stride + 1
        return (
            f"windows of {self.window} tokens, stride {self.stride}; every token but the first is predicted once, with "
            f"{context} to {self.window} tokens of context where the text has them"
        )


@dataclass(frozen=True, eq=False)
class Windows:
    """A batch of windows.

    Attributes:
        inputs, targets: int32 [B, T]. counts: bool [B, T], whether a target is measured in this window.
    """

    inputs: np.ndarray
    targets: np.ndarray
    counts: np.ndarray


def strided_windows(tokens: TokenSet, protocol: Protocol, batch_size: int) -> Iterator[Windows]:
    """The windows of a text in order, in batches of one shape; rows that pad the last batch do not count.

    Raises:
        DataError: there is nothing to predict.
    """
    if not tokens.targets:
        raise DataError(
            f"There is nothing to measure: the text has {counted(tokens.tokens, 'token')}, and "
            "the first one cannot be predicted. Give a longer text."
        )
    width = _SHORTEST_WIDTH
    while width < min(tokens.targets, protocol.window):
        width *= 2
    width = min(width, protocol.window)
    steps = -(-max(tokens.targets - protocol.window, 0) // protocol.stride)  # to the first that reaches the text's end
    starts = range(0, steps * protocol.stride + 1, protocol.stride)
    batch_size = min(batch_size, len(starts))
    for first in range(0, len(starts), batch_size):
        inputs, targets = (np.zeros((batch_size, width), np.int32) for _ in range(2))  # (B, T)
        counts = np.zeros((batch_size, width), bool)  # (B, T)
        for row, start in enumerate(starts[first : first + batch_size]):
            count = min(width, tokens.targets - start)
            read = tokens.read(start, start + count + 1)  # (count + 1,)
            inputs[row, :count], targets[row, :count] = read[:-1], read[1:]
            # All that earlier windows did not cover: they reach up to start - stride + window.
            measured = protocol.window - protocol.stride if start else 0
            counts[row, measured:count] = True
        yield Windows(inputs, targets, counts)
