"""The loss and rank of each token under a model.

The logits are computed in slices of rows, so that those of a whole window are never in memory at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, forget_gradients, tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.model import not_finite
from gpt2simple.gpt2.network.loss import head_matrix, map_logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces


class TokenScores(NamedTuple):
    """Scores of targets [B, T].

    Attributes:
        nats: float32 [B, T], the loss of each target.
        ranks: int32 [B, T], 1 where the target is the most probable token.
    """

    nats: np.ndarray
    ranks: np.ndarray


class Scorer:
    """Scores tokens with the model's weights at the time of the call.

    Args:
        variables: float32, by canonical name. config: of the model.
        precision: dtype name of the matrix products in the transformer; the head is always computed in float32.
    """

    def __init__(self, variables: Mapping[str, Variable], config: ModelConfig, precision: str = "float32") -> None:
        self._variables, self._config = dict(variables), config
        self._dtype = tf.as_dtype(precision)

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> TokenScores:
        """The scores of targets [B, T], each given the inputs [B, T] up to its own position; both int32.

        Raises:
            CheckpointError: a loss is not finite.
        """
        compiled = _scoring(self._config, self._dtype, shapes_of(self._variables, inputs))
        losses, ranks = compiled(self._variables, tf.constant(inputs, tf.int32), tf.constant(targets, tf.int32))  # (N,)
        nats = losses.numpy()
        if not np.isfinite(nats).all():
            raise not_finite("The loss of a token")
        return TokenScores(nats.reshape(targets.shape), ranks.numpy().reshape(targets.shape))


def _scoring(config: ModelConfig, dtype: DType, shapes: Shapes) -> Compiled:
    """A function (variables, inputs, targets) -> (nats, ranks), each [N], for arguments of these shapes."""

    key = ("score", config, dtype, shapes)

    def score(variables: dict[str, Variable], inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        traces[key] += 1
        states = tf.cast(hidden_states(flat_weights(variables), inputs, config, dtype), tf.float32)  # (N, E)
        forget_gradients()
        matrix = head_matrix(variables["wte.weight"], tf.float32)  # (V, E)
        parts = map_logits(_slice_scores, states, matrix, tf.reshape(targets, [-1]))  # (n,), (n,) of each slice
        return tf.concat([nats for nats, _ in parts], 0), tf.concat([ranks for _, ranks in parts], 0)

    about = "score", config, dtype.name, shapes
    return kept_functions.find(key, lambda: Compiled(score, about, by_xla=False, quiet=False), config.n_layer / 4)


def _slice_scores(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats and ranks [n] of targets [n] under logits [n, V]."""
    picked = tf.gather(scores, targets, batch_dims=1)  # (n,)
    nats = tf.reduce_logsumexp(scores, axis=-1) - picked  # (n,)
    more_probable = tf.reduce_sum(tf.cast(scores > picked[:, None], tf.int32), axis=-1)  # (n,)
    return nats, 1 + more_probable
