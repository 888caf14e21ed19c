"""Adapters in the format of Hugging Face's peft: `adapter_config.json` and `adapter_model.safetensors`.

Peft keeps each matrix as a linear layer does, [out, in], although GPT-2's projections are [in, out]; so nothing depends
on its `fan_in_fan_out`, which files in the wild have wrong. What an adapter leaves out, some layers or projections, is
zeros here, which change nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.formats.names import ADAPTER_CONFIG_FILE, ADAPTER_FILE
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile, Tensor
from gpt2simple.gpt2.formats.validate import read_json_object
from gpt2simple.gpt2.lora import ROWS, A, B, adapter_shapes
from gpt2simple.storage.contents import quoted

CONFIG_FILE, WEIGHTS_FILE = ADAPTER_CONFIG_FILE, ADAPTER_FILE

_PREFIX, _BODY = "base_model.model.", "base_model.model.transformer."
_PEFT_LEAF = {A: "lora_A.weight", B: "lora_B.weight"}
_NAME = re.compile(r"base_model\.model\.transformer\.(h\.\d+\.(?:attn|mlp)\.\w+)\.lora_([AB])\.weight")
_HEAD = f"{_PREFIX}{CLASSIFIER_HEAD}"
_ROWS = f"{_BODY}wte.token_adapter.trainable_tokens_delta"  # not a difference: the rows themselves
_TOKENS = "trainable_token_indices"

_MERGE = "Merge it with peft's merge_and_unload() and save the model, which is then read as any other."

# Options of peft that would make the same matrices mean something else, with the values that change nothing.
_REFUSED_UNLESS: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "use_dora": (False, None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "target_parameters": (None, []),
    "modules_to_save": (None, [], ["score"], ["classifier", "score"]),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal"),
}
# Those that say where an adapter is from, what was of use in training only, or what its matrices say themselves.
_HARMLESS = frozenset({
    "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha",
    "lora_dropout", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "r", "revision",
    "target_modules", "task_type", _TOKENS, "use_rslora",
})  # fmt: skip


def adapter_config(config: ModelConfig, base_model: str, *, dropout: float = 0.0) -> bytes:
    """The content of `adapter_config.json`.

    Args:
        config: of the model with its adapter.
        base_model: name or folder of the model that the adapter belongs to, as peft is to load it.
        dropout: of the adapter in training.
    """
    lora, classifies = config.lora, bool(config.labels)
    assert lora is not None
    tokens = {"wte": [*range(config.n_vocab - lora.rows, config.n_vocab)]}
    values = {
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": True,
        "inference_mode": True,
        "lora_alpha": lora.alpha,
        "lora_dropout": dropout,
        "modules_to_save": ["score"] if classifies else None,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": list(lora.targets),
        "task_type": "SEQ_CLS" if classifies else "CAUSAL_LM",
        _TOKENS: tokens if lora.rows else None,
    }
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def adapter_tensors(config: ModelConfig, read: Callable[[str], np.ndarray]) -> list[Tensor]:
    """The adapter as tensors for `write_safetensors`, under peft's names; a classifier's head last.

    Args:
        read: gives the matrix of a canonical name, called when that tensor is written.
    """
    tensors = [
        Tensor(_to_peft(name), shape[::-1], "F32", lambda name=name: read(name).T)  # type: ignore[misc]
        for name, shape in adapter_shapes(config).items()
        if name != ROWS
    ]
    if config.lora is not None and config.lora.rows:
        tensors.append(Tensor(_ROWS, (config.lora.rows, config.n_embd), "F32", lambda: read(ROWS)))
    if config.labels:
        shape = (len(config.labels), config.n_embd)
        tensors.append(Tensor(_HEAD, shape, "F32", lambda: read(CLASSIFIER_HEAD).T))
    return tensors


def _to_peft(name: str) -> str:
    layer, _, leaf = name.rpartition(".")
    return f"{_BODY}{layer}.{_PEFT_LEAF[leaf]}"


def base_model_of(folder: Path) -> str:
    """The name or folder of the model that an adapter belongs to, as its config has it.

    Raises:
        CheckpointError: it has none, or is damaged.
    """
    named = read_json_object(folder / CONFIG_FILE).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} has base_model_name_or_path={quoted(named)}; expected the model that the adapter "
            "belongs to. Write its name or folder there."
        )
    return named


class AdapterFile:
    """An adapter that was found complete; its matrices are read when they are asked for.

    Attributes:
        lora: what it is, its base in float32. n_vocab: V, the tokens of the model with those it adds.
        base_model: the name or path that its config has of the model that it belongs to.
        has_head: whether a classifier's head is beside it.
    """

    def __init__(self, folder: Path, base: ModelConfig) -> None:
        """Open the files and check them.

        Args:
            base: the config of the model that the adapter belongs to.

        Raises:
            CheckpointError: a file is missing or damaged, it is for a model of another shape, or has something that
                this package does not compute.
        """
        self.folder = folder
        values = read_json_object(folder / CONFIG_FILE)
        self.base_model = str(values.get("base_model_name_or_path") or "")
        self._require_plain(values)
        self._file = SafetensorsFile(folder / WEIGHTS_FILE)
        try:
            self._check_names()
            self.n_vocab, rows = self._tokens(values, base)
            self.lora = self._lora(values, rows)
            self._config = base
            self._check_shapes()
        except BaseException:
            self.close()
            raise
        self.has_head = _HEAD in self._file.tensors

    def read(self, name: str) -> np.ndarray:
        """One matrix by canonical name, float32 of its canonical shape; zeros where the adapter leaves it out."""
        stored = {CLASSIFIER_HEAD: _HEAD, ROWS: _ROWS}.get(name) or _to_peft(name)
        if stored not in self._file.tensors:
            return np.zeros(self._shapes()[name], np.float32)
        value = self._file.read(stored).astype(np.float32, copy=False)
        value = value if name == ROWS else np.ascontiguousarray(value.T)
        if not np.isfinite(value).all():
            raise CheckpointError(
                f"{self.folder / WEIGHTS_FILE}: {stored} contains NaN or infinity. Use an adapter from before the "
                "training that damaged it."
            )
        return value

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _shapes(self) -> Mapping[str, tuple[int, int]]:
        return adapter_shapes(replace(self._config, lora=self.lora))

    def _require_plain(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            # What is not known here, of a later peft, is refused if it is in use.
            if value not in _REFUSED_UNLESS[name] if name in _REFUSED_UNLESS else value and name not in _HARMLESS:
                raise CheckpointError(
                    f"{self.folder / CONFIG_FILE} has {name}={quoted(value)}, which this package does not compute; it "
                    f"reads plain LoRA adapters of peft. {_MERGE}"
                )
        rank, alpha = values.get("r"), values.get("lora_alpha")
        if type(rank) is not int or rank < 1 or not _is_number(alpha):
            raise CheckpointError(
                f"{self.folder / CONFIG_FILE} has r={quoted(rank)} and lora_alpha={quoted(alpha)}; expected a whole "
                "number from 1 and a number. Copy the adapter again."
            )

    def _check_names(self) -> None:
        for name in self._file.tensors:
            match = _NAME.fullmatch(name)
            if name not in (_HEAD, _ROWS) and (match is None or _projection(match[1]) not in PROJECTIONS):
                raise CheckpointError(
                    f"{self.folder / WEIGHTS_FILE} holds {quoted(name)}, which is no matrix of a LoRA adapter of "
                    f"GPT-2's projections ({', '.join(PROJECTIONS)}). {_MERGE}"
                )

    def _tokens(self, values: Mapping[str, Any], base: ModelConfig) -> tuple[int, int]:
        """Tokens in all, and how many of them, the last, have rows here."""
        named = values.get(_TOKENS)
        found = named.get("wte") if isinstance(named, dict) and len(named) == 1 else named
        if not found and _ROWS not in self._file.tensors:
            return base.n_vocab, 0
        numbers = found if isinstance(found, list) and found and all(type(n) is int for n in found) else [-1]
        n_vocab = max(base.n_vocab, numbers[-1] + 1)
        first = n_vocab - len(numbers)
        if numbers != [*range(first, n_vocab)] or first > base.n_vocab:
            raise CheckpointError(
                f"{self.folder / CONFIG_FILE} has {_TOKENS}={quoted(named)}; this package reads rows of new tokens, "
                f"the last of the vocabulary. {_MERGE}"
            )
        if (tensor := self._file.tensors.get(_ROWS)) is None or tensor.shape != (len(numbers), base.n_embd):
            raise CheckpointError(
                f"{self.folder / WEIGHTS_FILE} does not hold {len(numbers)} rows of {base.n_embd} numbers as {_ROWS}, "
                f"which {CONFIG_FILE} says. Copy the adapter again."
            )
        return n_vocab, len(numbers)

    def _lora(self, values: Mapping[str, Any], rows: int) -> Lora:
        found = {_projection(match[1]) for name in self._file.tensors if (match := _NAME.fullmatch(name))}
        rank, alpha = values["r"], float(values["lora_alpha"])
        if values.get("use_rslora"):  # alpha / sqrt(r) in place of alpha / r
            alpha *= math.sqrt(rank)
        return Lora(rank=rank, alpha=alpha, targets=tuple(name for name in PROJECTIONS if name in found), rows=rows)

    def _check_shapes(self) -> None:
        shapes = {_to_peft(name): shape[::-1] for name, shape in self._shapes().items() if name != ROWS}
        for name, tensor in self._file.tensors.items():
            if name not in (_HEAD, _ROWS) and tensor.shape != shapes.get(name):
                expected = list(shapes[name]) if name in shapes else "no such matrix"
                raise CheckpointError(
                    f"{self.folder / WEIGHTS_FILE}: {name} has shape {list(tensor.shape)}, and a model of this shape "
                    f"needs {expected}. Use the adapter with the model that it was trained on, "
                    f"{quoted(self.base_model)}."
                )
        for name in self._file.tensors:
            if (match := _NAME.fullmatch(name)) and _other_of_pair(name) not in self._file.tensors:
                raise CheckpointError(
                    f"{self.folder / WEIGHTS_FILE} holds {name} without the other matrix of {match[1]}. Copy the "
                    "adapter again."
                )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _projection(layer: str) -> str:
    """The projection of a name such as `h.0.attn.c_attn`."""
    return layer.split(".", 2)[-1]


def _other_of_pair(name: str) -> str:
    one, other = _PEFT_LEAF[A], _PEFT_LEAF[B]
    return name.replace(one, other) if name.endswith(one) else name.replace(other, one)
