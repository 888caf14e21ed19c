"""Adapters for tests: one that changes much, and folders of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gpt2simple.gpt2.formats import peft
from gpt2simple.gpt2.formats.adapter import BASE_FILE, BaseRecord
from gpt2simple.gpt2.formats.huggingface import model_files
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, write_safetensors
from gpt2simple.gpt2.lora import adapter_shapes
from gpt2simple.gpt2.model import LoadedModel


def changed(loaded: LoadedModel) -> LoadedModel:
    """The same with an adapter that changes much."""
    draw = np.random.default_rng(0)
    for name, shape in adapter_shapes(loaded.config).items():
        loaded.variables[name].assign(draw.normal(0.0, 0.15, shape))
    return loaded


def write_adapter(folder: Path, loaded: LoadedModel, base: Path) -> Path:
    """A folder as a run with an adapter has it."""
    folder.mkdir()
    with (folder / peft.WEIGHTS_FILE).open("wb") as file:
        write_safetensors(file, peft.adapter_tensors(loaded.config, loaded.read_adapter), PYTORCH_METADATA)
    assert loaded.config.lora is not None
    files = model_files(replace(loaded.config, lora=None), loaded.tokenizer)
    files[peft.CONFIG_FILE] = peft.adapter_config(loaded.config, str(base))
    files[BASE_FILE] = BaseRecord.of(base, "base").to_bytes()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
