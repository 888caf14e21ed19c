"""An open checkpoint: the model's config, and its weights one at a time.

The base class holds what all layouts share: every weight must be there, with the shape that the config implies. It
knows nothing of any file format.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.formats.validate import checkpoint_errors, read_json_object


def read_config(folder: Path) -> ModelConfig:
    """From Hugging Face's `config.json`.

    Raises:
        CheckpointError: it is missing, damaged, or describes a model that this package does not support.
    """
    return _read(folder, "config.json", "write one as transformers' GPT2Config does")


def read_hparams(folder: Path) -> ModelConfig:
    """From OpenAI's `hparams.json`.

    Raises:
        CheckpointError: it is missing, damaged, or no GPT-2's.
    """
    return _read(folder, "hparams.json", "write n_vocab, n_ctx, n_embd, n_head and n_layer into one")


def _read(folder: Path, name: str, remedy: str) -> ModelConfig:
    path = folder / name
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: without it the shapes of the weights are unknown. "
            f"Copy the one that came with them, or {remedy}."
        )
    values = read_json_object(path)
    with checkpoint_errors(path):
        try:
            return ModelConfig.from_huggingface(values) if name == "config.json" else ModelConfig.from_hparams(values)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error


_NAMES_SHOWN = 3


class WeightSource(Mapping[str, np.ndarray]):
    """A checkpoint that was found complete: its weights by canonical name, read when they are asked for.

    Use it as a context manager, or close it.

    Attributes:
        folder: where it lies.
        layout: what kind it is, such as "PyTorch safetensors"; for people.
        config: the model's, from its configuration file.
    """

    def __init__(self, folder: Path, layout: str, config: ModelConfig) -> None:
        self.folder, self.layout, self.config = folder, layout, config
        self._expected = canonical_shapes(config)
        self._reading = threading.Lock()  # a file has one position

    def __iter__(self) -> Iterator[str]:
        return iter(self._expected)

    def __len__(self) -> int:
        return len(self._expected)

    def __getitem__(self, name: str) -> np.ndarray:
        """As ``read``; KeyError for a name that no weight has."""
        if name not in self._expected:
            raise KeyError(name)
        return self.read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._expected  # without reading it

    def read(self, name: str) -> np.ndarray:
        """One weight as a float32 array of its canonical shape, which the caller may keep and change; from any thread.

        Args:
            name: a canonical name.

        Raises:
            CheckpointError: the data is damaged, or contains NaN or infinity.
        """
        with checkpoint_errors(self.folder):
            with self._reading:
                stored = self._stored(name)
            value = stored.astype(np.float32, copy=False).reshape(self._expected[name])
        if not np.isfinite([value.min(), value.max()]).all():  # both are NaN if any value is; needs no memory
            raise CheckpointError(
                f"{self.folder} ({self.layout}): {name} contains NaN or infinity in {np.sum(~np.isfinite(value)):,} of "
                f"{value.size:,} values, so the model can compute nothing. Copy or download the checkpoint again, or "
                "use one from before the training that damaged it."
            )
        return value

    def close(self) -> None:
        """Close the files; reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _stored(self, name: str) -> np.ndarray:
        """One weight as it is stored: any float type, perhaps with a leading 1."""

    def _require_complete(self, stored: Mapping[str, tuple[int, ...]], config_file: str) -> None:
        """Compare what a checkpoint holds with what its configuration implies.

        Args:
            stored: shapes by canonical name; further names may be there. A leading 1 is allowed: TF1's projections and
                Keras's biases have one.
            config_file: name of the configuration file, for the message.

        Raises:
            CheckpointError: a weight is missing or has another shape.
        """
        missing = [name for name in self._expected if name not in stored]
        if missing:
            shown = ", ".join(missing[:_NAMES_SHOWN]) + (", ..." if len(missing) > _NAMES_SHOWN else "")
            raise CheckpointError(
                f"{self.folder} ({self.layout}) lacks {len(missing)} of the {len(self._expected)} weights that its "
                f"{config_file} implies: {shown}. Copy or download the checkpoint again, or restore the {config_file} "
                "that belongs to it."
            )
        for name, expected in self._expected.items():
            if stored[name] not in (expected, (1, *expected)):
                raise CheckpointError(
                    f"{self.folder} ({self.layout}): {name} has shape {list(stored[name])} where its {config_file} "
                    f"implies {list(expected)}. Restore the {config_file} that belongs to this checkpoint."
                )
