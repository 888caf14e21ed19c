"""The model's verdict on each token: how many nats it costs, and how many tokens the model held likelier.

The head is computed in slices of rows, so that the logits of a whole window never exist at once. Knows no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.loss import head_matrix, logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states

_SLICE_BYTES = 1 << 27  # of float32 logits at a time


class TokenScores(NamedTuple):
    """What the model makes of targets [B, T].

    Attributes:
        nats: float32 [B, T], cost of each target. ranks: int32 [B, T], 1 where the model held no token likelier.
    """

    nats: np.ndarray
    ranks: np.ndarray


class Scorer:
    """Scores tokens with a model's weights as they are at the time of the call.

    Args:
        variables: float32, by canonical name. config: of the model.
        precision: dtype name of the products in the body; the head is always computed in float32.
    """

    def __init__(self, variables: Mapping[str, Any], config: ModelConfig, precision: str = "float32") -> None:
        self._variables, self._config = dict(variables), config
        self._dtype = tf.as_dtype(precision)
        self._compiled = tf.function(self._score, reduce_retracing=False, autograph=False)

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> TokenScores:
        """The scores of targets [B, T], each after its inputs [B, T] up to the same place; both int32."""
        nats, ranks = self._compiled(tf.constant(inputs, tf.int32), tf.constant(targets, tf.int32))
        return TokenScores(nats.numpy().reshape(targets.shape), ranks.numpy().reshape(targets.shape))

    def _score(self, inputs: Any, targets: Any) -> tuple[Any, Any]:
        weights = flat_weights(self._variables)
        states = tf.cast(hidden_states(weights, inputs, self._config, self._dtype), tf.float32)  # (N, E)
        matrix = head_matrix(self._variables["wte.weight"], tf.float32)  # (V, E)
        flat = tf.reshape(targets, [-1])
        rows = states.shape[0]
        per_slice = max(_SLICE_BYTES // (4 * self._config.n_vocab), 1)
        parts: list[tuple[Any, Any]] = []
        for start in range(0, rows, per_slice):
            before = [parts[-1][0]] if parts else []
            with tf.control_dependencies(before):  # one slice at a time: else the executor holds them all
                part = tf.identity(states[start : start + per_slice])
            parts.append(_slice_scores(logits(part, matrix), flat[start : start + per_slice]))
        return tf.concat([nats for nats, _ in parts], 0), tf.concat([ranks for _, ranks in parts], 0)


def _slice_scores(scores: Any, targets: Any) -> tuple[Any, Any]:
    """Nats and ranks [n] of targets [n] under logits [n, V]."""
    picked = tf.gather(scores, targets, batch_dims=1)
    nats = tf.reduce_logsumexp(scores, axis=-1) - picked
    likelier = tf.reduce_sum(tf.cast(scores > picked[:, None], tf.int32), axis=-1)
    return nats, 1 + likelier
