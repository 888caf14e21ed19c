"""Model folders in Hugging Face's layout: read as PyTorch or TensorFlow wrote them, written as PyTorch writes them.

Reads safetensors whole or in shards, in F32, F16 or BF16. Writes one tensor at a time, under the names of PyTorch's
`GPT2LMHeadModel`, without the tied head and the masks; transformers 4 and 5 open the folder. The vocabulary's files are
the tokenizer's business. The file format itself is `safetensors_file`'s.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.formats import names
from gpt2simple.gpt2.formats.names import INDEX_FILE, WEIGHTS_FILE
from gpt2simple.gpt2.formats.reader import WeightSource, read_config
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, SafetensorsFile, Tensor, write_safetensors
from gpt2simple.gpt2.formats.validate import read_json_object
from gpt2simple.storage.disk import make_folder
from gpt2simple.storage.files import atomic_file, atomic_write

if TYPE_CHECKING:
    from gpt2simple.gpt2.tokenizer import Tokenizer

_HEAD = "lm_head.weight"
_BODY = re.compile(r"(wte|wpe|ln_f|h\.\d+)\..*")


class SafetensorsSource(WeightSource):
    """A folder with `config.json` and `model.safetensors`, or shards and their index."""

    def __init__(self, folder: Path) -> None:
        """Open all files and check what they hold.

        Raises:
            CheckpointError: a file or weight is missing, damaged or of another shape, or the head is not tied.
        """
        config = read_config(folder)
        self._files: list[SafetensorsFile] = []
        self._places: dict[str, tuple[SafetensorsFile, str]] = {}
        try:
            for path in weight_files(folder):
                self._files.append(SafetensorsFile(path))
            super().__init__(folder, self._find_places(folder), config)
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _stored(self, name: str) -> np.ndarray:
        file, stored_name = self._places[name]
        stored = file.read(stored_name)
        return stored.T if name == CLASSIFIER_HEAD and not self._is_keras else stored

    def _find_places(self, folder: Path) -> str:
        """Fill in where each weight lies; the layout's name."""
        stored = [(file, name) for file in self._files for name in file.tensors]
        # A slash occurs in no PyTorch name and in every Keras one.
        keras = self._is_keras = any("/" in name for _, name in stored)
        for file, stored_name in stored:
            name = names.from_keras(stored_name) if keras else names.from_pytorch(stored_name)
            if name is not None:
                self._places[name] = (file, stored_name)
        shards = f" in {len(self._files)} files" if len(self._files) > 1 else ""
        return f"{'TensorFlow' if keras else 'PyTorch'} safetensors{shards}"

    def _check(self) -> None:
        shapes = {name: file.tensors[stored].shape for name, (file, stored) in self._places.items()}
        if CLASSIFIER_HEAD in shapes and not self._is_keras:
            shapes[CLASSIFIER_HEAD] = shapes[CLASSIFIER_HEAD][::-1]
        self._require_complete(shapes, "config.json")
        unexpected = [name for name in shapes if _BODY.fullmatch(name) and name not in self._expected]
        if unexpected:
            raise CheckpointError(
                f"{self.folder} holds {len(unexpected)} tensors that a plain GPT-2 of its config.json does not have, "
                f"such as {unexpected[0]}. Choose a plain GPT-2 checkpoint, or restore the config.json that belongs "
                "to it."
            )
        for name in self._expected:
            file, stored = self._places[name]
            if not file.is_float(stored):
                raise CheckpointError(
                    f"{self.folder}: {name} is stored as {file.tensors[stored].dtype}, perhaps quantised; expected "
                    "F32, F16 or BF16. Choose the unquantised checkpoint."
                )
        if _HEAD in self._places and not np.array_equal(self._float(_HEAD), self.read("wte.weight")):
            raise CheckpointError(
                f"The head of {self.folder} is not tied: its lm_head.weight differs from its wte.weight, while GPT-2 "
                "uses one matrix for both and TFGPT2LMHeadModel has room for one only. "
                "Choose a checkpoint that was trained with tied embeddings."
            )

    def _float(self, name: str) -> np.ndarray:
        return self._stored(name).astype(np.float32, copy=False)


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights: one, or those that its index names.

    Raises:
        CheckpointError: the index is damaged.
    """
    if (folder / WEIGHTS_FILE).exists():
        return [folder / WEIGHTS_FILE]
    shards = read_json_object(folder / INDEX_FILE).get("weight_map")
    # A shard's name is used as a path: only plain names of this folder are followed.
    if not isinstance(shards, dict) or not shards or any(Path(str(name)).name != name for name in shards.values()):
        raise CheckpointError(
            f"{folder / INDEX_FILE} has no weight_map of file names in its own folder. Copy or download it again."
        )
    return [folder / name for name in sorted(set(shards.values()))]


_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def write_model_folder(
    folder: Path, config: ModelConfig, read: Callable[[str], np.ndarray], tokenizer: Tokenizer, *, dtype: str = "F32"
) -> None:
    """Write a folder that this package and transformers open, each file whole or not at all.

    Args:
        folder: made where missing; files of the same names are replaced.
        config: the model's.
        read: gives the weight of a canonical name; such as a `WeightSource`'s `read`.
        tokenizer: writes its own files.
        dtype: how the weights are stored: F32, F16 or BF16.

    Raises:
        CheckpointError: the tokenizer has more entries than the model.
        StorageError: the disk is full or the folder cannot be written.
    """
    require_vocabulary(config, tokenizer)
    make_folder(folder)
    with atomic_file(folder / WEIGHTS_FILE) as file:
        write_safetensors(file, weight_tensors(config, read, dtype=dtype), PYTORCH_METADATA)
    tokenizer.save(folder, max_length=config.n_ctx, pads=bool(config.labels))
    for name, data in config_files(config, tokenizer.end_of_text, dtype=dtype).items():
        atomic_write(folder / name, data)


def require_vocabulary(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Return if the model has a row of its embedding for every id of a tokenizer.

    Raises:
        CheckpointError: it has fewer.
    """
    if tokenizer.vocab_size > config.n_vocab:
        raise CheckpointError(
            f"The vocabulary has {tokenizer.vocab_size} entries and the model {config.n_vocab}: they do not belong "
            "together. Use the vocabulary that came with the model."
        )


def weight_tensors(config: ModelConfig, read: Callable[[str], np.ndarray], *, dtype: str = "F32") -> list[Tensor]:
    """The weights of a model as tensors for `write_safetensors`, under PyTorch's names, in canonical order.

    Args:
        config: the model's.
        read: gives the weight of a canonical name, called when that tensor is written.
        dtype: how the weights are stored: F32, F16 or BF16.
    """
    shapes = names.canonical_shapes(config)
    head = shapes.pop(CLASSIFIER_HEAD, None)
    tensors = [
        Tensor(names.to_pytorch(name), dims, dtype, lambda name=name: read(name))  # type: ignore[misc]
        for name, dims in shapes.items()
    ]
    if head is not None:
        tensors.append(Tensor(CLASSIFIER_HEAD, head[::-1], dtype, lambda: read(CLASSIFIER_HEAD).T))
    return tensors


def config_files(config: ModelConfig, end_of_text: int, *, dtype: str = "F32") -> dict[str, bytes]:
    """The contents of `config.json` and `generation_config.json` by file name.

    Args:
        config: the model's.
        end_of_text: id of the token that ends (and starts) a document.
        dtype: how the weights beside them are stored: F32, F16 or BF16.
    """
    values = config.to_huggingface(end_of_text) | {"torch_dtype": _DTYPE_NAMES[dtype]}
    generation = {"_from_model_config": True, "bos_token_id": end_of_text, "eos_token_id": end_of_text}
    return {"config.json": _json(values), "generation_config.json": _json(generation)}


def model_files(config: ModelConfig, tokenizer: Tokenizer) -> dict[str, bytes]:
    """The files beside the weights that make a folder a model for transformers, by name: config and tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder), max_length=config.n_ctx, pads=bool(config.labels))
        written = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {**config_files(config, tokenizer.end_of_text), **written}


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()
