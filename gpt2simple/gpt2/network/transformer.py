"""From token ids to the last hidden states: embeddings, blocks, final norm. The forward pass of training and scoring.

Twin: `cached._blocks`, which decodes with key/value caches. Both take the weights of a block in one order,
`config.BLOCK_WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, in_xla, take_over, tf
from gpt2simple.gpt2 import lora
from gpt2simple.gpt2.config import BLOCK_WEIGHTS, CLASSIFIER_HEAD, PROJECTIONS, ModelConfig
from gpt2simple.gpt2.network.attention import Packing, attention_at, causal_attention, rows_at, split_heads
from gpt2simple.gpt2.network.dropout import DropoutKey, apply_dropout
from gpt2simple.gpt2.network.layers import add_bias, bias_gelu, frozen_matmul, layer_norm, matmul
from gpt2simple.gpt2.network.xla import RepeatedBlock, recompute

_SITES_PER_LAYER = 4  # of dropout: probabilities, after attention, after the MLP; one number is left free


def flat_weights(variables: Mapping[str, Variable]) -> dict[str, Tensor]:
    """The weights as ``hidden_states`` takes them: biases [F], where a `TFGPT2LMHeadModel` has [1, F].

    Args:
        variables: of the model, by canonical name.
    """
    return {name: flat_weight(variables, name) for name in variables}


def flat_weight(weights: Mapping[str, Variable | np.ndarray], name: str) -> Tensor:
    """One of them; of an open checkpoint it is read now."""
    weight = take_over(weights[name])
    return weight if is_matrix(name) else tf.reshape(weight, [-1])


def block_weights(weights: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """The weights of a block by their names in it, those of an adapter and scales of whole numbers included."""
    prefix = f"h.{number}."
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def is_matrix(name: str) -> bool:
    """Whether a canonical name is that of a matrix (embeddings included): what weight decay applies to."""
    outside = ("wte.weight", "wpe.weight", CLASSIFIER_HEAD)
    return name in outside or lora.is_of_adapter(name) or len(BLOCK_WEIGHTS.get(name.split(".", 2)[-1], ())) == 2


def hidden_states(
    weights: Mapping[str, Tensor], tokens: Tensor, config: ModelConfig, dtype: DType = tf.float32, *,
    packing: Packing | None = None, places: Tensor | None = None, dropout: DropoutKey | None = None,
    adapter_dropout: DropoutKey | None = None, gradient_checkpointing: bool = False,
) -> Tensor:  # fmt: skip
    """The states that the head turns into logits, after the final norm.

    Args:
        weights: by canonical name, from ``flat_weights``; frozen ones where the config has an adapter.
        tokens: int32 [B, T], both sizes static; a text has at most ``config.n_ctx`` tokens.
        config: of the model.
        dtype: of the matrix products.
        packing: where the texts of a row begin that holds several of them; None: each row is one text.
        places: int32 [K], the tokens whose states are wanted, with ``packing`` only: the last block computes no others.
            None: all.
        dropout: masks to draw, or None. adapter_dropout: of the input of an adapter.
        gradient_checkpointing: keep only each block's input, and compute the block again in the backward pass.

    Returns:
        [N, E] in that dtype, or [K, E].
    """
    batch, time = tokens.shape
    if packing is None:  # tf.slice: its gradient is padding, that of [:time] takes 13 ms
        positions = tf.slice(weights["wpe.weight"], [0, 0], [time, config.n_embd])  # (T, E)
    else:
        positions = tf.gather(weights["wpe.weight"], packing.positions)  # (T, E)
    x = _embedded(weights, tokens) + positions  # (B, T, E)
    x = apply_dropout(tf.reshape(x, [batch * time, config.n_embd]), dropout, 0)  # (N, E)

    def block(
        x: Tensor, of_block: Mapping[str, Tensor], number: int | Tensor | None, *, is_last: bool = False
    ) -> Tensor:
        number = 0 if number is None else number  # only dropout asks for it

        def attend(qkv: Sequence[Tensor], bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            q, k, v = split_heads(qkv, bias, batch, config.n_head, frozen=config.lora is not None)  # (B, H, T, D)
            site = Block.first_site(number)
            if places is None or not is_last:
                return causal_attention(q, k, v, dropout, site, packing), x  # (N, E)
            assert packing is not None
            return attention_at(q, k, v, places, packing, dropout, site), rows_at(x, places)  # (K, E)

        return Block(config, dtype, attend, dropout, adapter_dropout, number)(x, of_block)

    key = dropout or adapter_dropout
    repeated = RepeatedBlock(block) if gradient_checkpointing and config.lora is not None and not in_xla() else None
    for number in range(config.n_layer):
        of_block, is_last = block_weights(weights, number), places is not None and number == config.n_layer - 1
        trained = {name: w for name, w in of_block.items() if config.lora is None or lora.is_of_adapter(name)}
        if repeated is not None and not is_last:
            place = None if key is None else tf.cast(tf.minimum(key.position, 0), tf.int64) + number  # no constant
            x = repeated(x, trained, of_block, place, of_x=number > 0 or lora.ROWS in weights)  # (N, E)
            continue

        def run(
            x: Tensor, *values: Tensor, number: int = number, is_last: bool = is_last,
            of_block: dict[str, Tensor] = of_block, names: tuple[str, ...] = tuple(trained),
        ) -> Tensor:  # fmt: skip
            return block(x, of_block | dict(zip(names, values, strict=True)), number, is_last=is_last)

        values = trained.values()
        x = recompute(run, x, *values) if gradient_checkpointing else run(x, *values)  # (N, E)
    norm = weights["ln_f.weight"], weights["ln_f.bias"]
    return layer_norm(x, *norm, config.layer_norm_epsilon, dtype, frozen=config.lora is not None)


def _embedded(weights: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
    """The rows of the embedding for tokens, float32 [B, T, E]; those of new tokens from the rows that are trained."""
    embedding = weights["wte.weight"]  # (V, E)
    x = tf.cast(tf.gather(embedding, tokens), tf.float32)  # (B, T, E)
    if lora.ROWS not in weights:
        return x
    number = tokens - (embedding.shape[0] - weights[lora.ROWS].shape[0])  # (B, T), from 0 for the new tokens
    return tf.where(number[..., None] >= 0, tf.gather(weights[lora.ROWS], tf.maximum(number, 0)), x)


# (products [N, 3E] whose sum is queries, keys and values, their bias, x) to what attention gives, and the rows of x to
# which it is added
Attend = Callable[[Sequence[Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


class Block(NamedTuple):
    """One pre-norm transformer block (Radford et al., 2019). Twin: `cached._block`."""

    config: ModelConfig
    dtype: DType
    attend: Attend
    dropout: DropoutKey | None = None
    adapter_dropout: DropoutKey | None = None
    number: int | Tensor = 0

    @staticmethod
    def first_site(number: int | Tensor) -> int | Tensor:
        """The first site of dropout in the layer of this number."""
        return 1 + _SITES_PER_LAYER * number

    def __call__(self, x: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        """The block on x, float32 [N, E], with its weights by their names in the block."""
        config, dtype, dropout = self.config, self.dtype, self.dropout
        epsilon, frozen, site = config.layer_norm_epsilon, config.lora is not None, self.first_site(self.number)

        normed = layer_norm(x, w["ln_1.weight"], w["ln_1.bias"], epsilon, dtype, frozen=frozen)  # (N, E)
        qkv = self._project(normed, w, "attn.c_attn")  # each (N, 3E)
        mixed, x = self.attend(qkv, w["attn.c_attn.bias"], x)  # (N, E), or of the rows wanted, as all below
        attended = add_bias(self._project(mixed, w, "attn.c_proj"), w["attn.c_proj.bias"], frozen=frozen)  # (N, E)
        x = x + apply_dropout(attended, dropout, site + 1)  # (N, E)

        normed = layer_norm(x, w["ln_2.weight"], w["ln_2.bias"], epsilon, dtype, frozen=frozen)  # (N, E)
        inner = bias_gelu(self._project(normed, w, "mlp.c_fc"), w["mlp.c_fc.bias"], frozen=frozen)  # (N, 4E)
        outer = add_bias(self._project(inner, w, "mlp.c_proj"), w["mlp.c_proj.bias"], frozen=frozen)  # (N, E)
        return x + apply_dropout(outer, dropout, site + 2)

    def _project(self, x: Tensor, w: Mapping[str, Tensor], name: str) -> list[Tensor]:
        """The product [N, out] of x [N, in] with the weight of a projection, and what its adapter adds to it."""
        weight, config = w[f"{name}.weight"], self.config
        if config.lora is None:
            return [matmul(x, weight)]
        y = frozen_matmul(x, weight, w.get(f"{name}.{lora.SCALE}"))  # (N, out)
        if name not in config.lora.targets:
            return [y]
        place = (config.n_layer + self.number) * _SITES_PER_LAYER + 1 + list(PROJECTIONS).index(name)
        low = matmul(apply_dropout(x, self.adapter_dropout, place), w[f"{name}.{lora.A}"])  # (N, r)
        return [y, matmul(tf.cast(config.lora.scale, x.dtype) * low, w[f"{name}.{lora.B}"])]
