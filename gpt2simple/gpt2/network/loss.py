"""The tied head and the cross-entropy, in slices of rows.

1,024 rows of 50,257 logits are 206 MB in float32, and a plain graph holds several copies. Here a slice of rows goes
from states to loss and to the gradients of both factors at once (the idea of Liger Kernel's fused linear cross-entropy;
Hsu et al., 2024), so that no logits outlive their slice. The caller passes the gradient of the states to the tape
of the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, in_xla, tf
from gpt2simple.gpt2.network.xla import run_after, xla_compiled

SLICE_BYTES = 1 << 27  # of logits: 1,024 rows of GPT-2's vocabulary in 16 bits; fewer rows make the products slower
_FEWER_BYTES = SLICE_BYTES // 4  # where memory matters more
_FEWER_BYTES_FROM = 50_000_000  # numbers of an embedding in 16 bits: GPT-2 355M's has 51 million
_PART_BYTES = 1 << 24  # of the scores of some tokens, or of their rows of the embedding, in float32
_FEWEST_TOKENS = 1024
LOSS_ROWS = 128  # of a slice that the gradient is computed for at a time; 32 to 256 measured equal
_COMMON_TOKENS = 1024
_ALIGNED = 128  # rows: products with 50,304 columns take 10 % less time than with 50,257


class LossGradients(NamedTuple):
    """The loss of some rows and its gradients for both factors of the head.

    Attributes:
        nats: float32 scalar, summed over the rows and not scaled.
        states: gradient of ``scale * nats`` for the states, [N, E] in their dtype.
        embedding: the same for the matrix, [V, E] with its padding, or for its last rows, or None if it was not
            requested: in the dtype of the product if there is one slice, else the float32 sum of all slices.
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
        return tf.cast(tf.convert_to_tensor(embedding), dtype)
    return _shift_and_pad(embedding, _shared(embedding), tf.zeros([], dtype))


def _shared(embedding: Tensor | Variable) -> Tensor:
    """What the rows of the embedding share, float32 [E]."""
    # Any vector would be right; the mean of the commonest tokens (the first ids) is close to that of all, and cheap.
    common = tf.cast(embedding[: min(_COMMON_TOKENS, embedding.shape[0])], tf.float32)  # (tokens, E)
    return tf.reduce_mean(common, axis=0)  # (E,)


def slice_bytes(numbers: int, each: int, *, least: bool = False) -> int:
    """How many bytes of logits to compute at a time, with an embedding of so many numbers of so many bytes each.

    Fewer for one that is large and kept in 16 bits, or where the ``least`` memory is wanted.
    """
    return _FEWER_BYTES if least or (each < 4 and numbers >= _FEWER_BYTES_FROM) else SLICE_BYTES


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


def map_logits(
    function: Callable[..., Any], states: Tensor, matrix: Tensor, *by_row: Tensor, at_a_time: int | None = None
) -> list[Any]:
    """``function(logits, *rows)`` for one slice of rows after the other, so that no more logits exist at a time.

    Args:
        function: of the float32 logits [S, V] of a slice, and the same rows of ``by_row``; returns tensors.
        states, matrix: as for ``logits``.
        by_row: arrays of N rows.
        at_a_time: bytes, from ``slice_bytes``; None: SLICE_BYTES.
    """
    results: list[Any] = []
    for rows in _slices(states, matrix, at_a_time):
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


def summed_loss_by_tokens(states: Tensor, embedding: Tensor | Variable, targets: Tensor, loss_mask: Tensor) -> Tensor:
    """``summed_loss`` in float32 with an embedding in another dtype, of which some rows are converted at a time.

    Args:
        states: float32 [N, E]. embedding: [V, E]. targets, loss_mask: as for ``summed_loss``.
    """
    return _softmax_by_tokens(states, embedding, tf.zeros([states.shape[1]]), targets, loss_mask)[0]


def loss_gradients_by_tokens(
    states: Tensor, embedding: Tensor | Variable, targets: Tensor, loss_mask: Tensor, scale: Tensor, *,
    last_rows: int = 0,
) -> LossGradients:  # fmt: skip
    """``loss_gradients`` for the states alone, with the scores of some tokens at a time, which are computed twice.

    No copy of the embedding and no scores of all tokens are held: for GPT-2 355M 0.1 to 0.2 GB less, and 5 to 10 % more
    time.

    Args:
        states: [N, E]. embedding: [V, E], frozen, in any dtype. The others as for ``loss_gradients``.
    """
    shared = _shared(embedding)  # (E,)
    nats, highest, sums = _softmax_by_tokens(states, embedding, shared, targets, loss_mask)  # (), (N,), (N,)
    d_states, done = tf.zeros(states.shape), nats  # (N, E), ()
    for start, end in _token_ranges(states, embedding):
        part = _part(embedding, shared, start, end, states.dtype, done)  # (S, E)
        scores = tf.matmul(states, part, transpose_b=True)  # (N, S)
        d_scores = _score_gradient(scores, targets - start, highest, sums, loss_mask * scale)  # (N, S)
        done = d_states = d_states + tf.cast(tf.matmul(d_scores, part), tf.float32)  # (N, E)
    d_rows = None
    if last_rows:
        start = embedding.shape[0] - last_rows
        part = _part(embedding, shared, start, embedding.shape[0], states.dtype, done)  # (n, E)
        scores = tf.matmul(states, part, transpose_b=True)  # (N, n)
        d_scores = _score_gradient(scores, targets - start, highest, sums, loss_mask * scale)  # (N, n)
        d_rows = tf.matmul(d_scores, states, transpose_a=True)  # (n, E)
    return LossGradients(nats, tf.cast(d_states, states.dtype), d_rows)


def _softmax_by_tokens(
    states: Tensor, embedding: Tensor | Variable, shared: Tensor, targets: Tensor, loss_mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The summed loss, and of each row of states [N, E] the highest score and the sum of the numerators, [N]."""
    rows = states.shape[0]
    highest, sums, picked = tf.fill([rows], tf.float32.min), tf.zeros([rows]), tf.zeros([rows])  # (N,) each
    for start, end in _token_ranges(states, embedding):
        part = _part(embedding, shared, start, end, states.dtype, picked)  # (S, E)
        scores = tf.matmul(states, part, transpose_b=True)  # (N, S)
        highest, sums, picked = _add_tokens(scores, targets - start, highest, sums, picked)  # (N,) each
    return tf.reduce_sum(loss_mask * (highest + tf.math.log(sums) - picked)), highest, sums


def _token_ranges(states: Tensor, embedding: Tensor | Variable) -> list[tuple[int, int]]:
    """First and last + 1 of the tokens whose scores are computed at once."""
    at_once = max(_PART_BYTES // (4 * max(states.shape)), _FEWEST_TOKENS)
    tokens = embedding.shape[0]
    return [(start, min(start + at_once, tokens)) for start in range(0, tokens, at_once)]


def _part(embedding: Tensor | Variable, shared: Tensor, start: int, end: int, dtype: DType, after: Tensor) -> Tensor:
    """Rows of the embedding in a dtype, without what they share [E]; not before ``after``, or all would be held."""
    with tf.control_dependencies([after]):
        rows = embedding[start:end]  # (end - start, E)
    (rows,) = run_after(after, [rows]) if in_xla() else (rows,)  # see `xla`: it would keep the scores of the first pass
    return tf.cast(tf.cast(rows, tf.float32) - shared, dtype)


@xla_compiled
def _add_tokens(
    scores: Tensor, targets: Tensor, highest: Tensor, sums: Tensor, picked: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Highest score, sum of the softmax's numerators and score of the target, [N] each, with further scores [N, S]."""
    wide = tf.cast(scores, tf.float32)  # (N, S)
    higher = tf.maximum(highest, tf.reduce_max(wide, axis=-1))  # (N,)
    sums = sums * tf.exp(highest - higher) + tf.reduce_sum(tf.exp(wide - higher[:, None]), axis=-1)  # (N,)
    return higher, sums, picked + tf.reduce_sum(tf.where(_is_target(wide, targets), wide, 0.0), axis=-1)


@xla_compiled
def _score_gradient(scores: Tensor, targets: Tensor, highest: Tensor, sums: Tensor, factor: Tensor) -> Tensor:
    """The gradient of scores [N, S] in their dtype; the rest is [N] of each row."""
    shares = tf.exp(tf.cast(scores, tf.float32) - highest[:, None]) / sums[:, None]  # (N, S)
    return tf.cast(factor[:, None] * (shares - tf.cast(_is_target(scores, targets), tf.float32)), scores.dtype)


def _is_target(scores: Tensor, targets: Tensor) -> Tensor:
    return tf.range(scores.shape[-1])[None, :] == targets[:, None]  # (N, S)


def loss_gradients(
    states: Tensor, matrix: Tensor, targets: Tensor, loss_mask: Tensor, scale: Tensor, *,
    vocabulary: int | None = None, with_embedding: bool = True, last_rows: int = 0, at_a_time: int | None = None,
) -> LossGradients:  # fmt: skip
    """The cross-entropy and its gradients.

    Args:
        states, matrix, targets, loss_mask, vocabulary: as for ``summed_loss``. at_a_time: as for ``map_logits``.
        scale: float32 scalar that the gradients are multiplied by: 1 / (target tokens of the step), times the loss
            scale of float16.
        with_embedding: whether the embedding is trained. last_rows: of a frozen one, how many rows at its end are.
    """
    nats, d_states, d_embedding = tf.zeros([]), [], None
    # Like `map_logits`, but logits in 16 bits, and a sum of matrices on the way.
    for rows in _slices(states, matrix, at_a_time):
        with tf.control_dependencies([nats] if d_embedding is None else [nats, d_embedding]):
            part = tf.identity(states[rows])  # (S, E)
        scores = tf.matmul(part, matrix, transpose_b=True)  # (S, V)
        tokens = vocabulary or matrix.shape[0]
        slice_nats, d_scores = _loss_and_gradient(scores, targets[rows], loss_mask[rows], scale, tokens)
        nats += slice_nats
        d_states.append(tf.matmul(d_scores, matrix))  # (S, E)
        if with_embedding or last_rows:
            with tf.control_dependencies([d_states[-1]]):  # each product uses all cores by itself
                d_scores = tf.identity(d_scores)  # (S, V)
            if not with_embedding:
                d_scores = d_scores[:, tokens - last_rows : tokens]  # (S, n)
            d_slice = tf.matmul(d_scores, part, transpose_a=True)  # (V, E), or (n, E)
            d_embedding = (
                d_slice if d_embedding is None else tf.cast(d_embedding, tf.float32) + tf.cast(d_slice, tf.float32)
            )
    return LossGradients(nats, d_states[0] if len(d_states) == 1 else tf.concat(d_states, axis=0), d_embedding)


@xla_compiled
def _shift_and_pad(embedding: Tensor, shared: Tensor, like: Tensor) -> Tensor:
    more = -embedding.shape[0] % _ALIGNED
    return tf.pad(tf.cast(tf.cast(embedding, tf.float32) - shared, like.dtype), [[0, more], [0, 0]])


def _slices(states: Tensor, matrix: Tensor, at_a_time: int | None = None) -> list[slice]:
    rows = states.shape[0]
    per_slice = max((at_a_time or SLICE_BYTES) // (matrix.shape[0] * matrix.dtype.size), 1)
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
    d_scores = factor * (powers / sums - tf.cast(_is_target(scores, targets), tf.float32))  # (S, V)
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
