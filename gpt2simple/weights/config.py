"""The model's shape, from the configuration file that lies beside the weights."""

from __future__ import annotations

from pathlib import Path

from gpt2simple.errors import CheckpointError
from gpt2simple.shape import ModelShape
from gpt2simple.weights.intact import read_json_object


def read_config(folder: Path) -> ModelShape:
    """From Hugging Face's `config.json`.

    Raises:
        CheckpointError: it is missing, damaged, or describes a model that this package does not compute.
    """
    return _read(folder, "config.json", "write one as transformers' GPT2Config does")


def read_hparams(folder: Path) -> ModelShape:
    """From OpenAI's `hparams.json`.

    Raises:
        CheckpointError: it is missing, damaged, or no GPT-2's.
    """
    return _read(folder, "hparams.json", "write n_vocab, n_ctx, n_embd, n_head and n_layer into one")


def _read(folder: Path, name: str, way_out: str) -> ModelShape:
    path = folder / name
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: without it the weights beside it have no shape. "
            f"Copy the one that came with them, or {way_out}."
        )
    values = read_json_object(path)
    try:
        return ModelShape.from_config(values) if name == "config.json" else ModelShape.from_hparams(values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is invalid: {error}. Restore the one that came with the weights.") from error
