"""The probabilities of the classes of texts, under a model that is a classifier.

Several texts are computed in one row, so that there is hardly any padding; what is computed for a text depends on
nothing but the text. Independent of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.sharing import Copies, in_order
from gpt2simple.backend.tensorflow import DType, Tensor, Variable, forget_gradients, tf
from gpt2simple.data.batches import Batch, checked_window
from gpt2simple.data.labelled import labelled_reader
from gpt2simple.data.packing import packed_rows
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.model import LoadedModel, not_finite
from gpt2simple.gpt2.network.attention import Packing
from gpt2simple.gpt2.network.loss import class_logits
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces
from gpt2simple.gpt2.tokenizer import Tokenizer

_WIDEST = 1024  # tokens that are computed together; more are no faster, and the longest text may have more


class Encoded(NamedTuple):
    """Texts as token ids.

    Attributes:
        ids: int32 [T] of each text. lengths: int64 [texts]. truncated: how many texts were longer than could be read.
    """

    ids: list[np.ndarray]
    lengths: np.ndarray
    truncated: int


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> Encoded:
    """The first ``longest`` tokens of each text.

    As in transformers, the spelling of the end-of-text token is that token, and padding where a text ends with it.
    """
    whole = [tokenizer.encode_array(text, allow_end_of_text=True) for text in texts]
    ids = [_without_padding(text[:longest].astype(np.int32), tokenizer.end_of_text) for text in whole]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))  # (texts,)
    return Encoded(ids, lengths, sum(len(text) > longest for text in whole))


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
            batch_size: texts that are computed together, at most; fewer where they are long.

        Raises:
            CheckpointError: a probability is not finite.
        """
        encoded = encode_texts(texts, self._loaded.tokenizer, self._longest)
        variables, config = self._loaded.variables, self._loaded.config
        found = np.zeros((len(texts), len(config.labels)))  # (N, C)
        if not texts:
            return found, 0
        longest = _power_of_two(int(encoded.lengths.max()))
        most = min(batch_size, _power_of_two(len(texts)))  # texts in a row
        read = labelled_reader(encoded.ids, np.zeros(len(texts), np.int32))  # labels do not matter here
        copies = Copies(variables, self._loaded.devices)

        def logits_of(device: int, row: tuple[Batch, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            """The numbers of a row's texts, and their logits (texts, C)."""
            (batch, numbers), own = row, copies.at(device)
            last = np.flatnonzero(batch.loss_mask[0]).astype(np.int32)  # (texts,), the place of each text's last token
            places = tf.constant(np.pad(last, (0, most - len(last))))  # (K,)
            compiled = _classifying(config, self._dtype, shapes_of(own, batch.inputs), most, longest)
            logits = compiled(own, tf.constant(batch.inputs), tf.constant(batch.positions), places)  # (K, C)
            return numbers, logits.numpy()[: len(numbers)]

        rows = packed_rows(encoded.lengths, read, batch_size=most, most_tokens=_WIDEST, widths=_few_widths)
        for numbers, logits in in_order(logits_of, rows, self._loaded.devices):
            found[numbers] = _softmax(logits.astype(np.float64))  # (texts, C)
        if not np.isfinite(found).all():
            raise not_finite("The probability of a class")
        return found, encoded.truncated


def _power_of_two(tokens: int) -> int:
    """The lowest one that is not less, at least 8: one of the few sizes that calls have, so that few are compiled."""
    return max(1 << (tokens - 1).bit_length(), 8)


def _few_widths(tokens: np.ndarray) -> np.ndarray:
    """Widths of rows with so many tokens [rows]: a power of two, or one and a half times one, at least 16."""
    powers = 1 << np.ceil(np.log2(np.maximum(tokens, 16))).astype(np.int64)  # (rows,)
    return np.where(tokens <= powers * 3 // 4, powers * 3 // 4, powers)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Of the last axis of an array [B, C]."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _classifying(config: ModelConfig, dtype: DType, shapes: Shapes, most: int, longest: int) -> Compiled:
    """A function (variables, inputs [1, T], positions [1, T], places of last tokens [K]) -> logits [K, C].

    Args:
        most: texts in a row, K. longest: tokens of a text, at most.
    """
    key = ("classify", config, dtype, shapes, most, longest)

    def classify(variables: Mapping[str, Variable], inputs: Tensor, positions: Tensor, places: Tensor) -> Tensor:
        traces[key] += 1
        packing = Packing(positions[0], longest)
        states = hidden_states(flat_weights(variables), inputs, config, dtype, packing=packing, places=places)
        forget_gradients()
        return class_logits(states, variables[CLASSIFIER_HEAD])

    about: tuple[Any, ...] = ("classify", config, dtype.name, shapes, most, longest)
    return kept_functions.find(key, lambda: Compiled(classify, about, by_xla=False, quiet=False), config.n_layer / 4)
