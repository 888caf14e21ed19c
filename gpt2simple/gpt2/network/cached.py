"""GPT-2 with key/value caches, as compiled functions: read a prompt, place it in a row, write one token for every row.

The functions take weights and caches as arguments and are kept in the process by what shapes them, so that a second
model of the same shape compiles nothing. Knows no text, no sampling, and not which rows are in use.

*The caches are rings.* All rows write the same slot in the same step, and a row with n tokens owns the n slots up to
it: a token's place in the text is in its position embedding, so attention does not care where its key lies. Thus one
update serves all rows however their lengths differ, and a row can be replaced at any time.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence

from gpt2simple.backend.tensorflow import tf, xla_dynamic_update_slice
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.decode_weights import BIASES, DecodeWeights, Matrix
from gpt2simple.gpt2.network.xla import Compiled

KeysValues = tuple[tf.Tensor, tf.Tensor]

Caches = Sequence[tuple[tf.Variable, tf.Variable]]  # by layer

Attend = Callable[[int, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

_SPARE_SLOTS = 16  # beyond the window: what is fed and taken back again may reach past it

_SHORTEST_PROMPT = 16

_SHORTEST_CACHE = 256

_MASKED = -1e9  # far below any score, and finite: a row of nothing but masked slots still gives numbers

# How often each function was traced, by its name and shapes: tests hold that nothing is compiled twice.
traces: Counter[tuple[object, ...]] = Counter()


def prompt_bucket(tokens: int, n_ctx: int) -> int:
    """The padded length with which a prompt is read: a power of two from 16 (32 is skipped), at most the window."""
    bucket = _SHORTEST_PROMPT
    while bucket < tokens:
        bucket *= 4 if bucket == _SHORTEST_PROMPT else 2
    return min(bucket, n_ctx)


def cache_bucket(tokens: int, n_ctx: int) -> int:
    """The slots of a cache that holds some tokens, and some to spare: a power of two from 256, at most the window's."""
    bucket = _SHORTEST_CACHE
    while bucket < tokens + _SPARE_SLOTS:
        bucket *= 2
    return min(bucket, n_ctx + _SPARE_SLOTS)


def new_caches(config: ModelConfig, rows: int, slots: int) -> list[tuple[tf.Variable, tf.Variable]]:
    """Empty keys and values of each layer, [B H, slots, D] float32.

    Three axes, as the products want them: a reshape between update and product makes XLA copy the whole cache.
    """
    size = (rows * config.n_head, slots, config.n_embd // config.n_head)
    return [(tf.Variable(tf.zeros(size)), tf.Variable(tf.zeros(size))) for _ in range(config.n_layer)]


def select_rows(
    caches: Caches, rows: Sequence[int], config: ModelConfig, *, turn: int = 0
) -> list[tuple[tf.Variable, tf.Variable]]:
    """New caches that hold some rows of others, their rings turned by a number of slots."""
    heads = [row * config.n_head + head for row in rows for head in range(config.n_head)]

    def selected(cache: tf.Variable) -> tf.Variable:
        return tf.Variable(tf.roll(tf.gather(cache, heads), turn, axis=1))

    return [(selected(keys), selected(values)) for keys, values in caches]


@functools.cache
def prompt_reader(config: ModelConfig, form: str, length: int) -> Compiled:
    """A function (weights, tokens [length], count) -> (logits [V] after token count - 1, keys and values by layer).

    Tokens from `count` on are padding; keys and values are [H, length, D], those of the padding meaningless.
    """

    def read(weights: DecodeWeights, tokens: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, list[KeysValues]]:
        traces["read", config, form, length] += 1
        x, kept = _read(weights, config, tokens)
        return _project(_final_norm(tf.gather(x, [count - 1]), weights, config), weights.head)[0], kept

    return Compiled(read)


def next_token_logits(weights: DecodeWeights, config: ModelConfig, tokens: tf.Tensor) -> tf.Tensor:
    """The logits [T, V] after each of some tokens [T], not compiled: what tests measure a precision by."""
    return _project(_final_norm(_read(weights, config, tokens)[0], weights, config), weights.head)


@functools.cache
def row_writer(config: ModelConfig, rows: int, slots: int, length: int) -> Compiled:
    """A function (caches, keys and values of a prompt, row, first slot) that places a prompt in a row of the ring."""

    def write(caches: Caches, prompt: Sequence[KeysValues], row: tf.Tensor, first: tf.Tensor) -> None:
        traces["write", config, rows, slots, length] += 1
        zero = tf.zeros_like(row)
        for layer, part in zip(caches, prompt, strict=True):
            for cache, values in zip(layer, part, strict=True):
                padded = tf.pad(values, [[0, 0], [0, slots - length], [0, 0]])  # [H, slots, D]
                ring = tf.roll(padded, first, axis=1)
                cache.assign(xla_dynamic_update_slice(cache, ring, tf.stack([row * config.n_head, zero, zero])))

    return Compiled(write)


@functools.cache
def token_step(config: ModelConfig, form: str, rows: int, slots: int) -> Compiled:
    """A function (weights, caches, numbers [2 B + 1]) -> logits [B, V] that feeds one token to each row.

    The numbers are in one array, which costs less than three: the B tokens; for each row the tokens that stand before
    it, which is also its position; the ring's slot that takes the new keys and values. A row that is not in use may be
    given any token and position 0.
    """

    def step(weights: DecodeWeights, caches: Caches, numbers: tf.Tensor) -> tf.Tensor:
        traces["step", config, form, rows, slots] += 1
        tokens, counts, slot = numbers[:rows], numbers[rows : 2 * rows], numbers[2 * rows]
        age = tf.math.floormod(slot - tf.range(slots), slots)  # of each slot's content, in steps
        visible = tf.repeat(age[None, :] <= counts[:, None], config.n_head, axis=0)[:, None, :]  # [B H, 1, slots]

        def attend(layer: int, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            q, k, v = (tf.reshape(part, [rows * config.n_head, 1, -1]) for part in (q, k, v))  # [B H, 1, D]
            keys, values = (_set_slots(cache, new, slot) for cache, new in zip(caches[layer], (k, v), strict=True))
            mixed, total = _attention(q, keys, values, visible)  # [B H, 1, D], [B H, 1, 1]
            totals = tf.repeat(tf.reshape(total, [rows, config.n_head]), mixed.shape[-1], axis=1)
            return tf.reshape(mixed, [rows, config.n_embd]) / totals

        x = _layers(_embed(weights, tokens, counts), weights, config, attend)
        return _project(_final_norm(x, weights, config), weights.head)

    return Compiled(step)


@functools.cache
def text_step(config: ModelConfig, form: str, length: int, slots: int) -> Compiled:
    """A function (weights, caches of one row, numbers [length + 1]) -> logits [length, V] after each token.

    It feeds several tokens at once to a row that is alone and begins with the ring: each sees those before it.
    The numbers: the tokens, and how many stand before the first of them. What stands in slots beyond the row's tokens
    is never seen, so what was fed may be taken back by counting less.
    """

    def step(weights: DecodeWeights, caches: Caches, numbers: tf.Tensor) -> tf.Tensor:
        traces["text", config, form, length, slots] += 1
        tokens, count = numbers[:length], numbers[length]
        places = count + tf.range(length)
        visible = tf.range(slots)[None, :] <= places[:, None]  # [length, slots]

        def attend(layer: int, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            q, k, v = (tf.transpose(_heads(part, config), [1, 0, 2]) for part in (q, k, v))  # [H, length, D]
            keys, values = (_set_slots(cache, new, count) for cache, new in zip(caches[layer], (k, v), strict=True))
            return _joined(*_attention(q, keys, values, visible), config)

        x = _layers(_embed(weights, tokens, tf.minimum(places, config.n_ctx - 1)), weights, config, attend)
        return _project(_final_norm(x, weights, config), weights.head)

    return Compiled(step)


def _read(weights: DecodeWeights, config: ModelConfig, tokens: tf.Tensor) -> tuple[tf.Tensor, list[KeysValues]]:
    """The last layer's output [T, E] over a text of tokens [T], and its keys and values [H, T, D] by layer."""
    places = tf.range(tokens.shape[0])
    causal = places[None, :] <= places[:, None]  # [to, from]
    kept: list[KeysValues] = []

    def attend(_: int, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        q, k, v = (tf.transpose(_heads(part, config), [1, 0, 2]) for part in (q, k, v))  # [H, T, D]
        kept.append((k, v))
        return _joined(*_attention(q, k, v, causal), config)

    return _layers(_embed(weights, tokens, places), weights, config, attend), kept


def _layers(x: tf.Tensor, weights: DecodeWeights, config: ModelConfig, attend: Attend) -> tf.Tensor:
    """All blocks over the rows of x [N, E]; `attend` takes (layer, q, k, v), each [N, E], and gives [N, E].

    Gains, biases and means of the layer norms are folded into the weights, see `weights`. What goes into a product ends
    in a division: XLA takes that for too costly to be computed anew inside the product for each output, which is what
    it does with sums, multiplications and even reshapes, at half to a tenth of the speed.
    """
    for layer, (c_attn, c_proj, c_fc, c_out) in enumerate(weights.matrices):
        b_attn, b_proj, b_fc, b_out = tf.split(weights.biases[layer], [size * config.n_embd for _, size in BIASES])
        q, k, v = tf.split(_project(x / _deviation(x, config), c_attn) + b_attn, 3, axis=-1)
        x += _project(attend(layer, q, k, v), c_proj) + b_proj
        x += _project(_gelu(_project(x / _deviation(x, config), c_fc) + b_fc), c_out) + b_out
    return x


def _deviation(x: tf.Tensor, config: ModelConfig) -> tf.Tensor:
    """The standard deviation of each row of x [N, E], whose means are zero: [N, 1]."""
    squares = tf.matmul(x[:, None, :], x[:, :, None])[:, 0]  # a sum would be compiled to several small steps
    return tf.sqrt(squares / config.n_embd + config.layer_norm_epsilon)


def _embed(weights: DecodeWeights, tokens: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Token and position embeddings, [N, E]. Gathered: a slice by an argument would be compiled anew for each value."""
    rows = tf.cast(tf.gather(weights.wte.values, tokens), tf.float32)
    if weights.wte.scale.shape[0]:
        rows *= tf.gather(weights.wte.scale, tokens)[:, None]
    return rows - tf.reduce_mean(rows, axis=-1, keepdims=True) + tf.gather(weights.wpe, positions)


def _final_norm(x: tf.Tensor, weights: DecodeWeights, config: ModelConfig) -> tf.Tensor:
    """The last layer norm of x [N, E], whose gain and bias are not folded into the head: the embedding is the same."""
    deviation = _deviation(x, config)
    return (x * weights.final_norm[0] + deviation * weights.final_norm[1]) / deviation


def _project(x: tf.Tensor, matrix: Matrix) -> tf.Tensor:
    """x [N, in] times a matrix [out, in]: [N, out] float32."""
    w = matrix.values
    if x.shape[0] <= _most_vectors(w.dtype):
        # XLA fuses the conversion into a product with one vector, so that memory is read in the small precision; with
        # a few rows a matrix comes from the cache for all but the first.
        product = tf.stack([tf.linalg.matvec(tf.cast(w, tf.float32), row) for row in tf.unstack(x)])
    elif w.dtype.is_integer:
        product = _product(tf.cast(w, tf.float32), x)
    else:
        product = tf.cast(_product(w, tf.cast(x, w.dtype)), tf.float32)
    return product * matrix.scale if w.dtype.is_integer else product


def _product(w: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """x [N, in] times w [out, in]: [N, out].

    The matrix stands first: of the second factor XLA makes a copy in another order at each call. It would exchange the
    two again where a transposition follows at once, hence the maximum, which changes nothing.
    """
    product = tf.matmul(w, x, transpose_b=True)
    return tf.linalg.matrix_transpose(tf.maximum(product, product.dtype.min))


def _most_vectors(dtype: tf.DType) -> int:
    """Up to how many rows at a time are multiplied one by one; measured for GPT-2 124M on two cores."""
    if tf.config.list_logical_devices("GPU"):
        return 0
    return 1 if dtype == tf.float32 else 8


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """GPT-2's approximation of GELU by a hyperbolic tangent, (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))."""
    return x / (1.0 + tf.exp(-2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _heads(x: tf.Tensor, config: ModelConfig) -> tf.Tensor:
    """[N, E] -> [N, H, D]."""
    return tf.reshape(x, [-1, config.n_head, config.n_embd // config.n_head])


def _attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, visible: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Softmax attention of q [..., to, D] over k and v [..., from, D] where `visible` broadcasts to [..., to, from].

    Returns:
        Weighted sums of the values [..., to, D], and the sums of their weights [..., to, 1] to divide these by.
    """
    scores = _product(k, q) * (int(q.shape[-1]) ** -0.5)
    scores = tf.where(visible, scores, _MASKED)
    weights = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))
    return tf.matmul(weights, v), tf.reduce_sum(weights, axis=-1, keepdims=True)


def _joined(mixed: tf.Tensor, total: tf.Tensor, config: ModelConfig) -> tf.Tensor:
    """What attention gives, [H, T, D] and [H, T, 1], as [T, E]; divided last, see `_layers`."""
    totals = tf.repeat(tf.transpose(total[:, :, 0]), mixed.shape[-1], axis=1)
    return tf.reshape(tf.transpose(mixed, [1, 0, 2]), [-1, config.n_embd]) / totals


def _set_slots(cache: tf.Variable, new: tf.Tensor, slot: tf.Tensor) -> tf.Tensor:
    """Replace what follows from a slot on by [B H, T, D] in every row; the cache [B H, slots, D] as it is then."""
    zero = tf.zeros_like(slot)
    return cache.assign(xla_dynamic_update_slice(cache, new, tf.stack([zero, slot, zero])), read_value=True)
