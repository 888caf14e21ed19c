"""GPT-2 with key/value caches (`kv_cache`), as compiled functions: read a prompt, decode one token for every row.

The functions take weights and caches as arguments, and are cached per process by config, dtypes and sizes, so that a
second model of the same config compiles nothing. Independent of text, sampling, and which rows are in use.

*The arithmetic is that of `transformer`, `attention` and `layers`*, and each part here names its twin there. It is
written a second time because decoding multiplies a few rows with large matrices, and is compiled as a whole by XLA: the
matrices are [out, in] and come first, layer norms are folded into them (`decode_weights`), and nothing has a gradient.
Every input of a product ends in a division: XLA considers that too costly to recompute inside the product for each
output, which is what it does with sums, multiplications and even reshapes, at half to a tenth of the speed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import Tensor, tf
from gpt2simple.gpt2.config import PROJECTIONS, ModelConfig
from gpt2simple.gpt2.network.decode_weights import DecodeWeights, Matrix
from gpt2simple.gpt2.network.kv_cache import (
    MASKED,
    Cache,
    Caches,
    KeysValues,
    Mask,
    attend,
    mask_of_rows,
    mask_of_text,
)
from gpt2simple.gpt2.network.layers import gelu_exponent
from gpt2simple.gpt2.network.xla import Compiled, traces

# (what `_blocks` was given for the layer; q, k, v, each [N, E]) to [N, E] and what is to be kept of the layer
Attend = Callable[[Any, Tensor, Tensor, Tensor], tuple[Tensor, Any]]
_SHORTEST_PROMPT = 16


def prompt_bucket(tokens: int, n_ctx: int) -> int:
    """The padded length with which a prompt is read: a power of two from 16 (32 is skipped), at most the window."""
    bucket = _SHORTEST_PROMPT
    while bucket < tokens:
        bucket *= 4 if bucket == _SHORTEST_PROMPT else 2
    return min(bucket, n_ctx)


@functools.cache
def prompt_reader(config: ModelConfig, dtypes: str, length: int) -> Compiled:
    """A function (weights, tokens [length], count) -> (logits [V] after token count - 1, keys and values by layer).

    Tokens from `count` on are padding; keys and values are [H, length, D], those of the padding meaningless.
    """

    def read(weights: DecodeWeights, tokens: Tensor, count: Tensor) -> tuple[Tensor, list[KeysValues]]:
        traces["read", config, dtypes, length] += 1
        x, keys_values = _read(weights, config, tokens)  # (length, E)
        return _logits(tf.gather(x, [count - 1]), weights, config)[0], keys_values

    return Compiled(read, ("read", config, dtypes, length))


def next_token_logits(weights: DecodeWeights, config: ModelConfig, tokens: Tensor) -> Tensor:
    """The logits [T, V] after each of some tokens [T], not compiled: what tests measure a precision by."""
    return _logits(_read(weights, config, tokens)[0], weights, config)


@functools.cache
def token_step(config: ModelConfig, dtypes: str, rows: int, slots: int) -> Compiled:
    """A function (weights, caches, numbers [2B + 1]) -> logits [B, V] that feeds one token to each row.

    The numbers are in one array, which costs less than three: the B tokens; for each row the number of tokens before
    its own, which is also its position; the ring's slot that takes the new keys and values. A row that is not in use
    may be given any token and position 0.
    """

    def step(weights: DecodeWeights, caches: Caches, numbers: Tensor) -> Tensor:
        traces["step", config, dtypes, rows, slots] += 1
        tokens, counts, slot = numbers[:rows], numbers[rows : 2 * rows], numbers[2 * rows]  # (B,), (B,), ()
        mask = mask_of_rows(counts, slot, slots, config)

        def attention(layer: Cache, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, None]:
            return attend_to_caches(layer, q, k, v, mask, config), None

        x, _ = _blocks(_embed(weights, tokens, counts), weights, config, attention, caches)  # (B, E)
        return _logits(x, weights, config)

    return Compiled(step, ("step", config, dtypes, rows, slots))


def attend_to_caches(layer: Cache, q: Tensor, k: Tensor, v: Tensor, mask: Mask, config: ModelConfig) -> Tensor:
    """The attention [B, E] of queries [B, E] to the caches after these have taken keys and values [B, E]."""
    rows = q.shape[0]
    q, k, v = (tf.reshape(x, [rows * config.n_head, 1, config.head_width]) for x in (q, k, v))  # (B*H, 1, D)
    mixed, total = attend(layer, q, k, v, mask)  # (B*H, 1, D), (B*H, 1, 1)
    totals = tf.repeat(tf.reshape(total, [rows, config.n_head]), config.head_width, axis=1)  # (B, E)
    return tf.reshape(mixed, [rows, config.n_embd]) / totals


@functools.cache
def text_step(config: ModelConfig, dtypes: str, length: int, slots: int) -> Compiled:
    """A function (weights, caches of one row, numbers [length + 1]) -> logits [length, V] after each token.

    It feeds several tokens at once to the only row, whose text starts in slot 0: each token sees those before it.
    The numbers: the tokens, and how many there are before the first of them. The content of slots beyond the row's
    tokens is never seen, so tokens are removed again by counting fewer.
    """

    def step(weights: DecodeWeights, caches: Caches, numbers: Tensor) -> Tensor:
        traces["text", config, dtypes, length, slots] += 1
        tokens, count = numbers[:length], numbers[length]  # (T,), ()
        positions = count + tf.range(length)  # (T,)
        mask = mask_of_text(positions, slots)

        def attention(layer: Cache, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, None]:
            q, k, v = (_split_heads(x, config) for x in (q, k, v))  # (H, T, D)
            return _join_heads(*attend(layer, q, k, v, mask), config), None

        embedded = _embed(weights, tokens, tf.minimum(positions, config.n_ctx - 1))  # (T, E)
        x, _ = _blocks(embedded, weights, config, attention, caches)  # (T, E)
        return _logits(x, weights, config)

    return Compiled(step, ("text", config, dtypes, length, slots))


def _read(weights: DecodeWeights, config: ModelConfig, tokens: Tensor) -> tuple[Tensor, list[KeysValues]]:
    """The last block's output [T, E] for tokens [T], and the keys and values [H, T, D] of each layer."""
    positions = tf.range(tokens.shape[0])  # (T,)
    causal = positions[None, :] <= positions[:, None]  # (T, T): [query, key]

    def attention(_: None, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, KeysValues]:
        q, k, v = (_split_heads(x, config) for x in (q, k, v))  # (H, T, D)
        return _join_heads(*_attention(q, k, v, causal), config), (k, v)

    return _blocks(_embed(weights, tokens, positions), weights, config, attention, [None] * config.n_layer)


def _blocks(
    x: Tensor, weights: DecodeWeights, config: ModelConfig, attend: Attend, of_layers: Sequence[Any]
) -> tuple[Tensor, list[Any]]:
    """All blocks on x [N, E], and what ``attend`` keeps of each. Twin: `transformer.hidden_states`.

    Args:
        of_layers: what ``attend`` gets for each layer.
    """

    @functools.partial(tf.function, autograph=False)  # traced once for all layers: each time would take a moment
    def block(x: Tensor, matrices: Sequence[Matrix], biases: Tensor, of_layer: Any) -> tuple[Tensor, Any]:
        parts = tf.split(biases, [units * config.n_embd for units in PROJECTIONS.values()])  # (3E,), (E,), (4E,), (E,)
        return _block(x, matrices, parts, config, functools.partial(attend, of_layer))

    kept = []
    for number, matrices in enumerate(weights.matrices):
        x, of_block = block(x, matrices, weights.biases[number], of_layers[number])  # (N, E)
        kept.append(of_block)
    return x, kept


def _block(
    x: Tensor, matrices: Sequence[Matrix], biases: Sequence[Tensor], config: ModelConfig, attend: Callable[..., Any]
) -> tuple[Tensor, Any]:
    """One pre-norm transformer block on x [N, E], whose rows have zero mean. Twin: `transformer.Block`.

    Gains, biases and means of the layer norms are folded into the weights (`decode_weights._fold`).
    """
    (c_attn, attn_proj, c_fc, mlp_proj), (b_attn, b_attn_proj, b_fc, b_mlp_proj) = matrices, biases
    qkv = product(x / _deviation(x, config), c_attn) + b_attn  # (N, 3E)
    q, k, v = tf.split(qkv, 3, axis=-1)  # (N, E)
    attended, kept = attend(q, k, v)  # (N, E)
    x += product(attended, attn_proj) + b_attn_proj  # (N, E)
    inner = product(x / _deviation(x, config), c_fc) + b_fc  # (N, 4E)
    inner /= 1.0 + tf.exp(gelu_exponent(inner))  # twin: `layers.bias_gelu`, which bounds the power for its gradient
    return x + (product(inner, mlp_proj) + b_mlp_proj), kept


def _deviation(x: Tensor, config: ModelConfig) -> Tensor:
    """The standard deviation of each row of x [N, E], whose means are zero: [N, 1]. Twin: `layers.layer_norm`."""
    squares = tf.matmul(x[:, None, :], x[:, :, None])[:, 0]  # (N, 1); a sum would be compiled to several small steps
    return tf.sqrt(squares / config.n_embd + config.layer_norm_epsilon)


def _embed(weights: DecodeWeights, tokens: Tensor, positions: Tensor) -> Tensor:
    """Token and position embeddings, [N, E]. Gathered: a slice by an argument would be compiled anew for each value."""
    rows = tf.cast(tf.gather(weights.wte.values, tokens), tf.float32)  # (N, E)
    if weights.wte.scale.shape[0]:
        rows *= tf.gather(weights.wte.scale, tokens)[:, None]
    return rows - tf.reduce_mean(rows, axis=-1, keepdims=True) + tf.gather(weights.wpe, positions)


def _logits(x: Tensor, weights: DecodeWeights, config: ModelConfig) -> Tensor:
    """Final norm and head: x [N, E] to logits [N, V]. Twins: `layers.layer_norm` and `loss.logits`.

    Gain and bias of this norm are not folded into the head: the head is the embedding.
    """
    deviation = _deviation(x, config)  # (N, 1)
    normed = (x * weights.final_norm[0] + deviation * weights.final_norm[1]) / deviation  # (N, E)
    return product(normed, weights.head)


def product(x: Tensor, matrix: Matrix) -> Tensor:
    """x [N, in] times a matrix [out, in]: float32 [N, out]. Twin: `layers.matmul`."""
    w = matrix.values
    # Up to how many rows are multiplied one by one; measured for GPT-2 124M on two cores.
    most_vectors = 0 if has_gpu() else 1 if w.dtype == tf.float32 else 8
    if x.shape[0] <= most_vectors:
        # XLA fuses the conversion into a product with one vector, so that memory is read in the small precision; with
        # a few rows a matrix comes from the cache for all but the first. Where nothing is to be converted, adding a
        # zero makes it such a product too: faster than Eigen's for small matrices, and as fast for large ones.
        wide = w + x[0, 0] * 0.0 if w.dtype == tf.float32 else tf.cast(w, tf.float32)  # (out, in)
        product = tf.stack([tf.linalg.matvec(wide, row) for row in tf.unstack(x)])  # (N, out)
    elif w.dtype != tf.float32 and not has_gpu():
        # XLA multiplies in float32. Without the zero it would convert the matrices of all layers before the first is
        # needed, and keep them: 0.4 GB of GPT-2 124M. It may not assume that a number times zero is zero.
        wide = tf.cast(w, tf.float32) + x[0, 0] * 0.0  # (out, in)
        narrow = tf.float32 if w.dtype.is_integer else w.dtype
        product = _matrix_first(wide, tf.cast(tf.cast(x, narrow), tf.float32))  # (N, out)
        product = tf.cast(tf.cast(product, narrow), tf.float32)
    elif w.dtype.is_integer:
        product = _matrix_first(tf.cast(w, tf.float32), x)  # (N, out)
    else:
        product = tf.cast(_matrix_first(w, tf.cast(x, w.dtype)), tf.float32)  # (N, out)
    return product * matrix.scale if w.dtype.is_integer else product


def _matrix_first(w: Tensor, x: Tensor) -> Tensor:
    """x [..., N, in] times w [..., out, in]: [..., N, out].

    The matrix comes first: of the second factor XLA makes a copy in another order at each call. It would swap the
    two again where a transposition follows at once, hence the maximum, which changes nothing.
    """
    product = tf.matmul(w, x, transpose_b=True)  # (..., out, N)
    return tf.linalg.matrix_transpose(tf.maximum(product, product.dtype.min))


def _split_heads(x: Tensor, config: ModelConfig) -> Tensor:
    """[T, E] -> [H, T, D]. Twin: `attention.split_heads`."""
    return tf.transpose(tf.reshape(x, [-1, config.n_head, config.head_width]), [1, 0, 2])


def _attention(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention of q [H, T, D] over k and v [H, T, D]. Twin: `attention.causal_attention`.

    Args:
        q, k, v: of a text.
        visible: bool [T, T].

    Returns:
        Sums of the values [H, T, D] by numerators of the softmax; its denominators [H, T, 1], to divide them by.
    """
    scores = _matrix_first(k, q) * (int(q.shape[-1]) ** -0.5)  # (H, T, T)
    scores = tf.where(visible, scores, MASKED)
    powers = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))  # (H, T, T)
    return tf.matmul(powers, v), tf.reduce_sum(powers, axis=-1, keepdims=True)


def _join_heads(mixed: Tensor, total: Tensor, config: ModelConfig) -> Tensor:
    """What ``_attention`` and ``attend`` return, [H, T, D] and [H, T, 1], as [T, E]; divided last.

    Twin: `attention._join_heads`.
    """
    totals = tf.repeat(tf.transpose(total[:, :, 0]), config.head_width, axis=1)  # (T, E)
    return tf.reshape(tf.transpose(mixed, [1, 0, 2]), [-1, config.n_embd]) / totals
