"""The Keras callback that saves: the last of all, which also knows whether a step is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt2simple._backend import keras
from gpt2simple.errors import StorageError
from gpt2simple.records import Observer
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.progress import Progress
from gpt2simple.training.work import Keeper

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
