"""The training loop: Keras `fit` with our callbacks, which evaluate, save checkpoints, write samples and stop.

Keras's `fit` runs the steps because users' own Keras callbacks and `tf.distribute` rely on it. The task defines the
loss, a `Checkpointer` saves checkpoints, and a `TrainingCallback` receives records.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gpt2simple.backend.keras import keras
from gpt2simple.backend.replicas import Replicas
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import TrainingError
from gpt2simple.gpt2.model import not_finite
from gpt2simple.runs.curves import is_ruined
from gpt2simple.runs.records import EpochRecord, EvaluationRecord, SampleRecord, StepRecord, TrainingCallback
from gpt2simple.training.checkpoint import CheckpointCallback, Checkpointer
from gpt2simple.training.data import TrainingData, steps_dataset
from gpt2simple.training.interrupt import StopRequest, stop_on_signals
from gpt2simple.training.plan import ENDLESS, StepPlan
from gpt2simple.training.state import TrainerState
from gpt2simple.training.trainer import Trainer


class CallbackList(keras.callbacks.CallbackList):
    """Keras callbacks of a run that takes several calls of `fit`.

    One `fit` handles only epochs of equal length. The callbacks see one training that begins once and ends once;
    otherwise `EarlyStopping`, for instance, would reset itself with each `fit`.

    Args:
        callbacks: in the order in which they are called.
        trainer: the model. epochs, steps: epochs of the training and steps per epoch, for callbacks that read them.
    """

    def __init__(self, callbacks: Sequence[Any], trainer: Any, *, epochs: int, steps: int) -> None:
        super().__init__(list(callbacks), add_history=True, model=trainer, verbose=0, epochs=epochs, steps=steps)
        self._check_timing = False  # Keras would warn that callbacks take longer than a step, as evaluations do
        self._has_begun = False
        self._last_logs: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._has_begun:
            self._has_begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._last_logs = logs  # another `fit` may follow

    def end_training(self) -> None:
        """Call ``on_train_end`` of the callbacks."""
        super().on_train_end(self._last_logs)


_MOST_SKIPPED_IN_A_ROW = 50  # float16 steps with overflowing gradients, before the run is stopped


class LoopCallback(keras.callbacks.Callback):
    """Turns each finished step into records, and evaluates, samples and stops according to the plan."""

    def __init__(
        self,
        trainer: Trainer,
        data: TrainingData,
        plan: StepPlan,
        state: TrainerState,
        saver: CheckpointCallback,
        callback: TrainingCallback,
        sample: Callable[[int], str] | None,
        request: StopRequest,
    ) -> None:
        super().__init__()
        self._trainer, self._data, self._plan, self._state = trainer, data, plan, state
        self._saver, self._callback, self._sample, self._request = saver, callback, sample, request
        self._reason: str | None = None
        self._held_out_loss = self._first_loss = math.nan
        self._evaluated_step = -1
        self._skipped_in_a_row = self._steps_timed = 0
        self._seconds_timed = self._tokens_timed = 0.0
        self._resumed_at = time.perf_counter()

    def on_train_begin(self, logs: Any = None) -> None:
        if self._state.step == 0 and self._data.held_out:
            self._evaluate()  # the model before training

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._resumed_at = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        seconds = now - self._resumed_at
        self._check_finite(logs)
        if math.isnan(self._first_loss):
            self._first_loss = float(logs["loss"])
        epochs_before = math.floor(self._epoch)
        self._state.add_step(float(logs["nats"]), float(logs["tokens"]), seconds)
        epoch_loss = self._state.end_epoch() if math.floor(self._epoch) > epochs_before else None
        self._saver.step_is_complete()
        self._callback.on_step(self._step_record(logs, seconds))
        if epoch_loss is not None:
            record = EpochRecord(step=self._state.step, epoch=math.floor(self._epoch), train_loss=epoch_loss)
            self._callback.on_epoch(record)
        self._follow_plan()
        self._resumed_at = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._add_held_out_loss(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._add_held_out_loss(logs)

    def _add_held_out_loss(self, logs: Any) -> None:
        if logs is not None and self._data.held_out:
            logs["val_loss"] = self._held_out_loss  # for the user's callbacks, which run after this one

    @property
    def reason(self) -> str:
        """Why the run ended."""
        return self._reason or ("callback" if self._trainer.stop_training else "finished")

    @property
    def _epoch(self) -> float:
        return self._data.epoch(self._state.step)

    def _check_finite(self, logs: Any) -> None:
        if bool(logs["updated"]):
            self._skipped_in_a_row = 0
            return
        self._skipped_in_a_row += 1
        overflow_of_scaling = self._trainer.scales_loss and self._skipped_in_a_row < _MOST_SKIPPED_IN_A_ROW
        if overflow_of_scaling and math.isfinite(float(logs["loss"])):
            return
        if math.isnan(self._first_loss):  # no step has changed the weights that were loaded
            raise not_finite("The loss or the gradient of the first step")
        raise self._divergence(
            f"step {self._state.step + 1} had a loss of {float(logs['loss'])} and a gradient norm of "
            f"{float(logs['gradient_norm'])}; both must be finite"
        )

    def check_weights(self, *, alone: bool = False) -> None:
        """Return if the weights after the last step still predict; called before they are saved or sampled from.

        The loss of a step is that of the weights before it: the step may have ruined them all the same.

        Args:
            alone: whether no other worker computes its share.

        Raises:
            TrainingError: they do not.
        """
        if self._evaluated_step == self._state.step and not is_ruined(self._held_out_loss, self._first_loss):
            return
        batches = self._data.evaluated((self._state.step - 1) * self._data.accumulate)
        loss = self._trainer.evaluate_batches(batches, alone=alone).loss
        if is_ruined(loss, self._first_loss):
            raise self._divergence(f"after step {self._state.step} the model's loss is {loss:.4g} nats")

    def _divergence(self, what: str) -> TrainingError:
        saved = self._saver.saved_step
        kept = f"Step {saved}, saved before, is kept. Continue" if saved else "No step was saved. Start again"
        return TrainingError(
            f"Training diverged: {what}. Likely causes: a learning_rate that is too high, clip_norm=0, or float16. "
            f'{kept} with a lower learning_rate or with precision="float32".'
        )

    def _step_record(self, logs: Any, seconds: float) -> StepRecord:
        tokens = float(logs["tokens"])
        self._steps_timed += 1
        if self._steps_timed > 1:  # the first step of a process is mostly compilation
            self._seconds_timed += seconds
            self._tokens_timed += tokens
        rate = self._tokens_timed / self._seconds_timed if self._seconds_timed else tokens / seconds
        return StepRecord(
            step=self._state.step,
            epoch=self._epoch,
            loss=float(logs["nats"]) / tokens,
            smoothed_loss=self._state.smoothed_loss,
            learning_rate=float(logs["learning_rate"]),
            gradient_norm=float(logs["gradient_norm"]),
            tokens=self._state.tokens,
            seconds=self._state.seconds,
            tokens_per_second=rate,
        )

    def _follow_plan(self) -> None:
        step, plan = self._state.step, self._plan
        finished = step == plan.last_step
        if self._data.held_out and (finished or plan.evaluates_at(step)):
            self._evaluate()
        if finished:
            self.stop("finished")
        elif self._request:
            self.stop("interrupted")
        elif plan.patience is not None and self._state.evaluations_since_best >= plan.patience:
            self.stop("patience")
        if self._sample is not None and plan.sample_every and step % plan.sample_every == 0:
            self.check_weights()  # ruined ones cannot be sampled from either
            self._callback.on_sample(SampleRecord(step=step, text=self._sample(step)))
            self._trainer.release()

    def stop(self, reason: str | None) -> None:
        """End after this step, for a reason unless there is one already; None: a callback has stopped the run."""
        self._reason = self._reason or reason
        self._trainer.stop_training = True

    @property
    def is_interrupted(self) -> bool:
        """Whether a signal has requested the run to stop."""
        return self._reason == "interrupted" or bool(self._request)

    def _evaluate(self) -> None:
        started = time.perf_counter()
        figures = self._trainer.evaluate_batches(self._data.held_out)
        self._held_out_loss, self._evaluated_step = figures.loss, self._state.step
        self._callback.on_evaluation(
            EvaluationRecord(
                step=self._state.step,
                epoch=self._epoch,
                figures=figures,
                train_loss=self._state.smoothed_loss,
                is_best=self._state.add_evaluation(figures),
                seconds=time.perf_counter() - started,
            )
        )


class Agreement(keras.callbacks.Callback):
    """Has all workers stop and save after the same step, whichever of them was told to.

    It runs after the user's callbacks, which may stop the run, and before steps are saved.
    """

    def __init__(self, loop: LoopCallback, saver: CheckpointCallback, replicas: Replicas) -> None:
        super().__init__()
        self._loop, self._saver, self._replicas = loop, saver, replicas

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._agree()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._agree()

    def _agree(self) -> None:
        own = self._loop.is_interrupted, self.model.stop_training, self._saver.time_has_come()
        interrupted, stops, self._saver.saves_by_time = self._replicas.agree(*own)
        if interrupted or stops:
            self._loop.stop("interrupted" if interrupted else None)


def train(
    trainer: Trainer,
    data: TrainingData,
    plan: StepPlan,
    state: TrainerState,
    checkpointer: Checkpointer,
    callback: TrainingCallback,
    keras_callbacks: Sequence[Any] = (),
    *,
    sample: Callable[[int], str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Train from ``state.step`` to the end of the plan and return why it ended.

    Args:
        trainer: compiled, with variables and optimizer in their state at ``state.step``.
        data, plan: the batches and the schedule of the run. state: updated in place.
        checkpointer, callback: receive checkpoints and records.
        keras_callbacks: the user's, of tf_keras. A Keras epoch lasts from one evaluation to the next, counted from the
            start of the run.
        sample: step -> generated text; None: no samples.
        clock: monotonic time in seconds, for saves between evaluations.

    Returns:
        "finished", "patience", "interrupted" or "callback".

    Raises:
        TrainingError: training diverged, of which nothing is saved, or the device has too little memory.
        Exceptions of callbacks propagate unchanged. The last complete step is saved first.
    """
    with stop_on_signals() as request:
        saver = CheckpointCallback(plan, state, checkpointer, callback, clock)
        loop = LoopCallback(trainer, data, plan, state, saver, callback, sample, request)
        # The chief alone saves.
        rescuing = _rescuing(saver, request) if trainer.replicas.is_chief else contextlib.nullcontext()
        with _explained_memory_errors(), rescuing:
            saver.check_weights = loop.check_weights
            agreement = Agreement(loop, saver, trainer.replicas)
            _fit(trainer, data, plan, state, [loop, *keras_callbacks, agreement, saver])
            saver.save()  # in case a callback revoked the request to stop
        request.obeyed = loop.reason == "interrupted" and request.signal == signal.SIGINT
    return loop.reason


def _fit(trainer: Trainer, data: TrainingData, plan: StepPlan, state: TrainerState, callbacks: Sequence[Any]) -> None:
    epoch = plan.evaluations_until(state.step)
    callback_list = CallbackList(
        callbacks,
        trainer,
        epochs=plan.evaluations_until(ENDLESS if plan.last_step is None else plan.last_step),
        steps=math.ceil(plan.eval_every),
    )
    with steps_dataset(data, lambda: state.step) as dataset:
        for steps, count in plan.keras_epochs(state.step):
            trainer.fit(
                dataset, steps_per_epoch=steps, initial_epoch=epoch, epochs=epoch + count, verbose=0,
                callbacks=callback_list,
            )  # fmt: skip
            epoch += count
            if trainer.stop_training:
                break
    callback_list.end_training()


@contextlib.contextmanager
def _rescuing(saver: CheckpointCallback, request: StopRequest) -> Iterator[None]:
    """Save the last complete step before an error propagates, except on a second Ctrl-C."""
    try:
        yield
    except BaseException as error:
        if not (request and isinstance(error, KeyboardInterrupt)):
            saver.rescue(error)
        raise


@contextlib.contextmanager
def _explained_memory_errors() -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            "The device has too little memory for this training step. Lower batch_size or window, set "
            "gradient_checkpointing=True, or choose a smaller model_name; the run continues from its last checkpoint."
        ) from error
