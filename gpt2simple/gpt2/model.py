"""A model with its config and tokenizer; its weights stay on disk until something needs them all in memory.

Generating makes a copy of the weights of its own, one tensor at a time. Training, evaluating and scoring compute with
variables, which are made when they are first asked for. Independent of file layouts (`gpt2.formats` gives arrays by
canonical name), precision and training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gpt2simple.backend.tensorflow import Variable
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.formats.reader import WeightSource
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.variables import ReadValue, assign_weights, make_variables, random_weights, read_weight
from gpt2simple.storage.contents import quoted

_INITIALIZER_RANGE = 0.02
_OPEN_FILES_STAY = os.name != "nt"  # Windows removes no file that is open, and training removes old checkpoints


class LoadedModel:
    """A model that was loaded, with the weights that it had then; made by ``load``.

    Until they are in memory it keeps their files open: what training removes meanwhile can still be read.

    Attributes:
        config, tokenizer: of the model.
        container: the Keras model around the variables, from ``container_of``; None: not made yet.
    """

    def __init__(self, weights: _Weights, config: ModelConfig, tokenizer: Tokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer
        self._on_disk: _Weights | None = weights
        self._variables: dict[str, Variable] | None = None
        self.container: Any = None
        if not _OPEN_FILES_STAY:
            _ = self.variables

    @classmethod
    def load(
        cls,
        folder: Path,
        special_tokens: Iterable[str] = (),
        *,
        labels: Sequence[str] | None = None,
        head: Callable[[tuple[int, int]], np.ndarray] = np.zeros,
        random_seed: int | None = None,
    ) -> LoadedModel:
        """The model of a folder in any layout.

        Args:
            special_tokens: spellings of tokens that the model gets where it does not have them yet.
            labels: of the classifier that the model is to be, whose head it keeps if it is one already; empty: it is to
                be a language model; None: as it is.
            head: makes the weights of a new head, from their shape.
            random_seed: take random weights from this seed, and of the folder's model only the shape and the tokenizer;
                None: its weights.

        Raises:
            CheckpointError: the folder contains no usable model, or a tokenizer that is not this model's.
            SettingsError: a special token is the end of text, or a token of ordinary text.
        """
        base = Tokenizer.load(folder)  # first: it is quick, and what is missing most often
        source = open_checkpoint(folder)
        try:
            _require_rows(folder, base, source.config)
            tokenizer = base.with_added(special_tokens)
            wanted = source.config.labels if labels is None else tuple(labels)
            config = replace(source.config, n_vocab=max(source.config.n_vocab, tokenizer.vocab_size), labels=wanted)
            spelled = {index: base.encode(name) for name, index in tokenizer.added.items() if name not in base.added}
            initial = None if random_seed is None else random_weights(config, seed=random_seed)
            return cls(_Weights(source, config, spelled, head, initial), config, tokenizer)
        except BaseException:
            source.close()
            raise

    @property
    def weights(self) -> Mapping[str, Any]:
        """The weights by canonical name: the variables if these were made, else arrays that are read at each look."""
        if self._variables is not None:
            return self._variables
        assert self._on_disk is not None
        return self._on_disk

    @property
    def variables(self) -> dict[str, Variable]:
        """The weights as variables, float32 whatever the precision, by canonical name."""
        if self._variables is None:
            assert self._on_disk is not None
            self._variables = make_variables(self.config, self._on_disk.__getitem__)
            self.close()
        return self._variables

    def read(self, name: str) -> np.ndarray:
        """One weight, by its canonical name, as a float32 array of its canonical shape."""
        return self.weights[name] if self._variables is None else read_weight(self._variables, name)

    def refill(self, folder: Path) -> None:
        """Load the weights of another folder with a model of the same config.

        Raises:
            CheckpointError: it contains no model, or one of another config.
        """
        source = open_checkpoint(folder)
        if self._variables is None and source.config == self.config:
            self.close()
            self._on_disk = _Weights(source, self.config)
            return
        with source:
            assign_weights(self.variables, source)

    def close(self) -> None:
        """Close the files."""
        if self._on_disk is not None:
            self._on_disk.source.close()
            self._on_disk = None


class _Weights(Mapping[str, np.ndarray]):
    """The weights of an open checkpoint, the embedding with rows for new tokens, and the head of a new classifier.

    Such a row is the mean of those of the tokens that spelled it. Its logit is then the mean of theirs, so that before
    training it is nowhere more probable than all of them are, and two new tokens differ from the start. Rows that no
    token has are zero.

    Args:
        source: the checkpoint. config: of the model. spelled: ids in the checkpoint's vocabulary by new id.
        head: makes the weights of a head that the checkpoint lacks.
        initial: makes the other weights, and the head is a new one; None: they are the checkpoint's.
    """

    def __init__(
        self,
        source: WeightSource,
        config: ModelConfig,
        spelled: Mapping[int, Sequence[int]] = MappingProxyType({}),
        head: Callable[[tuple[int, int]], np.ndarray] = np.zeros,
        initial: ReadValue | None = None,
    ) -> None:
        self._initial = initial
        self.source, self._config, self._spelled, self._head = source, config, spelled, head
        self._shapes = canonical_shapes(config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        initial = self._initial
        if name == CLASSIFIER_HEAD and (initial is not None or self.source.config.labels != self._config.labels):
            width, classes = self._shapes[name]
            return np.asarray(self._head((width, classes)), dtype=np.float32)  # (E, C)
        if initial is not None:
            return np.asarray(initial(name))
        weight = self.source[name]
        if name != "wte.weight" or not self._spelled:
            return weight
        rows: np.ndarray = np.zeros((self._config.n_vocab, self._config.n_embd), dtype=np.float32)  # (V, E)
        rows[: len(weight)] = weight
        for index, tokens in self._spelled.items():
            rows[index] = weight[tokens].mean(axis=0)
        return rows


def require_language_model(loaded: LoadedModel, call: str) -> None:
    """Return if a model predicts tokens, as a call needs it.

    Raises:
        CheckpointError: it is a classifier.
    """
    if loaded.config.labels:
        raise CheckpointError(
            f"This model is a classifier of {len(loaded.config.labels)} classes, and {call}() needs a language model. "
            "Use classify(), or name another model or run."
        )


def new_head(seed: int) -> Callable[[tuple[int, int]], np.ndarray]:
    """What makes the weights of a classifier's head, normal as GPT-2's matrices are when they have learned nothing."""
    return lambda shape: np.random.default_rng(seed).normal(0.0, _INITIALIZER_RANGE, shape).astype(np.float32)


def _require_rows(folder: Path, tokenizer: Tokenizer, config: ModelConfig) -> None:
    if tokenizer.vocab_size > config.n_vocab:
        without = [name for name, index in tokenizer.added.items() if index >= config.n_vocab]
        raise CheckpointError(
            f"The tokenizer in {folder} has ids up to {tokenizer.vocab_size - 1}, and the model's embedding has only "
            f"{config.n_vocab} rows{f': none for {quoted(without[0])}' if without else ''}. Put the tokenizer files "
            "that came with the model there, or remove the added tokens that it was not trained with."
        )


def not_finite(what: str) -> CheckpointError:
    """The error where a model whose weights are finite computes NaN or infinity: its values exceed the range."""
    return CheckpointError(
        f"{what} is not finite (NaN or infinity): the model's weights are too large for the arithmetic. Use "
        'precision="float32" if another was used, or another checkpoint.'
    )
