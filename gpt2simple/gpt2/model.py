"""A model with its config and tokenizer; its weights stay on disk until something needs them all in memory.

Generating makes a copy of the weights of its own, one tensor at a time. Training, evaluating and scoring compute with
variables, which are made when they are first asked for. Independent of file layouts (`gpt2.formats` gives arrays by
canonical name), precision and training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import Variable
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, Lora, ModelConfig
from gpt2simple.gpt2.formats.adapter import (
    AdapterSource,
    BaseRecord,
    FindBase,
    MergedSource,
    merged_weight,
    recorded_folder,
)
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.formats.peft import CONFIG_FILE, AdapterFile
from gpt2simple.gpt2.formats.reader import WeightSource
from gpt2simple.gpt2.lora import ROWS, adapter_shapes, is_of_adapter, new_adapter
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.files import has_vocabulary
from gpt2simple.gpt2.variables import ReadValue, assign_weights, copy_rows, make_variables, random_weights, read_weight
from gpt2simple.storage.contents import quoted

_INITIALIZER_RANGE = 0.02
_OPEN_FILES_STAY = os.name != "nt"  # Windows removes no file that is open, and training removes old checkpoints


class LoadedModel:
    """A model that was loaded, with the weights that it had then; made by ``load``.

    Until they are in memory it keeps their files open: what training removes meanwhile can still be read.

    Attributes:
        config, tokenizer: of the model.
        base: the model that its adapter belongs to; None: it has none, or that is not on record.
        container: the Keras model around the variables, from ``container_of``; None: not made yet.
        devices: that share what is evaluated and generated with it, by TensorFlow's names; empty: one does it all.
    """

    def __init__(
        self, weights: _Weights, config: ModelConfig, tokenizer: Tokenizer, base: BaseRecord | None = None
    ) -> None:
        self.config, self.tokenizer, self.base = config, tokenizer, base
        self._on_disk: _Weights | None = weights
        self._variables: dict[str, Variable] | None = None
        self.container: Any = None
        self.devices: Sequence[str] = ()
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
        adapter: NewAdapter | None = None,
        merges: bool = False,
        base_precision: str | None = None,
        find_base: FindBase = recorded_folder,
    ) -> LoadedModel:
        """The model of a folder in any layout.

        Args:
            special_tokens: spellings of tokens that the model gets where it does not have them yet.
            labels: of the classifier that the model is to be, whose head it keeps if it is one already; empty: it is to
                be a language model; None: as it is.
            head: makes the weights of a new head, from their shape.
            random_seed: take random weights from this seed, and of the folder's model only the shape and the tokenizer;
                None: its weights.
            adapter: the one that it gets; the folder's is then merged. None: it keeps the folder's, if there is one.
            merges: whether the folder's is merged anyway, so that the model has none.
            base_precision: how its model's weights are kept, see `Lora`; None: as the adapter says, or float32.
            find_base: where the model of the folder's adapter lies.

        Raises:
            CheckpointError: the folder contains no usable model, or a tokenizer that is not this model's.
            SettingsError: a special token is the end of text, or a token of ordinary text.
        """
        is_bare = (folder / CONFIG_FILE).is_file() and not has_vocabulary(folder)  # as peft itself writes it
        found = None if is_bare else Tokenizer.load(folder)  # first: it is quick, and what is missing most often
        source = open_checkpoint(folder, find_base)
        model = source.base.folder if isinstance(source, AdapterSource) else folder
        if isinstance(source, AdapterSource) and (merges or adapter is not None):
            source = MergedSource(source)
        try:
            base = Tokenizer.load(model) if found is None else found
            _require_rows(folder, base, source.config)
            tokenizer = base.with_added(special_tokens)
            wanted = source.config.labels if labels is None else tuple(labels)
            config = replace(source.config, n_vocab=max(source.config.n_vocab, tokenizer.vocab_size), labels=wanted)
            spelled = {index: base.encode(name) for name, index in tokenizer.added.items() if name not in base.added}
            if adapter is not None:
                rows = config.n_vocab - min(spelled) if spelled else 0
                config = replace(config, lora=replace(adapter.lora, rows=rows))
            if config.lora is not None and base_precision is not None:
                config = replace(config, lora=replace(config.lora, base=base_precision))
            initial = None if random_seed is None else random_weights(config, seed=random_seed)
            fresh = None if adapter is None else new_adapter(config, adapter.seed)
            of_adapter = None if config.lora is None else BaseRecord.read(folder) if adapter is None else adapter.base
            return cls(_Weights(source, config, spelled, head, initial, fresh), config, tokenizer, of_adapter)
        except BaseException:
            source.close()
            raise

    @property
    def weights(self) -> Mapping[str, Any]:
        """The weights by canonical name: the variables if these were made, else arrays that are read at each look.

        With an adapter they are merged with it, one at each look.
        """
        if self.config.lora is not None:
            return _Merged(self.config, self._unmerged)
        if self._variables is not None:
            return self._variables
        assert self._on_disk is not None
        return self._on_disk

    @property
    def for_decoding(self) -> Mapping[str, Any]:
        """The weights to decode by: ``weights``, or with an adapter the variables themselves, without a copy.

        A copy is float32. If the base is kept in fewer bits, the variables are made for this: they take less memory,
        and the same seed then writes the same as right after training.
        """
        return self.variables if self._decodes_by_variables else self.weights

    @property
    def kept_precision(self) -> str:
        """The precision of what ``for_decoding`` gives: that of the base where an adapter is beside it."""
        return self.config.lora.base if self.config.lora is not None and self._decodes_by_variables else "float32"

    @property
    def _decodes_by_variables(self) -> bool:
        lora = self.config.lora
        return lora is not None and (self._variables is not None or lora.base != "float32")

    @property
    def variables(self) -> dict[str, Variable]:
        """The weights as variables, float32 whatever the precision, by canonical name; see `variables` for adapters."""
        if self._variables is None:
            assert self._on_disk is not None
            self._variables = make_variables(self.config, self._on_disk.__getitem__)
            if self.config.lora is None:
                self.close()
            elif isinstance(source := self._on_disk.source, AdapterSource):
                source.close_adapter()
            # The model's own weights stay open beside an adapter: merging takes them as they are in the file.
        return self._variables

    def parts(self) -> tuple[Callable[[], Iterable[Variable]], ...]:
        """The variables that an adapter leaves alone, if there is one, and those that training may change; each made
        when they are asked for."""
        lora = self.config.lora

        def part(*, trained: bool) -> list[Variable]:
            outside = {CLASSIFIER_HEAD, *(["wte.weight"] if lora is not None and lora.rows else [])}
            return [
                v for n, v in self.variables.items() if (lora is None or is_of_adapter(n) or n in outside) == trained
            ]

        trained = partial(part, trained=True)
        return (trained,) if lora is None else (partial(part, trained=False), trained)

    def read(self, name: str) -> np.ndarray:
        """One weight, by its canonical name, as a float32 array of its canonical shape; merged with an adapter."""
        if self._variables is None or self.config.lora is not None:
            return self.weights[name]
        return read_weight(self._variables, name)

    def read_adapter(self, name: str) -> np.ndarray:
        """One matrix of the adapter, or the classifier's head beside it, by its canonical name."""
        return self._unmerged(name)

    def _unmerged(self, name: str) -> np.ndarray:
        """A weight of the model itself, as its file has it, or one that is trained beside it."""
        is_trained = is_of_adapter(name) or name == CLASSIFIER_HEAD
        if self._variables is not None and is_trained:
            return read_weight(self._variables, name)
        assert self._on_disk is not None
        return self._on_disk[name]

    def refill(self, folder: Path) -> None:
        """Load the weights of another folder with a model of the same config.

        Raises:
            CheckpointError: it contains no model, or one of another config.
        """
        if self.config.lora is not None:
            self._refill_adapter(folder)
            return
        source = open_checkpoint(folder)
        if self._variables is None and source.config == self.config:
            self.close()
            self._on_disk = _Weights(source, self.config)
            return
        with source:
            assign_weights(self.variables, source)

    def _refill_adapter(self, folder: Path) -> None:
        with closing(AdapterFile(folder, replace(self.config, lora=None))) as adapter:
            if replace(adapter.lora, base=self.config.lora.base) != self.config.lora:  # type: ignore[union-attr]
                raise CheckpointError(f"{folder} holds another adapter than the one in memory. Load it anew.")
            names = [*adapter_shapes(self.config), *([CLASSIFIER_HEAD] if self.config.labels else [])]
            for name in names:
                self.variables[name].assign(adapter.read(name))
            copy_rows(self.variables)

    def close(self) -> None:
        """Close the files."""
        if self._on_disk is not None:
            self._on_disk.source.close()
            self._on_disk = None


class NewAdapter(NamedTuple):
    """An adapter that changes nothing yet.

    Attributes:
        seed: of its first values. base: the model that it is for; None: its runs do not say.
    """

    lora: Lora
    seed: int
    base: BaseRecord | None = None


class _Merged(Mapping[str, np.ndarray]):
    """The weights of a model with its adapter merged into them, when they are looked at."""

    def __init__(self, config: ModelConfig, read: Callable[[str], np.ndarray]) -> None:
        self._config, self._read, self._shapes = config, read, canonical_shapes(config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        return merged_weight(self._config, self._read, name)


class _Weights(Mapping[str, np.ndarray]):
    """The weights of an open checkpoint, the embedding with rows for new tokens, and the head of a new classifier.

    Such a row is the mean of those of the tokens that spelled it. Its logit is then the mean of theirs, so that before
    training it is nowhere more probable than all of them are, and two new tokens differ from the start. Rows that no
    token has are zero.

    Args:
        source: the checkpoint. config: of the model. spelled: ids in the checkpoint's vocabulary by new id.
        head: makes the weights of a head that the checkpoint lacks.
        initial: makes the other weights, and the head is a new one; None: they are the checkpoint's.
        adapter: makes the matrices of a new adapter; None: they are the checkpoint's.
    """

    def __init__(
        self,
        source: WeightSource,
        config: ModelConfig,
        spelled: Mapping[int, Sequence[int]] = MappingProxyType({}),
        head: Callable[[tuple[int, int]], np.ndarray] = np.zeros,
        initial: ReadValue | None = None,
        adapter: Callable[[str], np.ndarray] | None = None,
    ) -> None:
        self._initial, self._adapter = initial, adapter
        self.source, self._config, self._spelled, self._head = source, config, spelled, head
        self._shapes = canonical_shapes(config) | adapter_shapes(config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, name: str) -> np.ndarray:
        initial = self._initial
        if self._adapter is not None and is_of_adapter(name):
            return self["wte.weight"][-self._shapes[name][0] :] if name == ROWS else self._adapter(name)
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
