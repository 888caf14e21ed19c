"""The tied head and the cross-entropy, in slices of rows.

1,024 rows of 50,257 logits are 206 MB in float32, and a plain graph holds several copies. Here a slice of rows goes
from states to loss and to the gradients of both factors at once (the idea of Liger Kernel's fused linear cross-entropy;
Hsu et al., 2024), so that no logits outlive their slice. The caller hands the gradient of the states to the tape of the
body.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network.xla import fused

_COMMON_TOKENS = 1024

_ALIGNED = 128  # rows: products with 50,304 columns take 10 % less time than with 50,257

_ROWS = 128  # that the loss is computed for at a time; 32 to 256 measured equal

_SLICE_BYTES = 1 << 27  # of logits: 1,024 rows of GPT-2's vocabulary in 16 bits; fewer rows make the products slower


class LossGradients(NamedTuple):
    """The loss of some rows and what it says about both factors of the head.

    Attributes:
        nats: float32 scalar, summed over the rows and not scaled.
        states: gradient of ``scale * nats`` for the states, [N, E] in their dtype.
        embedding: the same for the matrix, [V, E] with its padding, or None where it was not asked for: as the product
            gave it where there is one slice, else the float32 sum.
    """

    nats: Any
    states: Any
    embedding: Any


def head_matrix(embedding: Any, dtype: Any) -> Any:
    """The matrix that turns states into logits, [V, E] in ``dtype``; in 16 bits with rows of zeros below.

    Those make V a multiple of 128, which the products are faster with. Their logits are no tokens': ``summed_loss`` and
    ``loss_gradients`` are told how many are.

    The softmax does not change when all logits of a row move together, so in 16 bits what the embeddings share is taken
    off first: GPT-2's logits lie around -100 with a spread of 10, where bfloat16 has steps of 0.5, and 0.06 without the
    offset. The gradient for the embedding is exactly the same.
    """
    if dtype == tf.float32:
        return tf.convert_to_tensor(embedding)
    # Any vector would be right; the mean of the commonest tokens (the first ids) is close to that of all, and cheap.
    shared = tf.reduce_mean(embedding[: min(_COMMON_TOKENS, embedding.shape[0])], axis=0)
    return _shifted(embedding, shared, tf.zeros([], dtype))


def logits(states: Any, matrix: Any) -> Any:
    """Score of each row of the matrix, float32 [N, V], up to a constant per row of states.

    states [N, E], matrix [V, E] of one dtype.
    """
    return tf.cast(tf.matmul(states, matrix, transpose_b=True), tf.float32)


def summed_loss(states: Any, matrix: Any, targets: Any, weights: Any, *, vocabulary: int | None = None) -> Any:
    """Cross-entropy in nats, summed over the rows: float32 scalar, for evaluation (no gradient).

    Args:
        states: [N, E] from ``hidden_states``. matrix: [V, E] of the same dtype, from ``head_matrix``.
        targets: int32 [N]. weights: float32 [N], 1 where a target counts and 0 where it is padding.
        vocabulary: how many rows of the matrix are tokens; None: all.
    """
    nats = tf.zeros([])
    for rows in row_slices(states, matrix):
        with tf.control_dependencies([nats]):  # one slice at a time: else the executor holds them all
            part = tf.identity(states[rows])
        scores = tf.matmul(part, matrix, transpose_b=True)
        nats += _slice_loss(scores, targets[rows], weights[rows], vocabulary or matrix.shape[0])
    return nats


def loss_gradients(
    states: Any,
    matrix: Any,
    targets: Any,
    weights: Any,
    scale: Any,
    *,
    vocabulary: int | None = None,
    with_embedding: bool = True,
) -> LossGradients:
    """The cross-entropy and its gradients.

    Args:
        states, matrix, targets, weights, vocabulary: as for ``summed_loss``.
        scale: float32 scalar that the gradients are multiplied by: 1 / (target tokens of the step), times the loss
            scale of float16.
        with_embedding: whether the embedding is trained.
    """
    nats, d_states, d_embedding = tf.zeros([]), [], None
    for rows in row_slices(states, matrix):
        with tf.control_dependencies([nats] if d_embedding is None else [nats, d_embedding]):
            part = tf.identity(states[rows])
        scores = tf.matmul(part, matrix, transpose_b=True)
        tokens = vocabulary or matrix.shape[0]
        slice_nats, d_logits = _loss_and_gradient(scores, targets[rows], weights[rows], scale, tokens)
        nats += slice_nats
        d_states.append(tf.matmul(d_logits, matrix))
        if with_embedding:
            with tf.control_dependencies([d_states[-1]]):  # each product uses all cores by itself
                d_logits = tf.identity(d_logits)
            d_slice = tf.matmul(d_logits, part, transpose_a=True)
            d_embedding = (
                d_slice if d_embedding is None else tf.cast(d_embedding, tf.float32) + tf.cast(d_slice, tf.float32)
            )
    return LossGradients(nats, d_states[0] if len(d_states) == 1 else tf.concat(d_states, axis=0), d_embedding)


@fused
def _shifted(embedding: Any, shared: Any, like: Any) -> Any:
    more = -embedding.shape[0] % _ALIGNED
    return tf.pad(tf.cast(embedding - shared, like.dtype), [[0, more], [0, 0]])


def row_slices(states: Any, matrix: Any) -> list[slice]:
    """Slices of the rows of states [N, E], each small enough for its logits to be in memory at once."""
    rows = states.shape[0]
    per_slice = max(_SLICE_BYTES // (matrix.shape[0] * matrix.dtype.size), 1)
    return [slice(start, min(start + per_slice, rows)) for start in range(0, rows, per_slice)]


def _of_tokens(scores: Any, vocabulary: int) -> Any:
    """The scores in float32, those of the padding as low as can be."""
    wide = tf.cast(scores, tf.float32)
    if vocabulary == scores.shape[-1]:
        return wide
    return tf.where(tf.range(scores.shape[-1])[None, :] < vocabulary, wide, wide.dtype.min)


def _log_sums(scores: Any) -> tuple[Any, Any]:
    highest = tf.reduce_max(scores, axis=-1, keepdims=True)
    sums = tf.reduce_sum(tf.exp(scores - highest), axis=-1, keepdims=True)
    return highest, sums


def _picked(scores: Any, targets: Any) -> Any:
    return tf.gather(scores, targets, batch_dims=1)


@fused
def _slice_loss(scores: Any, targets: Any, weights: Any, vocabulary: int) -> Any:
    scores = _of_tokens(scores, vocabulary)
    highest, sums = _log_sums(scores)
    return tf.reduce_sum(weights * (tf.squeeze(highest + tf.math.log(sums), -1) - _picked(scores, targets)))


def _loss_and_gradient(scores: Any, targets: Any, weights: Any, scale: Any, vocabulary: int) -> tuple[Any, Any]:
    """The summed loss of a slice's logits [S, V] and its gradient for them, some rows after the other.

    XLA holds the powers of all rows that it is given, in float32: of the whole slice they would be 206 MB.
    """
    nats, parts = tf.zeros([]), []
    for start in range(0, scores.shape[0], _ROWS):
        rows = slice(start, min(start + _ROWS, scores.shape[0]))
        with tf.control_dependencies([nats]):
            part = tf.identity(scores[rows])
        some, gradient = _rows_loss_and_gradient(part, targets[rows], weights[rows], scale, vocabulary)
        nats += some
        parts.append(gradient)
    return nats, tf.concat(parts, axis=0)


@fused
def _rows_loss_and_gradient(scores: Any, targets: Any, weights: Any, scale: Any, vocabulary: int) -> tuple[Any, Any]:
    wide = _of_tokens(scores, vocabulary)
    highest, sums = _log_sums(wide)
    nats = tf.reduce_sum(weights * (tf.squeeze(highest + tf.math.log(sums), -1) - _picked(wide, targets)))
    factor = (weights * scale)[:, None]
    is_target = tf.range(scores.shape[-1])[None, :] == targets[:, None]
    d_scores = factor * (tf.exp(wide - highest) / sums - tf.cast(is_target, tf.float32))
    return nats, tf.cast(d_scores, scores.dtype)
