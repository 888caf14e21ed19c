"""From token ids to the last hidden states: embeddings, blocks, final norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple._backend import tf
from gpt2simple.network.attention import causal_attention
from gpt2simple.network.checkpointing import recomputed
from gpt2simple.network.dropout import DropoutKey, drop
from gpt2simple.network.layers import bias_gelu, layer_norm, linear
from gpt2simple.shape import ModelShape

_PLACES_PER_LAYER = 4  # dropout: attention weights, after attention, after the MLP; one number is left free

BLOCK_WEIGHTS = (
    "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias",
    "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias",
)  # fmt: skip


def hidden_states(
    weights: Mapping[str, Any],
    tokens: Any,
    shape: ModelShape,
    *,
    dropout: DropoutKey | None = None,
    checkpointing: bool = False,
) -> Any:
    """The states that the head turns into logits, after the final norm.

    Args:
        weights: by canonical name; matrices in the dtype that products are to have, all else float32.
        tokens: int32 [B, T], T at most ``shape.n_ctx``; both sizes static.
        shape: of the model.
        dropout: masks to draw, or None.
        checkpointing: keep only each block's input and compute the block again in the backward pass.

    Returns:
        [B*T, E] in the dtype of the matrices.
    """
    batch, time = tokens.shape
    dtype = weights["h.0.attn.c_attn.weight"].dtype
    x = tf.gather(weights["wte.weight"], tokens) + weights["wpe.weight"][:time]  # (B, T, E)
    x = drop(tf.reshape(tf.cast(x, tf.float32), [batch * time, shape.n_embd]), dropout, 0)  # (N, E)
    for number in range(shape.n_layer):
        layer = tuple(weights[f"h.{number}.{name}"] for name in BLOCK_WEIGHTS)

        def run(states: Any, *block_weights: Any, number: int = number) -> Any:
            return _block(states, block_weights, shape, batch, dropout, 1 + _PLACES_PER_LAYER * number)

        x = recomputed(run, x, *layer) if checkpointing else run(x, *layer)
    return layer_norm(x, weights["ln_f.weight"], weights["ln_f.bias"], shape.layer_norm_epsilon, dtype)


def _block(
    x: Any, weights: tuple[Any, ...], shape: ModelShape, batch: int, dropout: DropoutKey | None, place: int
) -> Any:
    """One pre-norm transformer block (Radford et al., 2019) on rows x, float32 [N, E]."""
    w = dict(zip(BLOCK_WEIGHTS, weights, strict=True))
    dtype, epsilon = w["attn.c_attn.weight"].dtype, shape.layer_norm_epsilon

    normed = layer_norm(x, w["ln_1.weight"], w["ln_1.bias"], epsilon, dtype)
    mixed = _attention(linear(normed, w["attn.c_attn.weight"], w["attn.c_attn.bias"]), shape, batch, dropout, place)
    attended = linear(mixed, w["attn.c_proj.weight"], w["attn.c_proj.bias"])
    x = x + drop(tf.cast(attended, tf.float32), dropout, place + 1)

    normed = layer_norm(x, w["ln_2.weight"], w["ln_2.bias"], epsilon, dtype)
    inner = bias_gelu(tf.matmul(normed, w["mlp.c_fc.weight"]), w["mlp.c_fc.bias"])  # (N, 4E)
    outer = linear(inner, w["mlp.c_proj.weight"], w["mlp.c_proj.bias"])
    return x + drop(tf.cast(outer, tf.float32), dropout, place + 2)


def _attention(qkv: Any, shape: ModelShape, batch: int, dropout: DropoutKey | None, place: int) -> Any:
    """Heads split, attended and joined again: [N, 3E] to [N, E]."""
    rows = qkv.shape[0]
    depth = shape.n_embd // shape.n_head
    heads = tf.reshape(qkv, [batch, rows // batch, 3, shape.n_head, depth])
    queries, keys, values = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))  # each (B, H, T, D)
    queries = queries * tf.cast(depth**-0.5, queries.dtype)
    mixed = causal_attention(queries, keys, values, dropout, place)
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [rows, shape.n_embd])
