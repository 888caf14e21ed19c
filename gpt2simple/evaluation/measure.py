"""A text measured with a model: nats, targets, hits and bytes, in total and for each document."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.tally import Spread, Tally
from gpt2simple.evaluation.windows import Protocol, strided_windows


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
