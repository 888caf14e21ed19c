"""From token ids to the last hidden states: embeddings, blocks, final norm. The forward pass of training and scoring.

Twin: `cached._blocks`, which decodes with key/value caches. Both take the weights of a block in one order,
`config.BLOCK_WEIGHTS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, take_over, tf
from gpt2simple.gpt2.config import BLOCK_WEIGHTS, CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.network.attention import Packing, attention_at, causal_attention, rows_at, split_heads
from gpt2simple.gpt2.network.dropout import DropoutKey, apply_dropout
from gpt2simple.gpt2.network.layers import add_bias, bias_gelu, layer_norm, matmul
from gpt2simple.gpt2.network.xla import recompute

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


def is_matrix(name: str) -> bool:
    """Whether a canonical name is that of a matrix (embeddings included): what weight decay applies to."""
    outside = ("wte.weight", "wpe.weight", CLASSIFIER_HEAD)
    return name in outside or len(BLOCK_WEIGHTS.get(name.split(".", 2)[-1], ())) == 2


def hidden_states(
    weights: Mapping[str, Tensor], tokens: Tensor, config: ModelConfig, dtype: DType = tf.float32, *,
    packing: Packing | None = None, places: Tensor | None = None, dropout: DropoutKey | None = None,
    gradient_checkpointing: bool = False,
) -> Tensor:  # fmt: skip
    """The states that the head turns into logits, after the final norm.

    Args:
        weights: float32, by canonical name, from ``flat_weights``.
        tokens: int32 [B, T], both sizes static; a text has at most ``config.n_ctx`` tokens.
        config: of the model.
        dtype: of the matrix products.
        packing: where the texts of a row begin that holds several of them; None: each row is one text.
        places: int32 [K], the tokens whose states are wanted, with ``packing`` only: the last block computes no others.
            None: all.
        dropout: masks to draw, or None.
        gradient_checkpointing: keep only each block's input, and compute the block again in the backward pass.

    Returns:
        [N, E] in that dtype, or [K, E].
    """
    batch, time = tokens.shape
    if packing is None:  # tf.slice: its gradient is padding, that of [:time] takes 13 ms
        positions = tf.slice(weights["wpe.weight"], [0, 0], [time, config.n_embd])  # (T, E)
    else:
        positions = tf.gather(weights["wpe.weight"], packing.positions)  # (T, E)
    x = tf.gather(weights["wte.weight"], tokens) + positions  # (B, T, E)
    x = apply_dropout(tf.reshape(tf.cast(x, tf.float32), [batch * time, config.n_embd]), dropout, 0)  # (N, E)
    for number in range(config.n_layer):
        layer = tuple(weights[f"h.{number}.{name}"] for name in BLOCK_WEIGHTS)
        only = places if number == config.n_layer - 1 else None  # (K,)

        def run(x: Tensor, *layer: Tensor, number: int = number, only: Tensor | None = only) -> Tensor:
            return _block(x, layer, config, dtype, batch, packing, only, dropout, 1 + _SITES_PER_LAYER * number)

        x = recompute(run, x, *layer) if gradient_checkpointing else run(x, *layer)  # (N, E)
    return layer_norm(x, weights["ln_f.weight"], weights["ln_f.bias"], config.layer_norm_epsilon, dtype)


def _block(
    x: Tensor, layer: tuple[Tensor, ...], config: ModelConfig, dtype: DType, batch: int,
    packing: Packing | None, places: Tensor | None, dropout: DropoutKey | None, site: int,
) -> Tensor:  # fmt: skip
    """One pre-norm transformer block (Radford et al., 2019) on x, float32 [N, E]. Twin: `cached._block`."""
    w = dict(zip(BLOCK_WEIGHTS, layer, strict=True))
    epsilon = config.layer_norm_epsilon

    normed = layer_norm(x, w["ln_1.weight"], w["ln_1.bias"], epsilon, dtype)  # (N, E)
    qkv = matmul(normed, w["attn.c_attn.weight"])  # (N, 3E)
    q, k, v = split_heads(qkv, w["attn.c_attn.bias"], batch, config.n_head)  # (B, H, T, D)
    if places is None:
        mixed = causal_attention(q, k, v, dropout, site, packing)  # (N, E)
    else:
        assert packing is not None
        mixed, x = attention_at(q, k, v, places, packing, dropout, site), rows_at(x, places)  # (K, E), as all below
    attended = add_bias(matmul(mixed, w["attn.c_proj.weight"]), w["attn.c_proj.bias"])  # (N, E)
    x = x + apply_dropout(attended, dropout, site + 1)  # (N, E)

    normed = layer_norm(x, w["ln_2.weight"], w["ln_2.bias"], epsilon, dtype)  # (N, E)
    inner = bias_gelu(matmul(normed, w["mlp.c_fc.weight"]), w["mlp.c_fc.bias"])  # (N, 4E)
    outer = add_bias(matmul(inner, w["mlp.c_proj.weight"]), w["mlp.c_proj.bias"])  # (N, E)
    return x + apply_dropout(outer, dropout, site + 2)
