"""From token ids to the last hidden states: embeddings, blocks, final norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.attention import causal_attention, split_heads
from gpt2simple.gpt2.network.dropout import DropoutKey, drop
from gpt2simple.gpt2.network.layers import bias_gelu, biased, layer_norm, product
from gpt2simple.gpt2.network.xla import recomputed


def flat_weights(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Weights for ``hidden_states``: float32, biases [N] where a `TFGPT2LMHeadModel` has [1, N].

    Args:
        variables: of the model, by canonical name.
    """
    return {
        name: tf.convert_to_tensor(variable) if is_matrix(name) else tf.reshape(variable, [-1])
        for name, variable in variables.items()
    }


def is_matrix(name: str) -> bool:
    """Whether a canonical name is that of a matrix (embeddings included): what weight decay applies to."""
    return name in ("wte.weight", "wpe.weight") or (name.endswith(".weight") and (".attn." in name or ".mlp." in name))


_PLACES_PER_LAYER = 4  # dropout: attention weights, after attention, after the MLP; one number is left free

BLOCK_WEIGHTS = (
    "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias",
    "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias",
)  # fmt: skip


def hidden_states(
    weights: Mapping[str, Any],
    tokens: Any,
    config: ModelConfig,
    dtype: Any = tf.float32,
    *,
    dropout: DropoutKey | None = None,
    checkpointing: bool = False,
) -> Any:
    """The states that the head turns into logits, after the final norm.

    Args:
        weights: float32 by canonical name, from ``flat_weights``.
        tokens: int32 [B, T], T at most ``config.n_ctx``; both sizes static.
        config: of the model. dtype: of the matrix products.
        dropout: masks to draw, or None.
        checkpointing: keep only each block's input and compute the block again in the backward pass.

    Returns:
        [B*T, E] in that dtype.
    """
    batch, time = tokens.shape
    # tf.slice: its gradient is padding, that of [:time] takes 13 ms.
    places = tf.slice(weights["wpe.weight"], [0, 0], [time, config.n_embd])
    x = tf.gather(weights["wte.weight"], tokens) + places  # (B, T, E)
    x = drop(tf.reshape(tf.cast(x, tf.float32), [batch * time, config.n_embd]), dropout, 0)  # (N, E)
    for number in range(config.n_layer):
        layer = tuple(weights[f"h.{number}.{name}"] for name in BLOCK_WEIGHTS)

        def run(states: Any, *block_weights: Any, number: int = number) -> Any:
            return _block(states, block_weights, config, dtype, batch, dropout, 1 + _PLACES_PER_LAYER * number)

        x = recomputed(run, x, *layer) if checkpointing else run(x, *layer)
    return layer_norm(x, weights["ln_f.weight"], weights["ln_f.bias"], config.layer_norm_epsilon, dtype)


def _block(
    x: Any,
    weights: tuple[Any, ...],
    config: ModelConfig,
    dtype: Any,
    batch: int,
    dropout: DropoutKey | None,
    place: int,
) -> Any:
    """One pre-norm transformer block (Radford et al., 2019) on rows x, float32 [N, E]."""
    w = dict(zip(BLOCK_WEIGHTS, weights, strict=True))
    epsilon = config.layer_norm_epsilon

    normed = layer_norm(x, w["ln_1.weight"], w["ln_1.bias"], epsilon, dtype)
    heads = split_heads(product(normed, w["attn.c_attn.weight"]), w["attn.c_attn.bias"], batch, config.n_head)
    attended = biased(product(causal_attention(*heads, dropout, place), w["attn.c_proj.weight"]), w["attn.c_proj.bias"])
    x = x + drop(attended, dropout, place + 1)

    normed = layer_norm(x, w["ln_2.weight"], w["ln_2.bias"], epsilon, dtype)
    inner = bias_gelu(product(normed, w["mlp.c_fc.weight"]), w["mlp.c_fc.bias"])  # (N, 4E)
    outer = biased(product(inner, w["mlp.c_proj.weight"]), w["mlp.c_proj.bias"])
    return x + drop(outer, dropout, place + 2)
