"""Saves a trainer to its run folder, decides when to save, and restores it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpt2simple.backend.keras import keras
from gpt2simple.errors import StorageError, TrainingError, WorkerError
from gpt2simple.gpt2.formats.huggingface import weight_tensors
from gpt2simple.gpt2.formats.peft import adapter_tensors
from gpt2simple.gpt2.formats.safetensors_file import Tensor
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.records import TrainingCallback
from gpt2simple.runs.writer import RunWriter
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.state import TrainerState
from gpt2simple.training.trainer import Trainer


class Checkpointer(Protocol):
    """Saves the steps of a run."""

    def save(self, state: TrainerState) -> Path:
        """Save the trainer and return the path; the step is the best so far if ``best_step`` equals ``step``."""


class RunCheckpointer:
    """Saves a trainer to a run folder, and keeps the best step in the root of the folder.

    Args:
        keep: number of checkpoints, including the best and the latest.
    """

    def __init__(self, run: RunWriter, loaded: LoadedModel, trainer: Trainer, *, keep: int) -> None:
        self._run, self._loaded, self._trainer, self._keep = run, loaded, trainer, keep

    def save(self, state: TrainerState) -> Path:
        """Save a checkpoint, update the root, prune old checkpoints, and return the path of the new one."""
        is_best = state.best_step == state.step and state.step > 0
        path = self._run.save(
            state.step,
            weights=self._weights(),
            optimizer=[
                Tensor(name, tuple(v.shape), "F32", v.numpy) for name, v in self._trainer.optimizer.state().items()
            ],
            state={"progress": state.to_json(), "trainer": self._trainer.counters()},
            best_figures=state.best if is_best else None,
        )
        self._run.publish()
        self._run.prune(self._keep)
        return path

    def _weights(self) -> list[Tensor]:
        """The weights that are trained: of an adapter, or of the whole model."""
        loaded = self._loaded
        if loaded.config.lora is not None:
            return adapter_tensors(loaded.config, loaded.read_adapter)
        return weight_tensors(loaded.config, loaded.read)


class NoCheckpoints:
    """For a worker whose chief saves what both have."""

    def save(self, state: TrainerState) -> Path:
        """Nothing is saved; returns no place of note."""
        return Path()


def restore(trainer: Trainer, checkpoint: StepCheckpoint) -> TrainerState:
    """Restore the moments and counters of a checkpoint; the weights are already loaded."""
    slots = trainer.optimizer.state()
    for name, array in checkpoint.optimizer():
        slots[name].assign(np.reshape(array, slots[name].shape))
    trainer.set_counters(checkpoint.state["trainer"])
    return TrainerState.from_json(checkpoint.state["progress"])


class CheckWeights(Protocol):
    """Raises TrainingError where weights must not be saved; alone: whether no other worker computes its share."""

    def __call__(self, *, alone: bool = False) -> None: ...


def _no_check(*, alone: bool = False) -> None: ...


_SECONDS_BETWEEN_SAVES = 600.0  # in addition to saves at the best evaluations


class CheckpointCallback(keras.callbacks.Callback):
    """Decides which steps are saved.

    It runs after the user's callbacks, so that a checkpoint includes their changes, such as the learning rate.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        plan: StepPlan,
        state: TrainerState,
        checkpointer: Checkpointer,
        callback: TrainingCallback,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self._plan, self._state, self._checkpointer, self._callback = plan, state, checkpointer, callback
        self.saved_step = state.step
        # Raises TrainingError where they must not be saved. Set by the loop, which calls this callback and so is made
        # after it.
        self.check_weights: CheckWeights = _no_check
        self._clock = clock
        self._saved_at = clock()
        self.saves_by_time = False  # set by the loop, for all workers by the clock of one
        self._in_step = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._in_step = True

    def step_is_complete(self) -> None:
        """Call this once a step has been counted: state and weights are consistent again."""
        self._in_step = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        epoch_ends = self.model.stop_training or self._plan.evaluates_at(self._state.step)
        if not epoch_ends and self._is_due():
            self.save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._is_due():
            self.save()

    def _is_due(self) -> bool:
        step = self._state.step
        if self.model.stop_training or self._state.best_step == step:
            return True
        if self._plan.save_every is not None:
            return step % self._plan.save_every == 0
        return self.saves_by_time

    def time_has_come(self) -> bool:
        """Whether the last save was so long ago that the next is due."""
        return self._clock() - self._saved_at > _SECONDS_BETWEEN_SAVES

    def save(self, *, alone: bool = False) -> None:
        """Save the last step, unless it is already saved; alone: whether no other worker saves it too."""
        if self.saved_step == self._state.step:
            return
        self.check_weights(alone=alone)
        path = self._checkpointer.save(self._state)
        self.saved_step, self._saved_at = self._state.step, self._clock()
        self._callback.on_save(self.saved_step, path)

    def rescue(self, error: BaseException) -> None:
        """Save the last complete step before an error ends the run; never raises, which would hide that error.

        Not in the middle of a step, when only some weights may be updated, nor after a ``StorageError``, which would
        occur again, nor after a ``TrainingError``, when the weights may be ruined. A ``WorkerError`` in a step comes
        before any weight is updated; one in the evaluation after a step, or in what follows from that, leaves it to be
        taken again with its step, as a run that was never broken off would.
        """
        is_lost, step = isinstance(error, WorkerError), self._state.step
        in_update = self._in_step and not is_lost
        ends_epoch = step == self._plan.last_step or self._plan.evaluates_at(step)
        in_evaluation = is_lost and not self._in_step and ends_epoch
        if in_update or in_evaluation or isinstance(error, (StorageError, TrainingError)):
            return
        try:
            self.save(alone=True)
        except Exception as failure:
            saved = self.saved_step
            left = f"continues from step {saved}" if saved else "has no checkpoint to continue from"
            reason = f"{type(failure).__name__}: {failure}"
            self._callback.on_message(f"Step {self._state.step} could not be saved ({reason}); the run {left}.")
