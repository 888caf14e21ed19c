"""A model folder in Hugging Face's layout, as this package writes it; transformers 4 and 5 open it with PyTorch.

Tensors go out one at a time, under the names that PyTorch's `GPT2LMHeadModel` itself writes, without the tied head and
the masks. The vocabulary's files are the tokenizer's business. Knows nothing of runs, nor where the weights come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2simple.errors import CheckpointError
from gpt2simple.shape import ModelShape
from gpt2simple.storage import atomic_file, atomic_write, make_folder
from gpt2simple.weights.names import canonical_shapes, to_pytorch
from gpt2simple.weights.safetensors_file import Tensor, write_safetensors
from gpt2simple.weights.safetensors_source import WEIGHTS_FILE

if TYPE_CHECKING:
    from gpt2simple.tokenizer import Tokenizer

# Makes transformers read the tensors as PyTorch's.
PYTORCH_METADATA = {"format": "pt"}

_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def write_model_folder(
    folder: Path, shape: ModelShape, read: Callable[[str], np.ndarray], tokenizer: Tokenizer, *, dtype: str = "F32"
) -> None:
    """Write a folder that this package and transformers open, each file whole or not at all.

    Args:
        folder: made where missing; files of the same names are replaced.
        shape: the model's.
        read: gives the weight of a canonical name; such as a `WeightSource`'s `read`.
        tokenizer: writes its own files.
        dtype: how the weights are stored: F32, F16 or BF16.

    Raises:
        CheckpointError: the tokenizer has more entries than the model.
        StorageError: the disk is full or the folder cannot be written.
    """
    if tokenizer.vocab_size > shape.n_vocab:
        raise CheckpointError(
            f"The vocabulary has {tokenizer.vocab_size} entries and the model {shape.n_vocab}: they do not belong "
            "together. Use the vocabulary that came with the model."
        )
    make_folder(folder)
    with atomic_file(folder / WEIGHTS_FILE) as file:
        write_safetensors(file, weight_tensors(shape, read, dtype=dtype), PYTORCH_METADATA)
    tokenizer.save(folder, max_length=shape.n_ctx)
    for name, data in config_files(shape, tokenizer.end_of_text, dtype=dtype).items():
        atomic_write(folder / name, data)


def weight_tensors(shape: ModelShape, read: Callable[[str], np.ndarray], *, dtype: str = "F32") -> list[Tensor]:
    """The weights of a model as tensors for `write_safetensors`, under PyTorch's names, in canonical order.

    Args:
        shape: the model's.
        read: gives the weight of a canonical name, called when that tensor is written.
        dtype: how the weights are stored: F32, F16 or BF16.
    """
    return [
        Tensor(to_pytorch(name), dims, dtype, lambda name=name: read(name))  # type: ignore[misc]
        for name, dims in canonical_shapes(shape).items()
    ]


def config_files(shape: ModelShape, end_of_text: int, *, dtype: str = "F32") -> dict[str, bytes]:
    """The contents of `config.json` and `generation_config.json` by file name.

    Args:
        shape: the model's.
        end_of_text: id of the token that ends (and starts) a document.
        dtype: how the weights beside them are stored: F32, F16 or BF16.
    """
    config = shape.to_config(end_of_text) | {"torch_dtype": _DTYPE_NAMES[dtype]}
    generation = {"_from_model_config": True, "bos_token_id": end_of_text, "eos_token_id": end_of_text}
    return {"config.json": _json(config), "generation_config.json": _json(generation)}


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()
