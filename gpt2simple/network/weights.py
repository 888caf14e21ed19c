"""The model's variables as the forward pass wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple._backend import tf


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
