"""Decoding by the variables of a model with an adapter: with key/value caches, and without a copy of the weights.

The functions are those of `cached` for other weights, with the blocks of training (`transformer.Block`). XLA compiles
their parts, not the whole: frozen weights are [in, out], and of such it would keep copies in float32. The blocks are
called, not inlined: each frozen matrix is converted when its layer's turn has come, not before.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gpt2simple.backend.tensorflow import Tensor, Variable, forget_gradients, tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.lora import is_of_adapter
from gpt2simple.gpt2.network import cached
from gpt2simple.gpt2.network.attention import causal_attention, split_heads
from gpt2simple.gpt2.network.decode_weights import Matrix
from gpt2simple.gpt2.network.kv_cache import Cache, Caches, KeysValues, mask_of_rows, slots_of
from gpt2simple.gpt2.network.layers import layer_norm, wide_sum
from gpt2simple.gpt2.network.transformer import Block, block_weights, flat_weights
from gpt2simple.gpt2.network.xla import Compiled, called_function, traces, xla_compiled


class AdaptedWeights(NamedTuple):
    """The variables that a decode step reads."""

    variables: dict[str, Variable]  # by canonical name
    like: Tensor  # a zero in the dtype of the products

    @classmethod
    def of(cls, weights: Mapping[str, Any], precision: str) -> AdaptedWeights | None:
        """Those of a model with an adapter, for products in a precision; None: there is none among the weights."""
        if not any(map(is_of_adapter, weights)):
            return None
        return cls(dict(weights), tf.zeros([], "float32" if precision == "int8" else precision))

    @property
    def dtypes(self) -> str:
        """What a compiled step depends on besides the model's config."""
        return f"adapted, {self.like.dtype.name}"


@functools.cache
def prompt_reader(config: ModelConfig, dtypes: str, length: int) -> Compiled:
    """As `cached.prompt_reader`."""

    def read(weights: AdaptedWeights, tokens: Tensor, count: Tensor) -> tuple[Tensor, list[KeysValues]]:
        traces["read", config, dtypes, length] += 1

        @called_function
        def block(x: Tensor, w: Mapping[str, Tensor]) -> tuple[Tensor, KeysValues]:
            kept: list[Tensor] = []

            def attend(qkv: Sequence[Tensor], bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
                q, k, v = split_heads(qkv, bias, 1, config.n_head, frozen=True)  # (1, H, length, D)
                kept.extend(tf.cast(each[0], tf.float32) for each in (k, v))
                return causal_attention(q, k, v, None, 0), x

            x = Block(config, weights.like.dtype, attend)(x, w)  # (length, E)
            forget_gradients()
            return x, (kept[0], kept[1])

        of_model = flat_weights(weights.variables)
        x, keys_values = _embed(of_model, tokens, tf.range(length)), []  # (length, E)
        for number in range(config.n_layer):
            x, of_block = block(x, block_weights(of_model, number))
            keys_values.append(of_block)
        return _logits(tf.gather(x, [count - 1]), of_model, config)[0], keys_values

    return Compiled(read, ("read", config, dtypes, length), by_xla=False)


@functools.cache
def token_step(config: ModelConfig, dtypes: str, rows: int, slots: int) -> Compiled:
    """As `cached.token_step`."""

    def step(weights: AdaptedWeights, caches: Caches, numbers: Tensor) -> Tensor:
        traces["step", config, dtypes, rows, slots] += 1
        tokens, counts, slot = numbers[:rows], numbers[rows : 2 * rows], numbers[2 * rows]  # (B,), (B,), ()

        @called_function
        def block(x: Tensor, w: Mapping[str, Tensor], layer: Cache, counts: Tensor, slot: Tensor) -> Tensor:
            def attend(qkv: Sequence[Tensor], bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
                return _attend(layer, qkv, bias, counts, slot, config), x

            x = Block(config, weights.like.dtype, attend)(x, w)  # (B, E)
            forget_gradients()
            return x

        of_model = flat_weights(weights.variables)
        x = _embed(of_model, tokens, counts)  # (B, E)
        for number in range(config.n_layer):
            x = block(x, block_weights(of_model, number), caches[number], counts, slot)
        return _logits(x, of_model, config)

    return Compiled(step, ("step", config, dtypes, rows, slots), by_xla=False)


@xla_compiled
def _attend(
    layer: Cache, qkv: Sequence[Tensor], bias: Tensor, counts: Tensor, slot: Tensor, config: ModelConfig
) -> Tensor:
    """The attention [B, E] of each row to its cache, which takes the new keys and values, in the dtype of the products.

    Args:
        layer: the cache.
        qkv: products [B, 3E] of the new tokens, to be summed. bias: [3E], of queries, keys and values.
        counts: int32 [B], tokens before the new one. slot: int32, of the new one.
    """
    q, k, v = tf.split(wide_sum(qkv) + bias, 3, axis=-1)  # (B, E)
    mask = mask_of_rows(counts, slot, slots_of(layer), config)
    return tf.cast(cached.attend_to_caches(layer, q, k, v, mask, config), qkv[0].dtype)


def _embed(weights: Mapping[str, Tensor], tokens: Tensor, positions: Tensor) -> Tensor:
    """Token and position embeddings, [N, E]; rows that are not in use may have any position."""
    rows = tf.cast(tf.gather(weights["wte.weight"], tokens), tf.float32)  # (N, E)
    return rows + tf.gather(weights["wpe.weight"], tf.minimum(positions, weights["wpe.weight"].shape[0] - 1))


def _logits(x: Tensor, weights: Mapping[str, Tensor], config: ModelConfig) -> Tensor:
    """Final norm and head in float32: x [N, E] to logits [N, V]."""
    norm = weights["ln_f.weight"], weights["ln_f.bias"]
    states = layer_norm(x, *norm, config.layer_norm_epsilon, tf.float32, frozen=True)  # (N, E)
    return _head(states, weights["wte.weight"])


@xla_compiled
def _head(states: Tensor, embedding: Tensor) -> Tensor:
    return cached.product(states, Matrix(embedding, tf.zeros([0])))  # (N, V)
