"""The probabilities of the classes of texts, under a model that is a classifier.

Texts of similar length are computed together, so that there is little padding; what is computed for a text depends on
nothing but the text. Independent of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, forget_gradients, tf
from gpt2simple.data.batches import checked_window
from gpt2simple.data.length_batches import best_lengths, evaluation_batches
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.model import LoadedModel, not_finite
from gpt2simple.gpt2.network.loss import class_logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces
from gpt2simple.gpt2.tokenizer import Tokenizer

_MOST_LENGTHS, _MOST_LAYERS = 10, 48  # of compiled steps: TensorFlow's graph of a training step takes 8 MB a layer
_FEW_TEXTS = 256  # for fewer, widths that any call may have, so that the next call compiles nothing
_SHORTEST = 8  # tokens


def most_lengths(config: ModelConfig) -> int:
    """How many widths the batches of a model may have: each is compiled, and kept in memory while it trains."""
    return min(_MOST_LENGTHS, max(_MOST_LAYERS // config.n_layer, 4))


class Encoded(NamedTuple):
    """Texts as token ids.

    Attributes:
        ids: int32 [T] of each text. truncated: how many texts were longer than could be read.
    """

    ids: list[np.ndarray]
    truncated: int


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> Encoded:
    """The first ``longest`` tokens of each text.

    As in transformers, the spelling of the end-of-text token is that token, and padding where a text ends with it.
    """
    whole = [tokenizer.encode_array(text, allow_end_of_text=True) for text in texts]
    ids = [_without_padding(text[:longest].astype(np.int32), tokenizer.end_of_text) for text in whole]
    return Encoded(ids, sum(len(text) > longest for text in whole))


def _without_padding(ids: np.ndarray, padding: int) -> np.ndarray:
    """The ids int32 [T] of a text without padding at its end, or the first alone where all are padding."""
    others = np.flatnonzero(ids != padding)
    return ids[: others[-1] + 1 if len(others) else 1]


class TextClassifier:
    """Classifies with the model's weights at the time of the call.

    Args:
        loaded: a classifier. precision: dtype name of the matrix products; the head is computed in float32.
        longest: tokens of a text that are read; None: as many as the model reads.

    Raises:
        CheckpointError: the model is no classifier. SettingsError: it reads fewer tokens than ``longest``.
    """

    def __init__(self, loaded: LoadedModel, *, precision: str = "float32", longest: int | None = None) -> None:
        if not loaded.config.labels:
            raise CheckpointError(
                "This model is no classifier: it has no head that tells classes apart. Train one with "
                "finetune_classifier(), or name its run."
            )
        self._loaded, self._dtype = loaded, tf.as_dtype(precision)
        self._longest = checked_window(longest, loaded.config.n_ctx, "max_length")

    def probabilities(self, texts: Sequence[str], *, batch_size: int) -> tuple[np.ndarray, int]:
        """The probabilities of the classes, float64 [texts, C], and how many texts were cut.

        Args:
            texts: none of them empty.
            batch_size: texts that are computed together.

        Raises:
            CheckpointError: a probability is not finite.
        """
        encoded = encode_texts(texts, self._loaded.tokenizer, self._longest)
        variables, config = self._loaded.variables, self._loaded.config
        found = np.zeros((len(texts), len(config.labels)))  # (N, C)
        if not texts:
            return found, 0
        counts = np.array([len(ids) for ids in encoded.ids])  # (N,)
        few = len(texts) < _FEW_TEXTS
        lengths = _doubled(_SHORTEST, int(counts.max())) if few else best_lengths(counts, most_lengths(config))
        lengths = tuple(min(length, config.n_ctx) for length in lengths)
        batch_size = min(batch_size, _doubled(1, len(texts))[-1])
        labels = np.zeros(len(texts), np.int32)  # they do not matter here
        for (inputs, _, loss_mask), numbers in evaluation_batches(
            encoded.ids, labels, batch_size=batch_size, lengths=lengths
        ):
            last = loss_mask.argmax(axis=1).astype(np.int32)  # (B,), the place of each text's last token
            compiled = _classifying(config, self._dtype, shapes_of(variables, inputs))
            logits = compiled(variables, tf.constant(inputs), tf.constant(last)).numpy()  # (B, C)
            found[numbers] = _softmax(logits[: len(numbers)].astype(np.float64))
        if not np.isfinite(found).all():
            raise not_finite("The probability of a class")
        return found, encoded.truncated


def _doubled(first: int, last: int) -> tuple[int, ...]:
    """A number, its double and so on, up to the first that is at least ``last``."""
    numbers = [first]
    while numbers[-1] < last:
        numbers.append(2 * numbers[-1])
    return tuple(numbers)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Of the last axis of an array [B, C]."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _classifying(config: ModelConfig, dtype: DType, shapes: Shapes) -> Compiled:
    """A function (variables, inputs [B, T], places of the last tokens [B]) -> logits [B, C]."""
    key = ("classify", config, dtype, shapes)

    def classify(variables: Mapping[str, Variable], inputs: Tensor, last: Tensor) -> Tensor:
        traces[key] += 1
        states = hidden_states(flat_weights(variables), inputs, config, dtype)  # (B * T, E)
        forget_gradients()
        batch, width = inputs.shape
        pooled = tf.gather(states, tf.range(batch) * width + last)  # (B, E)
        return class_logits(pooled, variables[CLASSIFIER_HEAD])

    about: tuple[Any, ...] = ("classify", config, dtype.name, shapes)
    return kept_functions.find(key, lambda: Compiled(classify, about, by_xla=False, quiet=False), config.n_layer / 4)
