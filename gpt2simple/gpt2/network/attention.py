"""Causal self-attention that computes little more than the lower triangle and keeps no probabilities.

Queries are taken in blocks; a block sees the keys up to its own end. The backward pass computes the probabilities again
(Dao et al., 2022, at the scale of a CPU's caches), which costs one more product and saves the largest activations of
the network. Blocks are computed one after the other: at once they would push each other out of the cache, and hold more
memory.

Twins: `cached._attention` for a prompt, and `kv_cache.attend` for new tokens over cached keys; without gradients, and
with the division by the softmax's sum left to the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gpt2simple.backend.tensorflow import DType, Tensor, in_xla, tf, uses_onednn
from gpt2simple.gpt2.network.dropout import DropoutKey, apply_dropout
from gpt2simple.gpt2.network.layers import of_sum, wide_sum
from gpt2simple.gpt2.network.xla import WithGradient, run_after, xla_compiled

# Queries per block, by bytes per element. Of the 1,024 x 1,024 scores, blocks of 256 compute 63 %, and blocks of 128
# 56 % in twice as many calls; each measured a few per cent faster than the other for its dtype.
_BLOCK = {2: 256, 4: 128}
_MOST_BLOCKS = 8  # each is a part of the graph, which is compiled
_ALIGNED = 16  # keys: where those begin that a block sees
FEW_PLACES = 128  # queries that are computed with all keys of the row at once; more, in blocks with all others
_SITES = 1 << 16  # dropout sites of each layer: a block uses the number of its first query


class Packing(NamedTuple):
    """Several texts in one row, one after the other: each attends to itself alone.

    Attributes:
        positions: int32 [T], of each token in its text, from 0.
        longest: no text has more tokens; static. Keys that are further away are not computed.
    """

    positions: Tensor
    longest: int


def split_heads(
    products: Sequence[Tensor], bias: Tensor, batch: int, heads: int, *, frozen: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each [B, H, T, D], from the projection to all three.

    Args:
        products: [N, 3E] each: their sum is the projection's result, see `layers.add_bias`.
        bias: float32 [3E], added here. frozen: whether it gets no gradient.
    """

    def split(products: Sequence[Tensor], bias: Tensor) -> WithGradient:
        backward = _frozen_split_heads_backward if frozen else _split_heads_backward
        return _split_heads_forward(products, bias, batch, heads), backward

    return of_sum(split, products, bias, frozen=frozen)


def causal_attention(
    queries: Tensor, keys: Tensor, values: Tensor, dropout: DropoutKey | None, site: int, packing: Packing | None = None
) -> Tensor:
    """For each query the average of the values up to its own position, weighted by softmax(q . k / sqrt(D)).

    Args:
        queries, keys, values: [B, H, T, D], one dtype.
        dropout: of the probabilities, or None.
        site: of this layer's dropout.
        packing: of the only row; None: each row is one text.

    Returns:
        [N, E], the heads side by side, in the same dtype.
    """
    batch, heads, time, depth = queries.shape

    def drop(probabilities: Tensor, start: int) -> Tensor:
        return apply_dropout(probabilities, dropout, site * _SITES + start)

    @tf.custom_gradient
    def attend(q: Tensor, k: Tensor, v: Tensor) -> WithGradient:
        outputs: list[Tensor] = []
        for first, start, end in _blocks(q, packing):
            with tf.control_dependencies(outputs[-1:]):
                block = q[:, :, start:end]  # (1, B*H, S, D)
            seen = _seen(packing, first, start, end)
            probabilities = _probabilities(block, k[:, :, first:end], seen)  # (1, B*H, S, T')
            outputs.append(tf.matmul(drop(probabilities, start), v[:, :, first:end]))  # (1, B*H, S, D)
        mixed = _join_heads(tf.concat(outputs, axis=2), batch, heads)  # (N, E)

        def backward(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            by_head, row_dot = _upstream_by_head(upstream, mixed, tf.sqrt(float(depth)), batch, heads)
            return _backward(q, k, v, by_head, row_dot, packing, drop)

        return mixed, backward

    # All heads along one dimension: oneDNN adds one mask to all products of a batch, but only along one dimension. And
    # TensorFlow's optimizer sees no shapes behind compiled functions, but fuses only what it knows the shape of.
    q, k, v = (tf.reshape(x, [1, batch * heads, time, x.shape[-1]]) for x in (queries, keys, values))
    return attend(q, k, v)


def attention_at(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    places: Tensor,
    packing: Packing,
    dropout: DropoutKey | None,
    site: int,
) -> Tensor:
    """``causal_attention`` for the queries of the only row at ``places``, int32 [K]: [K, E]."""
    if places.shape[0] > FEW_PLACES:
        return rows_at(causal_attention(queries, keys, values, dropout, site, packing), places)
    _, heads, time, depth = queries.shape
    few = tf.gather(queries, places, axis=2)  # (1, H, K, D)
    scores = tf.cast(tf.matmul(few, keys, transpose_b=True), tf.float32) * depth**-0.5  # (1, H, K, T)
    key, first = tf.range(time)[None, :], places - tf.gather(packing.positions, places)  # (1, T), (K,)
    visible = tf.logical_and(key >= first[:, None], key <= places[:, None])  # (K, T)
    probabilities = tf.cast(tf.nn.softmax(tf.where(visible, scores, scores.dtype.min)), values.dtype)  # (1, H, K, T)
    mixed = tf.matmul(apply_dropout(probabilities, dropout, site * _SITES), values)  # (1, H, K, D)
    return _join_heads(mixed, 1, heads)


def rows_at(x: Tensor, places: Tensor) -> Tensor:
    """The rows of x [N, E] at ``places``, int32 [K]: [K, E].

    As tf.gather, whose gradient has no static shape, which custom gradients here need.
    """

    @tf.custom_gradient
    def pick(x: Tensor) -> WithGradient:
        return tf.gather(x, places), lambda upstream: tf.scatter_nd(places[:, None], upstream, x.shape)

    return pick(x)


def _backward(
    q: Tensor, k: Tensor, v: Tensor, upstream: Tensor, row_dot: Tensor,
    packing: Packing | None, drop: Callable[[Tensor, int], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of queries, keys and values; upstream and row_dot as ``_upstream_by_head`` returns them."""
    root = tf.sqrt(float(q.shape[-1]))
    d_queries: list[Tensor] = []
    d_keys: list[Tensor] = []
    d_values: list[Tensor] = []
    previous = upstream
    blocks = tuple(_blocks(q, packing))
    for first, start, end in blocks:
        # Sliced again, not taken from the forward pass, which would have to keep a growing copy for each block.
        block, keys, values = run_after(previous, [q, k, v])  # (1, B*H, T, D)
        block, up = block[:, :, start:end], upstream[:, :, start:end]  # (1, B*H, S, D)
        keys, values = keys[:, :, first:end], values[:, :, first:end]  # (1, B*H, T', D)
        seen = _seen(packing, first, start, end)
        probabilities = _probabilities(block, keys, seen)  # (1, B*H, S, T')
        d_probabilities = drop(tf.matmul(up, values, transpose_b=True), start)  # (1, B*H, S, T')
        d_scores = _softmax_backward(probabilities, d_probabilities, row_dot[:, :, start:end], root)
        d_values.append(tf.matmul(drop(probabilities, start), up, transpose_a=True))  # (1, B*H, T', D)
        d_queries.append(tf.matmul(d_scores, keys))  # (1, B*H, S, D)
        d_keys.append(tf.matmul(d_scores, block, transpose_a=True))  # (1, B*H, T', D)
        previous = d_keys[-1]
    return tf.concat(d_queries, axis=2), _summed(blocks, *d_keys), _summed(blocks, *d_values)


def _blocks(queries: Tensor, packing: Packing | None) -> Iterator[tuple[int, int, int]]:
    """Where the keys of each block of queries begin, where its queries begin, and where both end."""
    length = queries.shape[2]
    block = max(_BLOCK[queries.dtype.size], -(-length // _MOST_BLOCKS))
    reach = length if packing is None else packing.longest - 1
    for start in range(0, length, block):
        yield max(start - reach, 0) // _ALIGNED * _ALIGNED, start, min(start + block, length)


def _seen(packing: Packing | None, first: int, start: int, end: int) -> Tensor | None:
    """The first key, counted from ``first``, that each query from start to end sees, int32 [S]; None: all."""
    return None if packing is None else tf.range(start - first, end - first) - packing.positions[start:end]


def _probabilities(queries: Tensor, keys: Tensor, seen: Tensor | None) -> Tensor:
    """softmax(q . k / sqrt(D)), [1, B*H, S, T'], for S queries that are the last of T' positions.

    The query s sees keys from ``seen[s]`` on; None: from the first one on.

    Written so that TensorFlow's optimizer hands product, factor and mask to oneDNN as one operation: it wants a scalar
    and an array of four dimensions, in this order. oneDNN's softmax computes in float32 whatever its input is; others
    compute in the dtype of their input, so they are given float32.
    """
    depth = queries.shape[-1]
    scores = tf.matmul(queries, keys, transpose_b=True)  # (1, B*H, S, T')
    if in_xla() or not uses_onednn():
        return _softmax(scores, tf.sqrt(float(depth)), seen)
    mask = _mask(queries.shape[-2], keys.shape[-2], seen, queries.dtype)  # (1, 1, S, T')
    return tf.nn.softmax(scores * tf.constant(depth**-0.5, queries.dtype) + mask)


@xla_compiled
def _softmax(scores: Tensor, root: Tensor, seen: Tensor | None) -> Tensor:
    rows, columns = scores.shape[-2:]
    wide = tf.cast(scores, tf.float32) / root + _mask(rows, columns, seen, tf.float32)  # (1, B*H, S, T')
    return tf.cast(tf.nn.softmax(wide), scores.dtype)


def _mask(rows: int, columns: int, seen: Tensor | None, dtype: DType) -> Tensor:
    """0 where query s may attend, from key ``seen[s]`` to its own, T' - S + s; else so low that softmax gives 0."""
    allowed = tf.range(columns)[None, :] <= tf.range(rows)[:, None] + (columns - rows)  # (S, T')
    if seen is not None:
        allowed = tf.logical_and(allowed, tf.range(columns)[None, :] >= seen[:, None])  # (S, T')
    return tf.where(allowed, tf.zeros([], dtype), tf.constant(dtype.min, dtype))[None, None]  # (1, 1, S, T')


@xla_compiled
def _split_heads_forward(
    products: Sequence[Tensor], bias: Tensor, batch: int, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    rows, width = products[0].shape
    depth = width // (3 * heads)
    wide = tf.reshape(wide_sum(products) + bias, [batch, rows // batch, 3, heads, depth])  # (B, T, 3, H, D)
    by_part = tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4]))  # 3 of (B, H, T, D)
    return tuple(tf.cast(part, products[0].dtype) for part in by_part)


@xla_compiled
def _split_heads_backward(d_queries: Tensor, d_keys: Tensor, d_values: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of the projection [N, 3E] and its bias [3E]."""
    parts = (d_queries, d_keys, d_values)  # (B, H, T, D)
    sums = [tf.reshape(tf.reduce_sum(tf.cast(part, tf.float32), axis=[0, 2]), [-1]) for part in parts]  # (E,)
    return _by_row(parts), tf.concat(sums, axis=0)


@xla_compiled
def _frozen_split_heads_backward(d_queries: Tensor, d_keys: Tensor, d_values: Tensor) -> Tensor:
    return _by_row((d_queries, d_keys, d_values))


def _by_row(parts: Sequence[Tensor]) -> Tensor:
    """Three arrays [B, H, T, D], side by side: [N, 3E]."""
    batch, heads, time, depth = parts[0].shape
    by_row = [tf.transpose(part, [0, 2, 1, 3])[:, :, None] for part in parts]  # (B, T, 1, H, D)
    return tf.reshape(tf.concat(by_row, axis=2), [batch * time, 3 * heads * depth])


def _join_heads(mixed: Tensor, batch: int, heads: int) -> Tensor:
    """[1, B*H, T, D] -> [N, E]."""
    time, depth = mixed.shape[2:]
    by_head = tf.reshape(mixed, [batch, heads, time, depth])  # (B, H, T, D)
    return tf.reshape(tf.transpose(by_head, [0, 2, 1, 3]), [batch * time, heads * depth])


@xla_compiled
def _upstream_by_head(upstream: Tensor, mixed: Tensor, root: Tensor, batch: int, heads: int) -> tuple[Tensor, Tensor]:
    """The gradient of the result, [1, B*H, T, D], and its dot product with the result per query over root, [1, B*H, T].

    The dot product is the mean gradient of the probabilities, which the softmax subtracts (Dao et al., 2022); dropout
    does not change that.
    """
    rows, width = upstream.shape
    time, depth = rows // batch, width // heads
    # The sum as a product with ones, over the result of a division: see `layers._column_sums`.
    products = tf.cast(upstream, tf.float32) * tf.cast(mixed, tf.float32) / root  # (N, E)
    row_dot = tf.linalg.matvec(tf.reshape(products, [rows * heads, depth]), tf.ones([depth]))  # (N*H,)
    by_head = tf.transpose(tf.reshape(upstream, [batch, time, heads, depth]), [0, 2, 1, 3])  # (B, H, T, D)
    row_dot_by_head = tf.transpose(tf.reshape(row_dot, [batch, time, heads]), [0, 2, 1])  # (B, H, T)
    return tf.reshape(by_head, [1, -1, time, depth]), tf.reshape(row_dot_by_head, [1, -1, time])


@xla_compiled
def _softmax_backward(probabilities: Tensor, upstream: Tensor, row_dot: Tensor, root: Tensor) -> Tensor:
    """The gradient of the scores before scaling, [1, B*H, S, T']; root: sqrt(D), float32."""
    d_scaled = tf.cast(upstream, tf.float32) / root - row_dot[..., None]  # (1, B*H, S, T')
    return tf.cast(tf.cast(probabilities, tf.float32) * d_scaled, probabilities.dtype)


@xla_compiled
def _summed(blocks: Sequence[tuple[int, int, int]], *parts: Tensor) -> Tensor:
    """The float32 sum of arrays [1, B*H, T', D], each from the first to the last key of its block; in their dtype."""
    sums = []
    for low, high in itertools.pairwise(sorted({place for block in blocks for place in block})):
        within = [
            tf.cast(part[:, :, low - first : high - first], tf.float32)
            for part, (first, _, end) in zip(parts, blocks, strict=True)
            if first <= low and high <= end
        ]  # (1, B*H, high - low, D)
        sums.append(tf.add_n(within))
    return tf.cast(tf.concat(sums, axis=2), parts[0].dtype)  # (1, B*H, T, D)
