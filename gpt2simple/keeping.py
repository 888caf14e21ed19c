"""Between a trainer in memory and a run folder on disk: what a checkpoint holds, and how it comes back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.loaded import LoadedModel
from gpt2simple.model import read_weight
from gpt2simple.records import Observer
from gpt2simple.runs import RunDirectory, StepCheckpoint
from gpt2simple.training.progress import Progress
from gpt2simple.training.trainer import Trainer
from gpt2simple.weights.huggingface import config_files, weight_tensors
from gpt2simple.weights.safetensors_file import Tensor


class RunKeeper:
    """Keeps a trainer's state in a run folder, and the root of the folder at the best step."""

    def __init__(
        self, run: RunDirectory, loaded: LoadedModel, trainer: Trainer, observer: Observer, *, keep: int
    ) -> None:
        self._run, self._loaded, self._trainer = run, loaded, trainer
        self._observer, self._keep = observer, keep

    def save(self, progress: Progress) -> None:
        """Add a checkpoint; earlier ones than the best and the latest go once it is there."""
        is_best = progress.best_step == progress.step and progress.step > 0
        figures = {"loss": progress.best_loss, "bits_per_byte": progress.best_bits_per_byte}
        path = self._run.save(
            progress.step,
            weights=weight_tensors(self._loaded.shape, lambda name: read_weight(self._loaded.model, name)),
            optimizer=[_tensor(name, variable) for name, variable in self._trainer.optimizer.state().items()],
            state={"progress": progress.to_json(), "trainer": self._trainer.counters()},
            best_figures=figures if is_best else None,
        )
        self._run.publish()
        self._run.prune(self._keep)
        self._observer.on_save(progress.step, path)


def _tensor(name: str, variable: Any) -> Tensor:
    return Tensor(name, tuple(variable.shape), "F32", lambda: variable.numpy())


def restore(trainer: Trainer, checkpoint: StepCheckpoint) -> Progress:
    """Give a trainer the moments and counters of a checkpoint (its weights are there already)."""
    slots = trainer.optimizer.state()
    for name, array in checkpoint.optimizer():
        slots[name].assign(np.reshape(array, slots[name].shape))
    trainer.set_counters(checkpoint.state["trainer"])
    return Progress.from_json(checkpoint.state["progress"])


def model_files(loaded: LoadedModel) -> dict[str, bytes]:
    """Config and tokenizer files by name: what makes a folder with weights one that any tool opens."""
    with tempfile.TemporaryDirectory() as folder:
        loaded.tokenizer.save(Path(folder), max_length=loaded.shape.n_ctx)
        written = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {**config_files(loaded.shape, loaded.tokenizer.end_of_text), **written}
