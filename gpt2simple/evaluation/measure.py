"""A model's loss on a text: sums of nats, targets, correct predictions and bytes, in total and for each document.

Every metric follows from these sums by one division at the end.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.windows import Protocol, strided_windows
from gpt2simple.runs.records import LanguageFigures


@dataclass
class Tally:
    """Sums over some targets.

    Attributes:
        nats: summed loss. targets: how many. hits: those to which the model gave the highest probability.
        target_bytes: bytes of text that they encode.
    """

    nats: float = 0.0
    targets: int = 0
    hits: int = 0
    target_bytes: int = 0

    def add(self, nats: np.ndarray, ranks: np.ndarray, lengths: np.ndarray) -> None:
        """Add targets: their nats, ranks and bytes, each [n]."""
        self.nats += float(nats.sum(dtype=np.float64))
        self.targets += len(nats)
        self.hits += int((ranks == 1).sum())
        self.target_bytes += int(lengths.sum())

    @property
    def figures(self) -> LanguageFigures:
        """Loss, perplexity and bits per byte."""
        return LanguageFigures(nats=self.nats, target_tokens=self.targets, target_bytes=self.target_bytes)

    @property
    def accuracy(self) -> float:
        """Share of targets to which the model gave the highest probability, 0 to 1."""
        return self.hits / self.targets


@dataclass
class Measurement:
    """The sums of a whole text.

    Attributes:
        total: over all targets. windows: nats and number of targets of each window.
        documents: of each document in order, including its end-of-text token; empty unless requested.
    """

    total: Tally = field(default_factory=Tally)
    windows: list[tuple[float, int]] = field(default_factory=list)
    documents: list[Tally] = field(default_factory=list)

    @property
    def standard_error(self) -> float | None:
        """Of the loss, nats per token, from its variation between windows; None if there is only one.

        Neighbouring tokens depend on each other; windows are nearly independent. The loss is a ratio of sums over W
        windows, nats N and targets T, with the variance W/(W-1) * sum (n_w - (N/T) t_w)^2 / T^2 (Cochran 1977, section
        6.4).
        """
        count = len(self.windows)
        if count < 2:
            return None
        nats, targets = np.array(self.windows).T  # (W,), (W,)
        squares = np.square(nats - nats.sum() / targets.sum() * targets).sum()
        return math.sqrt(squares * count / (count - 1)) / float(targets.sum())


def measure(
    scorer: Scorer, tokens: TokenSet, protocol: Protocol, *, byte_lengths: np.ndarray, end_of_text: int,
    batch_size: int, per_document: bool = False,
) -> Measurement:  # fmt: skip
    """The loss of every target of a text, each counted once.

    Args:
        byte_lengths: bytes that each id encodes [V].
        end_of_text: the id that ends a document.
        batch_size: windows at a time. per_document: whether to sum each document too.

    Raises:
        DataError: there is nothing to measure.
    """
    found = Measurement()
    documents: defaultdict[int, Tally] = defaultdict(Tally)
    ended = 0  # documents
    windows = ((batch, (batch.inputs, batch.targets)) for batch in strided_windows(tokens, protocol, batch_size))
    for batch, scores in scorer.score_each(windows):
        for row, counts in enumerate(batch.counts):
            if not counts.any():
                continue
            nats, ranks = scores.nats[row, counts], scores.ranks[row, counts]  # (n,)
            targets = batch.targets[row, counts]  # (n,)
            lengths = byte_lengths[targets]  # (n,)
            found.total.add(nats, ranks, lengths)
            found.windows.append((float(nats.sum(dtype=np.float64)), len(nats)))
            if per_document:
                is_end = targets == end_of_text  # (n,)
                numbers = ended + np.cumsum(is_end) - is_end  # (n,), of the document of each target
                ended += int(is_end.sum())
                for number in np.unique(numbers).tolist():
                    own = numbers == number  # (n,)
                    documents[number].add(nats[own], ranks[own], lengths[own])
    found.documents = list(documents.values())
    return found
