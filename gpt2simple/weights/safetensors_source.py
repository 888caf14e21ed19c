"""Weights in Hugging Face's safetensors layouts: PyTorch's and TensorFlow's, whole or in shards, F32, F16 or BF16.

Knows the names of files and tensors; the file format is `safetensors_file`'s.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.weights.config import read_config
from gpt2simple.weights.intact import read_json_object
from gpt2simple.weights.names import from_keras, from_pytorch
from gpt2simple.weights.safetensors_file import SafetensorsFile
from gpt2simple.weights.source import WeightSource

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_HEAD = "lm_head.weight"
_BODY = re.compile(r"(wte|wpe|ln_f|h\.\d+)\..*")


class SafetensorsSource(WeightSource):
    """A folder with `config.json` and `model.safetensors`, or shards and their index."""

    def __init__(self, folder: Path) -> None:
        """Open all files and check what they hold.

        Raises:
            CheckpointError: a file or weight is missing, damaged or of another shape, or the head is not tied.
        """
        shape = read_config(folder)
        self._files: list[SafetensorsFile] = []
        self._places: dict[str, tuple[SafetensorsFile, str]] = {}
        try:
            for path in _data_files(folder):
                self._files.append(SafetensorsFile(path))
            super().__init__(folder, self._find_places(folder), shape)
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _stored(self, name: str) -> np.ndarray:
        file, stored_name = self._places[name]
        return file.read(stored_name)

    def _find_places(self, folder: Path) -> str:
        """Fill in where each weight lies; the layout's name."""
        stored = [(file, name) for file in self._files for name in file.tensors]
        keras = any("/" in name for _, name in stored)  # a slash occurs in no PyTorch name and in every Keras one
        for file, stored_name in stored:
            name = from_keras(stored_name) if keras else from_pytorch(stored_name)
            if name is not None:
                self._places[name] = (file, stored_name)
        kind = "TensorFlow" if keras else "PyTorch"
        return f"{kind} safetensors" + (f" in {len(self._files)} files" if len(self._files) > 1 else "")

    def _check(self) -> None:
        shapes = {name: file.tensors[stored].shape for name, (file, stored) in self._places.items()}
        self._require_complete(shapes, "config.json")
        strangers = [name for name in shapes if _BODY.fullmatch(name) and name not in self._expected]
        if strangers:
            raise CheckpointError(
                f"{self.folder} holds {len(strangers)} tensors that a plain GPT-2 of its config.json does not have, "
                f"such as {strangers[0]}. Choose a plain GPT-2 checkpoint, or restore the config.json that belongs "
                "to it."
            )
        for name in self._expected:
            file, stored = self._places[name]
            if not file.is_float(stored):
                raise CheckpointError(
                    f"{self.folder}: {name} is stored as {file.tensors[stored].dtype}, perhaps quantised; expected "
                    "F32, F16 or BF16. Choose the unquantised checkpoint."
                )
        if _HEAD in self._places and not np.array_equal(self._float(_HEAD), self._float("wte.weight")):
            raise CheckpointError(
                f"The head of {self.folder} is not tied: its lm_head.weight differs from its wte.weight, while GPT-2 "
                "uses one matrix for both and TFGPT2LMHeadModel has room for one only. "
                "Choose a checkpoint that was trained with tied embeddings."
            )

    def _float(self, name: str) -> np.ndarray:
        return self._stored(name).astype(np.float32, copy=False)


def _data_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS_FILE).exists():
        return [folder / WEIGHTS_FILE]
    shards = read_json_object(folder / INDEX_FILE).get("weight_map")
    # A shard's name is used as a path: only plain names of this folder are followed.
    if not isinstance(shards, dict) or not shards or any(Path(str(name)).name != name for name in shards.values()):
        raise CheckpointError(
            f"{folder / INDEX_FILE} has no weight_map of file names in its own folder. Copy or download it again."
        )
    return [folder / name for name in sorted(set(shards.values()))]
