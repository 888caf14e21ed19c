"""Causal self-attention that computes little more than the allowed half and keeps no probabilities.

Queries are taken in blocks; a block sees the keys up to its own end. The backward pass computes the probabilities again
(Dao et al., 2022, at the scale of a CPU's caches), which costs one more product and saves the largest activations of
the network. Blocks are computed one after the other: at once they would push each other out of the cache, and hold more
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpt2simple.backend.tensorflow import in_xla, tf, uses_onednn
from gpt2simple.gpt2.network.dropout import DropoutKey, keep_mask, keep_scale
from gpt2simple.gpt2.network.xla import after, fused

# Queries in a block, by the bytes of a number. Of the square at 1,024 tokens 256 compute 63 %, and 128 compute 56 % in
# twice the calls; each measured some per cent faster where it stands.
_BLOCK = {2: 256, 4: 128}

_PLACES = 1 << 16  # masks of one layer have numbers of their own below this


def split_heads(product: Any, bias: Any, batch: int, heads: int) -> tuple[Any, Any, Any]:
    """Queries, keys and values, each [B, H, T, D], from a product [N, 3E] and its bias, float32 [3E]."""

    @tf.custom_gradient
    def split(product: Any, bias: Any) -> Any:
        def backward(*upstream: Any) -> tuple[Any, Any]:
            return _split_heads_backward(*upstream)

        return _split_heads_forward(product, bias, batch, heads), backward

    return split(product, bias)


def causal_attention(queries: Any, keys: Any, values: Any, dropout: DropoutKey | None, place: int) -> Any:
    """For each query the average of the values up to its own position, weighted by softmax(q . k / sqrt(D)).

    Args:
        queries, keys, values: [B, H, T, D], one dtype.
        dropout: of the weights, or None. place: this layer's number for the masks.

    Returns:
        [B*T, H*D], the heads side by side, in the same dtype.
    """
    masks = _BlockMasks(dropout, place)
    batch, heads, time, depth = queries.shape

    @tf.custom_gradient
    def attend(q: Any, k: Any, v: Any) -> Any:
        results: list[Any] = []
        for start, end in _blocks(q):
            with tf.control_dependencies(results[-1:]):
                part = q[:, :, start:end]  # (1, B*H, S, D)
            weights = _weights(part, k[:, :, :end])
            results.append(tf.matmul(masks.drop(weights, start), v[:, :, :end]))
        mixed = _joined_heads(tf.concat(results, axis=2), batch, heads)

        def backward(upstream: Any) -> tuple[Any, Any, Any]:
            by_head, along = _upstream_by_head(upstream, mixed, tf.sqrt(float(depth)), batch, heads)
            return _backward(q, k, v, by_head, along, masks)

        return mixed, backward

    # [1, B*H, T, D]: oneDNN adds one mask to all products of a batch, but only along one dimension. And TensorFlow's
    # optimizer sees no shapes behind compiled functions, but fuses only what it knows the shape of.
    return attend(*(tf.reshape(each, [1, batch * heads, time, each.shape[-1]]) for each in (queries, keys, values)))


def _backward(q: Any, k: Any, v: Any, upstream: Any, along: Any, masks: _BlockMasks) -> tuple[Any, Any, Any]:
    """The gradients of queries, keys and values; upstream and along as ``_upstream_by_head`` gives them."""
    root = tf.sqrt(float(q.shape[-1]))
    d_queries: list[Any] = []
    d_keys: list[Any] = []
    d_values: list[Any] = []
    previous = upstream
    for start, end in _blocks(q):
        # Made again, not taken from the forward pass, which would have to keep a growing copy for each block.
        part, all_keys, all_values = after(previous, [q, k, v])
        part, up = part[:, :, start:end], upstream[:, :, start:end]
        seen_keys, seen_values = all_keys[:, :, :end], all_values[:, :, :end]
        weights = _weights(part, seen_keys)
        d_weights = masks.drop(tf.matmul(up, seen_values, transpose_b=True), start)
        d_products = _softmax_backward(weights, d_weights, along[:, :, start:end], root)
        d_values.append(tf.matmul(masks.drop(weights, start), up, transpose_a=True))
        d_queries.append(tf.matmul(d_products, seen_keys))
        d_keys.append(tf.matmul(d_products, part, transpose_a=True))
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


def _blocks(queries: Any) -> Iterator[tuple[int, int]]:
    length, block = queries.shape[2], _BLOCK[queries.dtype.size]
    return ((start, min(start + block, length)) for start in range(0, length, block))


def _weights(queries: Any, keys: Any) -> Any:
    """softmax(q . k / sqrt(D)), [1, B*H, S, T'], for S queries that are the last of T' positions.

    Written so that TensorFlow's optimizer hands product, factor and mask to oneDNN as one operation: it wants a scalar
    and an array of four dimensions, in this order. oneDNN's softmax computes in float32 whatever it is given; others
    compute in what they are given, so they are given float32.
    """
    depth = queries.shape[-1]
    products = tf.matmul(queries, keys, transpose_b=True)
    if in_xla() or not uses_onednn():
        return _softmax(products, tf.sqrt(float(depth)))
    mask = _mask(queries.shape[-2], keys.shape[-2], queries.dtype)
    return tf.nn.softmax(products * tf.constant(depth**-0.5, queries.dtype) + mask)


@fused
def _softmax(products: Any, root: Any) -> Any:
    rows, columns = products.shape[-2:]
    wide = tf.cast(products, tf.float32) / root + _mask(rows, columns, tf.float32)
    return tf.cast(tf.nn.softmax(wide), products.dtype)


def _mask(rows: int, columns: int, dtype: Any) -> Any:
    """0 where query s may look, at its position T' - S + s and before, else so low that its weight becomes 0."""
    allowed = tf.range(columns)[None, :] <= tf.range(rows)[:, None] + (columns - rows)
    return tf.where(allowed, tf.zeros([], dtype), tf.constant(dtype.min, dtype))[None, None]


@fused
def _split_heads_forward(product: Any, bias: Any, batch: int, heads: int) -> tuple[Any, Any, Any]:
    rows, width = product.shape
    depth = width // (3 * heads)
    wide = tf.reshape(tf.cast(product, tf.float32) + bias, [batch, rows // batch, 3, heads, depth])
    return tuple(tf.cast(part, product.dtype) for part in tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4])))


@fused
def _split_heads_backward(d_queries: Any, d_keys: Any, d_values: Any) -> tuple[Any, Any]:
    batch, heads, time, depth = d_queries.shape
    parts = (d_queries, d_keys, d_values)
    sums = [tf.reshape(tf.reduce_sum(tf.cast(part, tf.float32), axis=[0, 2]), [-1]) for part in parts]
    by_row = [tf.transpose(part, [0, 2, 1, 3])[:, :, None] for part in parts]  # (B, T, 1, H, D)
    return tf.reshape(tf.concat(by_row, axis=2), [batch * time, 3 * heads * depth]), tf.concat(sums, axis=0)


def _joined_heads(mixed: Any, batch: int, heads: int) -> Any:
    """[1, B*H, T, D] to [N, E]."""
    time, depth = mixed.shape[2:]
    by_head = tf.reshape(mixed, [batch, heads, time, depth])
    return tf.reshape(tf.transpose(by_head, [0, 2, 1, 3]), [batch * time, heads * depth])


@fused
def _upstream_by_head(upstream: Any, mixed: Any, root: Any, batch: int, heads: int) -> tuple[Any, Any]:
    """The gradient of the result, [1, B*H, T, D], and its product with the result by query, [1, B*H, T], over root.

    That product is the weights' mean gradient, which the softmax takes off (Dao et al., 2022): dropout changes nothing.
    """
    rows, width = upstream.shape
    time, depth = rows // batch, width // heads
    # A product with ones, of what ends in a division: see `layers`.
    products = tf.cast(upstream, tf.float32) * tf.cast(mixed, tf.float32) / root
    along = tf.linalg.matvec(tf.reshape(products, [rows * heads, depth]), tf.ones([depth]))
    by_head = tf.transpose(tf.reshape(upstream, [batch, time, heads, depth]), [0, 2, 1, 3])
    along_by_head = tf.transpose(tf.reshape(along, [batch, time, heads]), [0, 2, 1])
    return tf.reshape(by_head, [1, -1, time, depth]), tf.reshape(along_by_head, [1, -1, time])


@fused
def _softmax_backward(weights: Any, upstream: Any, along: Any, root: Any) -> Any:
    """The gradient of the weights for the products that they were made from; root: sqrt(D), float32."""
    down = tf.cast(upstream, tf.float32) / root - along[..., None]
    return tf.cast(tf.cast(weights, tf.float32) * down, weights.dtype)


@fused
def _sum_of_prefixes(*parts: Any) -> Any:
    """The sum of arrays [B, H, T', D] of growing T', each standing at the beginning; added in float32."""
    length = parts[-1].shape[2]
    wide = [tf.pad(tf.cast(p, tf.float32), [[0, 0], [0, 0], [0, length - p.shape[2]], [0, 0]]) for p in parts]
    return tf.cast(tf.add_n(wide), parts[-1].dtype)
