"""Saving a trainer to its run folder, when to do so, and restoring it: what a checkpoint holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpt2simple.backend.tensorflow import keras
from gpt2simple.errors import StorageError
from gpt2simple.gpt2.formats.huggingface import config_files, weight_tensors
from gpt2simple.gpt2.formats.safetensors_file import Tensor
from gpt2simple.gpt2.model import LoadedModel, read_weight
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.records import Observer
from gpt2simple.runs.writer import RunDirectory
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.state import Progress
from gpt2simple.training.trainer import Trainer


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
            weights=weight_tensors(self._loaded.config, lambda name: read_weight(self._loaded.model, name)),
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
        loaded.tokenizer.save(Path(folder), max_length=loaded.config.n_ctx)
        written = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {**config_files(loaded.config, loaded.tokenizer.end_of_text), **written}


_SECONDS_BETWEEN_SAVES = 600.0  # beside the saves at looks that are the best so far


class Saver(keras.callbacks.Callback):
    """Saves the steps that are to be kept.

    After the user's callbacks: what they changed at the end of a stretch, such as the learning rate, a resumed run has
    too.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self, plan: StepPlan, progress: Progress, keeper: Keeper, observer: Observer, clock: Callable[[], float]
    ) -> None:
        super().__init__()
        self._plan, self._progress, self._keeper, self._observer = plan, progress, keeper, observer
        self._saved_step = progress.step
        self._clock = clock
        self._saved_at = clock()
        self._in_step = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._in_step = True

    def step_is_complete(self) -> None:
        """What ``progress`` says and what is in memory agree again; to be called once a step was counted."""
        self._in_step = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        stretch_ends = self.model.stop_training or self._plan.is_look(self._progress.step)
        if not stretch_ends and self._is_due():
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._is_due():
            self.save()

    def _is_due(self) -> bool:
        step = self._progress.step
        if self.model.stop_training or self._progress.best_step == step:
            return True
        if self._plan.save_every is not None:
            return step % self._plan.save_every == 0
        return self._clock() - self._saved_at > _SECONDS_BETWEEN_SAVES

    def save(self) -> None:
        """Keep the step just made, unless it is kept already."""
        if self._saved_step == self._progress.step:
            return
        self._keeper.save(self._progress)
        self._saved_step, self._saved_at = self._progress.step, self._clock()

    def rescue(self, error: BaseException) -> None:
        """Save the last complete step before an error ends the run; raises nothing that could hide the error.

        In the middle of a step some weights may be new and others old: what is on the disk already is better then. A
        disk that did not take a checkpoint (``StorageError``) does not take another.
        """
        if self._in_step or isinstance(error, StorageError):
            return
        try:
            self.save()
        except Exception as failure:
            left = f"goes on from step {self._saved_step}" if self._saved_step else "has no checkpoint to go on from"
            reason = f"{type(failure).__name__}: {failure}"
            self._observer.on_notice(f"Step {self._progress.step} could not be saved ({reason}); the run {left}.")


class Keeper(Protocol):
    """Whoever keeps checkpoints."""

    def save(self, progress: Progress) -> None:
        """Keep the trainer's state as it is now; it is the best so far where ``best_step`` is ``step``."""
