"""Runs of a second through the public API: a model's folder, a text and settings, and what a run leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import TFGPT2LMHeadModel

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.runs.writer import RunWriter
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, sample_text
from tests.helpers.models import weight_reader

ONE_LAYER = replace(SMALL_CONFIG, n_layer=1)  # a run spends its time on tracing layers

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


def write_small_model(folder: Path, seed: int = 0, config: ModelConfig = ONE_LAYER) -> Path:
    """A folder with a random model and the byte tokenizer; its path, as a string, is the model's name."""
    model = build_model(config, seed=seed, initializer_range=0.1)
    write_model_folder(folder, config, weight_reader(model), byte_tokenizer())
    return folder


def write_text(path: Path, seed: int = 0) -> Path:
    """A text of 60 sentences, three kilobytes."""
    path.write_text(sample_text(60, seed=seed), encoding="utf-8")
    return path


def write_model_and_text(folder: Path, name: str = "small") -> Path:
    """The folder, after a small model was written there under the name, and text.txt."""
    write_small_model(folder / name)
    write_text(folder / "text.txt")
    return folder


def work_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the folder the current one, with the cache of encoded texts in it: a test leaves nothing elsewhere."""
    patch.chdir(folder)
    patch.setenv("GPT2SIMPLE_CACHE", str(folder / "cache"))


def weights_of(model: TFGPT2LMHeadModel) -> bytes:
    """All weights as bytes: equal for equal models."""
    return b"".join(variable.numpy().tobytes() for variable in model.variables)


def last_state(run_dir: Path) -> dict[str, Any]:
    """Everything that a straight and a resumed run must agree on: bytes by name, figures, the losses of all steps."""
    latest = RunWriter(run_dir).latest()
    assert latest is not None
    tensors = {f"weight {name}": values.tobytes() for name, values in latest.weights()}
    tensors |= {f"moment {name}": values.tobytes() for name, values in latest.optimizer()}
    progress = {name: value for name, value in latest.state["progress"].items() if name != "seconds"}
    recorded = [(r.step, r.loss, r.learning_rate, r.gradient_norm) for r in read_metrics(run_dir).steps]
    return {"step": latest.step, **tensors, **progress, **latest.state["trainer"], "recorded": recorded}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names under which two states differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
