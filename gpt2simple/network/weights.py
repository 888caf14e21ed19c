"""The model's variables as the forward pass wants them: matrices in the dtype of the products, biases flat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple._backend import tf


def compute_weights(variables: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Weights for ``hidden_states``, made from float32 variables by canonical name.

    Args:
        variables: of a `TFGPT2LMHeadModel`, whose biases are [1, N].
        dtype: of the products. Embeddings and norms stay float32: they are looked up and added, not multiplied.
    """
    return {name: _compute_weight(name, variable, dtype) for name, variable in variables.items()}


def _compute_weight(name: str, variable: Any, dtype: Any) -> Any:
    if name in ("wte.weight", "wpe.weight"):
        return variable
    if is_matrix(name):
        return tf.cast(variable, dtype)
    return tf.reshape(variable, [-1])


def is_matrix(name: str) -> bool:
    """Whether a canonical name is that of a matrix (embeddings included): what weight decay applies to."""
    return name in ("wte.weight", "wpe.weight") or (name.endswith(".weight") and (".attn." in name or ".mlp." in name))
