"""A small model's folder, a text, and settings with which a run takes a second. Not a test module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2simple import testing
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import read_weight

QUICK: dict[str, Any] = {
    "learning_rate": 1e-2,
    "batch_size": 2,
    "eval_every": 4,
    "sample_every": 0,
    "seed": 5,
}


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings as words of a command line."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def write_small_model(folder: Path, seed: int = 0) -> Path:
    model = testing.small_model(seed)
    write_model_folder(folder, testing.SMALL_CONFIG, lambda name: read_weight(model, name), testing.byte_tokenizer())
    return folder


def write_text(path: Path, seed: int = 0) -> Path:
    path.write_text(testing.sample_text(60, seed=seed), encoding="utf-8")
    return path


def weights_of(model: Any) -> bytes:
    """All weights as bytes: equal for equal models."""
    return b"".join(variable.numpy().tobytes() for variable in model.variables)
