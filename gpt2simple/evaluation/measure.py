"""A text measured with a model: sums of nats, targets, hits and bytes, in total and for each document.

Every figure of a measurement follows from these sums by one division at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.windows import Protocol, strided_windows
from gpt2simple.runs.records import bits_per_byte, perplexity


@dataclass
class Tally:
    """What some targets cost.

    Attributes:
        nats: summed. targets: how many. hits: those that the model held likeliest.
        target_bytes: bytes of text that they spell.
    """

    nats: float = 0.0
    targets: int = 0
    hits: int = 0
    target_bytes: int = 0

    def add(self, nats: np.ndarray, ranks: np.ndarray, lengths: np.ndarray) -> None:
        """Count targets by their nats, ranks and bytes, each [n]."""
        self.nats += float(nats.sum(dtype=np.float64))
        self.targets += len(nats)
        self.hits += int((ranks == 1).sum())
        self.target_bytes += int(lengths.sum())

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.targets

    @property
    def perplexity(self) -> float:
        return perplexity(self.loss)

    @property
    def bits_per_byte(self) -> float:
        return bits_per_byte(self.nats, self.target_bytes)

    @property
    def accuracy(self) -> float:
        """Share of targets that the model held likeliest, 0 to 1."""
        return self.hits / self.targets


@dataclass
class Spread:
    """How far the windows of a text differ, for the standard error of its loss.

    Neighbouring tokens go together, so they are no independent draws; windows nearly are. The loss is a ratio of sums
    over W windows, nats N and targets T, and its variance W/(W-1) * sum (n_w - (N/T) t_w)^2 / T^2 (Cochran 1977,
    section 6.4).
    """

    windows: int = 0
    nats: float = 0.0
    targets: float = 0.0
    nats_squared: float = 0.0
    targets_squared: float = 0.0
    product: float = 0.0

    def add(self, nats: float, targets: float) -> None:
        """Count a window."""
        self.windows += 1
        self.nats += nats
        self.targets += targets
        self.nats_squared += nats * nats
        self.targets_squared += targets * targets
        self.product += nats * targets

    @property
    def standard_error(self) -> float | None:
        """Of the loss, nats per token; None where there is but one window."""
        if self.windows < 2:
            return None
        loss = self.nats / self.targets
        squares = self.nats_squared - 2 * loss * self.product + loss * loss * self.targets_squared
        return math.sqrt(max(squares, 0.0) * self.windows / (self.windows - 1)) / self.targets


@dataclass
class Measurement:
    """What a text cost.

    Attributes:
        total: over all targets. spread: over the windows.
        documents: of each document in order, its end-of-text included; empty where they were not asked for.
    """

    total: Tally = field(default_factory=Tally)
    spread: Spread = field(default_factory=Spread)
    documents: list[Tally] = field(default_factory=list)


def measure(
    scorer: Scorer,
    tokens: TokenSet,
    protocol: Protocol,
    *,
    byte_lengths: np.ndarray,
    end_of_text: int,
    batch_size: int,
    per_document: bool = False,
) -> Measurement:
    """Every target of a text, measured once.

    Args:
        byte_lengths: bytes that each id spells [V].
        end_of_text: the id that ends a document.

    Raises:
        DataError: there is nothing to measure.
    """
    found = Measurement()
    starts_document = True
    for batch in strided_windows(tokens, protocol, batch_size):
        scores = scorer.score(batch.inputs, batch.targets)
        for row, counts in enumerate(batch.counts):
            if not counts.any():
                continue
            nats, ranks = scores.nats[row, counts], scores.ranks[row, counts]
            targets = batch.targets[row, counts]
            lengths = byte_lengths[targets]
            found.total.add(nats, ranks, lengths)
            found.spread.add(float(nats.sum(dtype=np.float64)), len(nats))
            if per_document:
                ends = targets == end_of_text
                starts_document = _add_to_documents(found.documents, nats, ranks, lengths, ends, starts_document)
    return found


def _add_to_documents(
    documents: list[Tally],
    nats: np.ndarray,
    ranks: np.ndarray,
    lengths: np.ndarray,
    ends: np.ndarray,
    starts_document: bool,
) -> bool:
    """Count consecutive targets [n] for the documents they belong to; whether the next target starts a document."""
    cuts = [0, *(np.flatnonzero(ends) + 1).tolist()]
    for first, last in zip(cuts, [*cuts[1:], len(ends)], strict=True):
        if first == last:
            continue
        if starts_document:
            documents.append(Tally())
        documents[-1].add(nats[first:last], ranks[first:last], lengths[first:last])
        starts_document = bool(ends[last - 1])
    return starts_document
