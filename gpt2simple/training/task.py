"""The interface between the training loop and its tasks, and the first task, language modelling.

A task turns GPT-2's last hidden states into a loss and computes the metrics of an evaluation.
The loop, checkpoints and callbacks work with any task; a new task is a class with these methods. For every task a batch
consists of inputs, targets and a loss mask of one shape, and positions where a row holds several texts: a classifier,
for instance, has its label as the target of a text's last token, and a mask that is 1 only there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from gpt2simple.backend.tensorflow import Tensor, Variable, tf
from gpt2simple.data.batches import Batch
from gpt2simple.gpt2.lora import ROWS, has_whole_numbers
from gpt2simple.gpt2.network.loss import (
    head_matrix,
    loss_gradients,
    loss_gradients_by_tokens,
    slice_bytes,
    summed_loss,
    summed_loss_by_tokens,
)
from gpt2simple.runs.records import Figures, LanguageFigures

Variables = Mapping[str, Variable]


class Rows(NamedTuple):
    """The N = B*T rows of a batch, or those of its targets alone, as input of the head.

    Attributes:
        states: (N, E), the last hidden states of the body.
        targets: int32 (N,). loss_mask: float32 (N,), 1 where a target counts.
        saves_memory: whether ``gradients`` should take less memory where that takes more time, as with gradient
            checkpointing.
    """

    states: Tensor
    targets: Tensor
    loss_mask: Tensor
    saves_memory: bool = False

    @classmethod
    def of(cls, states: Tensor, targets: Tensor, loss_mask: Tensor) -> Rows:
        """From states (N, E) and a batch's targets and loss mask (B, T)."""
        return cls(states, tf.reshape(targets, [-1]), tf.reshape(loss_mask, [-1]))  # (N, E), (N,), (N,)


class HeadGradients(NamedTuple):
    """The loss of a micro-batch and the gradients that the head computes.

    Attributes:
        nats: float32 scalar, summed over the targets and not scaled.
        states: (N, E), gradient for the body.
        weights: gradients of the head's weights by canonical name; the tied embedding's may end in rows of padding.
    """

    nats: Tensor
    states: Tensor
    weights: dict[str, Tensor]


class Task(Hashable, Protocol):
    """The methods of a task that training, checkpoints and evaluations use.

    Tasks that are equal share compiled steps: their ``gradients`` and ``evaluation_sums`` must be the same functions.
    """

    def gradients(self, variables: Variables, rows: Rows, scale: Tensor, trained: frozenset[str]) -> HeadGradients:
        """The summed loss of a micro-batch and the gradients of ``scale`` times it.

        Args:
            variables: all weights, body and head, by canonical name.
            rows: of the micro-batch.
            scale: float32 scalar.
            trained: names of the weights whose gradients are needed.
        """

    def evaluation_sums(self, variables: Variables, rows: Rows) -> Tensor:
        """The sums over one batch that ``figures`` needs, float32 (K,). Arguments as for ``gradients``."""

    def figures(self, sums: Sequence[float], batches: Sequence[Batch]) -> Figures:
        """The metrics of an evaluation from the ``sums`` (K,) over all ``batches``."""


class LanguageModeling:
    """Next-token prediction with the head tied to the embedding.

    All are equal: the bytes matter to ``figures`` alone.

    Args:
        byte_lengths: bytes of text per token, int (V,); for bits per byte.
    """

    def __init__(self, byte_lengths: np.ndarray) -> None:
        self._byte_lengths = byte_lengths

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def gradients(self, variables: Variables, rows: Rows, scale: Tensor, trained: frozenset[str]) -> HeadGradients:
        """Cross-entropy of the next token."""
        embedding = variables["wte.weight"]  # (V, E)
        new_rows = variables[ROWS].shape[0] if ROWS in trained else 0
        saves = rows.saves_memory or has_whole_numbers(variables)
        if saves and embedding.dtype != tf.float32 and "wte.weight" not in trained:  # no copy, scores computed twice
            nats, d_states, d_rows = loss_gradients_by_tokens(
                rows.states, embedding, rows.targets, rows.loss_mask, scale, last_rows=new_rows
            )
            return HeadGradients(nats, d_states, {} if d_rows is None else {ROWS: d_rows})
        matrix = head_matrix(embedding, rows.states.dtype)  # (V, E), in 16 bits padded to whole cache lines
        nats, d_states, d_embedding = loss_gradients(
            rows.states, matrix, rows.targets, rows.loss_mask, scale,
            vocabulary=embedding.shape[0], with_embedding="wte.weight" in trained, last_rows=new_rows,
            at_a_time=slice_bytes(embedding.shape.num_elements(), embedding.dtype.size),
        )  # fmt: skip
        return HeadGradients(
            nats, d_states, {} if d_embedding is None else {ROWS if new_rows else "wte.weight": d_embedding}
        )

    def evaluation_sums(self, variables: Variables, rows: Rows) -> Tensor:
        """The cross-entropy in nats, float32 (1,); the head is computed in float32 in every precision."""
        embedding, states = variables["wte.weight"], tf.cast(rows.states, tf.float32)  # (V, E), (N, E)
        if embedding.dtype != tf.float32:
            return summed_loss_by_tokens(states, embedding, rows.targets, rows.loss_mask)[None]
        matrix = head_matrix(embedding, tf.float32)  # (V, E)
        return summed_loss(states, matrix, rows.targets, rows.loss_mask)[None]

    def figures(self, sums: Sequence[float], batches: Sequence[Batch]) -> LanguageFigures:
        """Loss, perplexity and bits per byte."""
        return LanguageFigures(
            nats=sums[0],
            target_tokens=sum(int(batch.loss_mask.sum()) for batch in batches),
            target_bytes=sum(int(self._byte_lengths[batch.targets][batch.loss_mask > 0].sum()) for batch in batches),
        )
