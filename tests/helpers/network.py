"""Models, tokens and plain reference formulas that the tests of `network` and `training` share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from transformers import TFGPT2LMHeadModel

from gpt2simple.backend.tensorflow import Variable, tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.gpt2.lora import SCALE
from gpt2simple.gpt2.network.dropout import DropoutKey, dropout_seed
from gpt2simple.gpt2.network.loss import head_matrix, logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.testing import SMALL_CONFIG

# Attention takes queries in blocks of 128 or, in 16 bits, 256: 600 is some whole blocks and a part of one.
LONG_CONFIG = ModelConfig(n_vocab=257, n_ctx=600, n_embd=16, n_head=2, n_layer=2)


@lru_cache
def model_of(config: ModelConfig = SMALL_CONFIG) -> TFGPT2LMHeadModel:
    """A random model; tests that share it change nothing in it. Biases and norms are random too, so that they count."""
    model = build_model(config, seed=0, initializer_range=0.1)
    draw = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draw.normal(0, 0.05, variable.shape).astype(np.float32))
    return model


def weights_of(model: TFGPT2LMHeadModel) -> Mapping[str, Any]:
    return flat_weights(named_variables(model))


def random_tokens(batch: int, time: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 257, (batch, time)).astype(np.int32)


def our_states(
    model: TFGPT2LMHeadModel, tokens: np.ndarray, config: ModelConfig = SMALL_CONFIG, dtype: Any = tf.float32,
    **options: Any,
) -> Any:  # fmt: skip
    """[N, E]"""
    return hidden_states(weights_of(model), tf.constant(tokens), config, dtype, **options)


def our_logits(
    model: TFGPT2LMHeadModel, tokens: np.ndarray, config: ModelConfig = SMALL_CONFIG, dtype: Any = tf.float32
) -> np.ndarray:
    """[B, T, V]"""
    states = our_states(model, tokens, config, dtype)
    matrix = head_matrix(named_variables(model)["wte.weight"], dtype)
    return tf.reshape(logits(states, matrix)[:, : config.n_vocab], [*tokens.shape, config.n_vocab]).numpy()


def plain_loss_and_gradients(
    model: TFGPT2LMHeadModel, inputs: np.ndarray, targets: np.ndarray, loss_mask: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """Mean cross-entropy of `TFGPT2LMHeadModel` by TensorFlow's own functions, and its gradients by canonical name."""
    variables = named_variables(model)
    with tf.GradientTape() as tape:
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, model(inputs).logits)
        loss = tf.reduce_sum(nats * loss_mask) / tf.reduce_sum(loss_mask)
    found = tape.gradient(loss, list(variables.values()))
    arrays = [tf.convert_to_tensor(gradient).numpy() for gradient in found]
    return float(loss), {
        name: array.reshape(-1) if name.endswith(".bias") else array
        for name, array in zip(variables, arrays, strict=True)
    }


def dropout_key(rate: float = 0.1, seed: int = 1, position: int = 0) -> DropoutKey:
    return DropoutKey(rate, dropout_seed(seed), tf.constant(position))


def largest_relative_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Over arrays by name: the largest error of an array's numbers, relative to the largest number of that array."""
    assert sorted(ours) == sorted(theirs)
    return max(np.abs(np.asarray(ours[name]) - theirs[name]).max() / np.abs(theirs[name]).max() for name in theirs)


def as_kept(variables: Mapping[str, Variable]) -> dict[str, np.ndarray]:
    """The values of a model's weights and adapter as its variables keep them, float32 by canonical name."""
    found = {name: tf.cast(variable, tf.float32).numpy() for name, variable in variables.items()}
    for name in [name for name in found if name.endswith(f".{SCALE}")]:
        found[f"{name.removesuffix(SCALE)}weight"] *= found.pop(name)
    return {name: value.reshape(-1) if name.endswith(".bias") else value for name, value in found.items()}
