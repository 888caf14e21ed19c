"""The loss and rank of each token under a model.

The logits are computed in slices of rows, so that those of a whole window are never in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from gpt2simple.backend.sharing import Copies, in_order
from gpt2simple.backend.tensorflow import DType, Tensor, Variable, forget_gradients, tf
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.lora import has_whole_numbers
from gpt2simple.gpt2.model import not_finite
from gpt2simple.gpt2.network.attention import Packing
from gpt2simple.gpt2.network.loss import head_matrix, map_logits, slice_bytes
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces

BatchT = TypeVar("BatchT")
Arrays = tuple[np.ndarray, ...]  # inputs, targets and, of packed texts, positions


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
        devices: that share the batches of `score_each`, by TensorFlow's names; the variables are on the first of them.
    """

    def __init__(
        self, variables: Mapping[str, Variable], config: ModelConfig, precision: str = "float32",
        devices: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._variables, self._config = dict(variables), config
        self._dtype, self._devices = tf.as_dtype(precision), devices

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> TokenScores:
        """The scores of targets [B, T], each given the inputs [B, T] up to its own position; both int32.

        Raises:
            CheckpointError: a loss is not finite.
        """
        return self._score(self._variables, (inputs, targets), 0)

    def score_each(
        self, batches: Iterable[tuple[BatchT, Arrays]], *, longest: int = 0
    ) -> Iterator[tuple[BatchT, TokenScores]]:
        """The scores of many batches, in their order, each beside what it was given with.

        Args:
            batches: anything, and the inputs and targets of a batch, as for `score`; of a row that holds several texts,
                also the position of each token in its text, int32 [1, T]. longest: tokens of such a text, at most.

        Raises:
            CheckpointError: as of `score`.
        """
        copies = Copies(self._variables, self._devices)

        def score(place: int, batch: tuple[BatchT, Arrays]) -> tuple[BatchT, TokenScores]:
            return batch[0], self._score(copies.at(place), batch[1], longest)

        return in_order(score, batches, self._devices)

    def _score(self, variables: dict[str, Variable], arrays: Arrays, longest: int) -> TokenScores:
        inputs, targets = arrays[:2]
        compiled = _scoring(self._config, self._dtype, shapes_of(variables, inputs), longest)
        losses, ranks = compiled(variables, *(tf.constant(array, tf.int32) for array in arrays))  # (N,), (N,)
        nats = losses.numpy()
        if not np.isfinite(nats).all():
            raise not_finite("The loss of a token")
        return TokenScores(nats.reshape(targets.shape), ranks.numpy().reshape(targets.shape))


def _scoring(config: ModelConfig, dtype: DType, shapes: Shapes, longest: int) -> Compiled:
    """A function (variables, inputs, targets, and positions of packed texts) -> (nats, ranks), each [N]."""

    key = ("score", config, dtype, shapes, longest)

    def score(variables: dict[str, Variable], *arrays: Tensor) -> tuple[Tensor, Tensor]:
        traces[key] += 1
        inputs, targets, *positions = arrays  # (B, T), (B, T), (1, T)
        packing = Packing(positions[0][0], longest) if positions else None
        states = hidden_states(
            flat_weights(variables), inputs, config, dtype, packing=packing,
            gradient_checkpointing=config.lora is not None,  # as in `evaluation_sums`
        )  # fmt: skip
        states = tf.cast(states, tf.float32)
        forget_gradients()
        embedding, targets = variables["wte.weight"], tf.reshape(targets, [-1])  # (V, E), (N,)
        at_a_time = slice_bytes(
            embedding.shape.num_elements(), embedding.dtype.size, least=has_whole_numbers(variables)
        )
        matrix = head_matrix(embedding, tf.float32)  # (V, E)
        parts = map_logits(_slice_scores, states, matrix, targets, at_a_time=at_a_time)  # (n,), (n,) of each slice
        return tf.concat([nats for nats, _ in parts], 0), tf.concat([ranks for _, ranks in parts], 0)

    about = "score", config, dtype.name, shapes, longest
    return kept_functions.find(key, lambda: Compiled(score, about, by_xla=False, quiet=False), config.n_layer / 4)


def _slice_scores(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats and ranks [n] of targets [n] under logits [n, V]."""
    picked = tf.gather(scores, targets, batch_dims=1)  # (n,)
    nats = tf.reduce_logsumexp(scores, axis=-1) - picked  # (n,)
    more_probable = tf.reduce_sum(tf.cast(scores > picked[:, None], tf.int32), axis=-1)  # (n,)
    return nats, 1 + more_probable
