"""The tied head and the cross-entropy, in slices of rows.

1,024 rows of 50,257 logits are 206 MB in float32, and a plain graph holds several copies. Here a slice of rows goes
from states to loss and to the gradients of both factors at once (the idea of Liger Kernel's fused linear cross-entropy;
Hsu et al., 2024), so that no logits outlive their slice. The caller passes the gradient of the states to the tape
of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, tf
from gpt2simple.gpt2.network.xla import xla_compiled

SLICE_BYTES = 1 << 27  # of logits: 1,024 rows of GPT-2's vocabulary in 16 bits; fewer rows make the products slower
LOSS_ROWS = 128  # of a slice that the gradient is computed for at a time; 32 to 256 measured equal
_COMMON_TOKENS = 1024
_ALIGNED = 128  # rows: products with 50,304 columns take 10 % less time than with 50,257


class LossGradients(NamedTuple):
    """The loss of some rows and its gradients for both factors of the head.

    Attributes:
        nats: float32 scalar, summed over the rows and not scaled.
        states: gradient of ``scale * nats`` for the states, [N, E] in their dtype.
        embedding: the same for the matrix, [V, E] with its padding, or None if it was not requested: in the dtype
            of the product if there is one slice, else the float32 sum of all slices.
    """

    nats: Tensor
    states: Tensor
    embedding: Tensor | None


def head_matrix(embedding: Tensor | Variable, dtype: DType) -> Tensor:
    """The matrix that turns states into logits, [V, E] in ``dtype``; in 16 bits with rows of zeros below.

    Those make V a multiple of 128, which the products are faster with. Their logits belong to no token: ``summed_loss``
    and ``loss_gradients`` take the number of tokens as ``vocabulary``.

    The softmax does not change when all logits of a row move together, so in 16 bits what the embeddings share is
    subtracted first: GPT-2's logits lie around -100 with a spread of 10, where bfloat16 has steps of 0.5, and 0.06
    without the offset. The gradient for the embedding is exactly the same.
    """
    if dtype == tf.float32:
        return tf.convert_to_tensor(embedding)
    # Any vector would be right; the mean of the commonest tokens (the first ids) is close to that of all, and cheap.
    shared = tf.reduce_mean(embedding[: min(_COMMON_TOKENS, embedding.shape[0])], axis=0)  # (E,)
    return _shift_and_pad(embedding, shared, tf.zeros([], dtype))


def logits(states: Tensor, matrix: Tensor) -> Tensor:
    """The score of each row of the matrix, float32 [N, V], up to a constant per row of states.

    Args:
        states: [N, E], from ``hidden_states``.
        matrix: [V, E] of the same dtype, from ``head_matrix``.
    """
    return tf.cast(tf.matmul(states, matrix, transpose_b=True), tf.float32)


def class_logits(states: Tensor, head: Tensor | Variable) -> Tensor:
    """The logits of the classes for states [N, E] and a classifier's head [E, C]: float32 [N, C] at any precision."""
    return tf.matmul(tf.cast(states, tf.float32), head)


def map_logits(function: Callable[..., Any], states: Tensor, matrix: Tensor, *by_row: Tensor) -> list[Any]:
    """``function(logits, *rows)`` for one slice of rows after the other, so that no more logits exist at a time.

    Args:
        function: of the float32 logits [S, V] of a slice, and the same rows of ``by_row``; returns tensors.
        states, matrix: as for ``logits``.
        by_row: arrays of N rows.
    """
    results: list[Any] = []
    for rows in _slices(states, matrix):
        # One slice at a time: else the executor computes, and keeps, all of them at once.
        with tf.control_dependencies(tf.nest.flatten(results[-1:])):
            part = tf.identity(states[rows])  # (S, E)
        results.append(function(logits(part, matrix), *(array[rows] for array in by_row)))
    return results


def summed_loss(
    states: Tensor, matrix: Tensor, targets: Tensor, loss_mask: Tensor, *, vocabulary: int | None = None
) -> Tensor:
    """Cross-entropy in nats, summed over the rows: float32 scalar, for evaluation (no gradient).

    Args:
        states: [N, E] from ``hidden_states``.
        matrix: [V, E] of the same dtype, from ``head_matrix``.
        targets: int32 [N].
        loss_mask: float32 [N], 1 where a target counts and 0 where it is padding.
        vocabulary: how many rows of the matrix are tokens; None: all.
    """

    def sliced_nats(scores: Tensor, *rows: Tensor) -> Tensor:
        return _summed_nats(scores, *rows, vocabulary or matrix.shape[0])

    return sum(map_logits(sliced_nats, states, matrix, targets, loss_mask), tf.zeros([]))


def loss_gradients(
    states: Tensor, matrix: Tensor, targets: Tensor, loss_mask: Tensor, scale: Tensor, *,
    vocabulary: int | None = None, with_embedding: bool = True,
) -> LossGradients:  # fmt: skip
    """The cross-entropy and its gradients.

    Args:
        states, matrix, targets, loss_mask, vocabulary: as for ``summed_loss``.
        scale: float32 scalar that the gradients are multiplied by: 1 / (target tokens of the step), times the loss
            scale of float16.
        with_embedding: whether the embedding is trained.
    """
    nats, d_states, d_embedding = tf.zeros([]), [], None
    for rows in _slices(states, matrix):  # like `map_logits`, but logits in 16 bits, and a sum of matrices on the way
        with tf.control_dependencies([nats] if d_embedding is None else [nats, d_embedding]):
            part = tf.identity(states[rows])  # (S, E)
        scores = tf.matmul(part, matrix, transpose_b=True)  # (S, V)
        tokens = vocabulary or matrix.shape[0]
        slice_nats, d_scores = _loss_and_gradient(scores, targets[rows], loss_mask[rows], scale, tokens)
        nats += slice_nats
        d_states.append(tf.matmul(d_scores, matrix))  # (S, E)
        if with_embedding:
            with tf.control_dependencies([d_states[-1]]):  # each product uses all cores by itself
                d_scores = tf.identity(d_scores)  # (S, V)
            d_slice = tf.matmul(d_scores, part, transpose_a=True)  # (V, E)
            d_embedding = (
                d_slice if d_embedding is None else tf.cast(d_embedding, tf.float32) + tf.cast(d_slice, tf.float32)
            )
    return LossGradients(nats, d_states[0] if len(d_states) == 1 else tf.concat(d_states, axis=0), d_embedding)


@xla_compiled
def _shift_and_pad(embedding: Tensor, shared: Tensor, like: Tensor) -> Tensor:
    more = -embedding.shape[0] % _ALIGNED
    return tf.pad(tf.cast(embedding - shared, like.dtype), [[0, more], [0, 0]])


def _slices(states: Tensor, matrix: Tensor) -> list[slice]:
    rows = states.shape[0]
    per_slice = max(SLICE_BYTES // (matrix.shape[0] * matrix.dtype.size), 1)
    return [slice(start, min(start + per_slice, rows)) for start in range(0, rows, per_slice)]


@xla_compiled
def _summed_nats(scores: Tensor, targets: Tensor, loss_mask: Tensor, vocabulary: int) -> Tensor:
    return _nats_and_softmax(_only_tokens(scores, vocabulary), targets, loss_mask)[0]


def _loss_and_gradient(
    scores: Tensor, targets: Tensor, loss_mask: Tensor, scale: Tensor, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """The summed loss of a slice's logits [S, V] and its gradient for them, ``LOSS_ROWS`` at a time.

    XLA keeps the exponentials of all rows passed to it in float32: of the whole slice they would be 206 MB.
    """
    nats, parts = tf.zeros([]), []
    for start in range(0, scores.shape[0], LOSS_ROWS):
        rows = slice(start, min(start + LOSS_ROWS, scores.shape[0]))
        with tf.control_dependencies([nats]):
            part = tf.identity(scores[rows])  # (at most LOSS_ROWS, V)
        part_nats, d_part = _rows_loss_and_gradient(part, targets[rows], loss_mask[rows], scale, vocabulary)
        nats += part_nats
        parts.append(d_part)
    return nats, tf.concat(parts, axis=0)  # (), (S, V)


@xla_compiled
def _rows_loss_and_gradient(
    scores: Tensor, targets: Tensor, loss_mask: Tensor, scale: Tensor, vocabulary: int
) -> tuple[Tensor, Tensor]:
    wide = _only_tokens(scores, vocabulary)  # (S, V)
    nats, powers, sums = _nats_and_softmax(wide, targets, loss_mask)
    factor = (loss_mask * scale)[:, None]  # (S, 1)
    is_target = tf.range(scores.shape[-1])[None, :] == targets[:, None]  # (S, V)
    d_scores = factor * (powers / sums - tf.cast(is_target, tf.float32))  # (S, V)
    return nats, tf.cast(d_scores, scores.dtype)


def _only_tokens(scores: Tensor, vocabulary: int) -> Tensor:
    """The scores in float32, those of the padding as low as possible."""
    wide = tf.cast(scores, tf.float32)  # (S, V)
    if vocabulary == scores.shape[-1]:
        return wide
    return tf.where(tf.range(scores.shape[-1])[None, :] < vocabulary, wide, wide.dtype.min)


def _nats_and_softmax(scores: Tensor, targets: Tensor, loss_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The summed loss of scores [S, V]; numerators [S, V] and denominators [S, 1] of their softmax."""
    highest = tf.reduce_max(scores, axis=-1, keepdims=True)  # (S, 1)
    powers = tf.exp(scores - highest)  # (S, V)
    sums = tf.reduce_sum(powers, axis=-1, keepdims=True)  # (S, 1)
    log_sums = tf.squeeze(highest + tf.math.log(sums), -1)  # (S,)
    picked = tf.gather(scores, targets, batch_dims=1)  # (S,)
    return tf.reduce_sum(loss_mask * (log_sums - picked)), powers, sums
