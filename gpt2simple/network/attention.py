"""Causal self-attention that computes little more than the allowed half and keeps no probabilities.

Queries are taken in blocks; a block sees the keys up to its own end. The backward pass computes the probabilities again
from the saved row-wise log-sums (Dao et al., 2022, at the scale of a CPU's caches), which costs one more product and
saves the largest activations of the network. Blocks are computed one after the other: at once they would push each
other out of the cache, and hold more memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpt2simple._backend import tf
from gpt2simple.network.dropout import DropoutKey, keep_mask, keep_scale
from gpt2simple.network.fusion import fused
from gpt2simple.network.ordering import after

_BLOCK = 128  # queries: 56 % of the square at 1,024 tokens; 128 to 256 measured equal, 512 a third slower
_FORBIDDEN = -1e30
_PLACES = 1 << 16  # masks of one layer have numbers of their own below this


def split_heads(product: Any, bias: Any, batch: int, heads: int) -> tuple[Any, Any, Any]:
    """Queries, keys and values, each [B, H, T, D], from a product [N, 3E] and its bias, float32 [3E].

    The queries come scaled by 1 / sqrt(D), so that the scores need not be.
    """

    @tf.custom_gradient
    def split(product: Any, bias: Any) -> Any:
        def backward(*upstream: Any) -> tuple[Any, Any]:
            return _split_heads_backward(*upstream)

        return _split_heads_forward(product, bias, batch, heads), backward

    return split(product, bias)


def joined_heads(mixed: Any) -> Any:
    """[B, H, T, D] to [N, E]."""
    batch, heads, time, depth = mixed.shape
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * time, heads * depth])


def causal_attention(queries: Any, keys: Any, values: Any, dropout: DropoutKey | None, place: int) -> Any:
    """For each query the average of the values up to its own position, weighted by softmax(q . k).

    Args:
        queries, keys, values: [B, H, T, D], one dtype; the queries already scaled by 1 / sqrt(D).
        dropout: of the weights, or None. place: this layer's number for the masks.

    Returns:
        [B, H, T, D] in the same dtype.
    """
    masks = _BlockMasks(dropout, place)

    @tf.custom_gradient
    def attend(q: Any, k: Any, v: Any) -> Any:
        results: list[Any] = []
        log_sums: list[Any] = []
        for start, end in _blocks(q.shape[2]):
            with tf.control_dependencies(results[-1:]):
                part = tf.identity(q[:, :, start:end])  # (B, H, S, D)
            weights, sums = _softmax(tf.matmul(part, k[:, :, :end], transpose_b=True))  # (B, H, S, T'), (B, H, S)
            results.append(tf.matmul(masks.drop(weights, start), v[:, :, :end]))
            log_sums.append(sums)

        def backward(upstream: Any) -> tuple[Any, Any, Any]:
            return _backward(q, k, v, log_sums, masks, upstream)

        return tf.concat(results, axis=2), backward

    return attend(queries, keys, values)


def _backward(q: Any, k: Any, v: Any, log_sums: list[Any], masks: _BlockMasks, upstream: Any) -> tuple[Any, Any, Any]:
    d_queries: list[Any] = []
    d_keys: list[Any] = []
    d_values: list[Any] = []
    previous = upstream
    for (start, end), sums in zip(_blocks(q.shape[2]), log_sums, strict=True):
        # Made again, not taken from the forward pass, which would have to keep a growing copy for each block.
        part, all_keys, all_values = after(previous, [q, k, v])
        part, up = part[:, :, start:end], upstream[:, :, start:end]
        seen_keys, seen_values = all_keys[:, :, :end], all_values[:, :, :end]
        weights = _weights_from_log_sums(tf.matmul(part, seen_keys, transpose_b=True), sums)
        d_weights = masks.drop(tf.matmul(up, seen_values, transpose_b=True), start)
        d_scores = _softmax_backward(weights, d_weights, tf.ones([]))
        d_values.append(tf.matmul(masks.drop(weights, start), up, transpose_a=True))
        d_queries.append(tf.matmul(d_scores, seen_keys))
        d_keys.append(tf.matmul(d_scores, part, transpose_a=True))
        previous = d_keys[-1]
    return tf.concat(d_queries, axis=2), _sum_of_prefixes(*d_keys), _sum_of_prefixes(*d_values)


class _BlockMasks:
    """The dropout masks of one layer's attention weights, the same in the forward and the backward pass."""

    def __init__(self, dropout: DropoutKey | None, place: int) -> None:
        self._dropout = dropout if dropout is not None and dropout.rate > 0.0 else None
        self._place = place

    def drop(self, weights: Any, start: int) -> Any:
        if self._dropout is None:
            return weights
        with tf.control_dependencies([weights]):  # not drawn, and held, before its turn
            mask = keep_mask(self._dropout, self._place * _PLACES + start, tuple(weights.shape))
        return weights * tf.cast(mask, weights.dtype) * tf.cast(keep_scale(self._dropout), weights.dtype)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK))


def _masked(scores: Any) -> Any:
    """Scores in float32. The S queries are the last S of T' positions: query s sees the keys up to T' - S + s."""
    rows, columns = scores.shape[-2:]
    allowed = tf.range(columns)[None, :] <= tf.range(rows)[:, None] + (columns - rows)
    return tf.where(allowed, tf.cast(scores, tf.float32), _FORBIDDEN)


@fused
def _split_heads_forward(product: Any, bias: Any, batch: int, heads: int) -> tuple[Any, Any, Any]:
    rows, width = product.shape
    depth = width // (3 * heads)
    wide = tf.reshape(tf.cast(product, tf.float32) + bias, [batch, rows // batch, 3, heads, depth])
    queries, keys, values = tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4]))
    return tuple(tf.cast(part, product.dtype) for part in (queries * depth**-0.5, keys, values))


@fused
def _split_heads_backward(d_queries: Any, d_keys: Any, d_values: Any) -> tuple[Any, Any]:
    batch, heads, time, depth = d_queries.shape
    parts = (d_queries * tf.cast(depth**-0.5, d_queries.dtype), d_keys, d_values)
    sums = [tf.reshape(tf.reduce_sum(tf.cast(part, tf.float32), axis=[0, 2]), [-1]) for part in parts]
    by_row = [tf.transpose(part, [0, 2, 1, 3])[:, :, None] for part in parts]  # (B, T, 1, H, D)
    return tf.reshape(tf.concat(by_row, axis=2), [batch * time, 3 * heads * depth]), tf.concat(sums, axis=0)


@fused
def _softmax(scores: Any) -> tuple[Any, Any]:
    masked = _masked(scores)
    highest = tf.reduce_max(masked, axis=-1, keepdims=True)
    powers = tf.exp(masked - highest)
    sums = tf.reduce_sum(powers, axis=-1, keepdims=True)
    return tf.cast(powers / sums, scores.dtype), tf.squeeze(highest + tf.math.log(sums), -1)


@fused
def _weights_from_log_sums(scores: Any, log_sums: Any) -> Any:
    return tf.cast(tf.exp(_masked(scores) - log_sums[..., None]), scores.dtype)


@fused
def _softmax_backward(weights: Any, upstream: Any, one: Any) -> Any:
    w, up = tf.cast(weights, tf.float32), tf.cast(upstream, tf.float32)
    # A product with ones, of what ends in a division: see `layers`. XLA's sum over rows takes half as long again.
    shared = tf.linalg.matvec(tf.reshape(w * up / one, [-1, w.shape[-1]]), tf.ones([w.shape[-1]]))
    return tf.cast(w * (up - tf.reshape(shared, [*w.shape[:-1], 1])), weights.dtype)


@fused
def _sum_of_prefixes(*parts: Any) -> Any:
    """The sum of arrays [B, H, T', D] of growing T', each standing at the beginning; added in float32."""
    length = parts[-1].shape[2]
    wide = [tf.pad(tf.cast(p, tf.float32), [[0, 0], [0, 0], [0, length - p.shape[2]], [0, 0]]) for p in parts]
    return tf.cast(tf.add_n(wide), parts[-1].dtype)
