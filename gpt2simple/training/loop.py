"""The training loop: Keras `fit` with our callbacks, which evaluate, save checkpoints, write samples and stop.

Keras's `fit` drives the steps because users' own Keras callbacks and `tf.distribute` expect it. One `fit` handles
epochs of equal length only and a run needs several, so callbacks are told of one training, whatever the calls of `fit`.
The loop works on token ids and numbers. What is saved goes to a `Keeper`, what happens goes to an `Observer`; it knows
neither files nor text.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gpt2simple.backend.tensorflow import keras, tf
from gpt2simple.errors import TrainingError
from gpt2simple.runs.records import EpochRecord, EvaluationRecord, Observer, SampleRecord, StepRecord, bits_per_byte
from gpt2simple.training.checkpoint import Keeper, Saver
from gpt2simple.training.interrupt import StopRequest, stop_on_signals
from gpt2simple.training.plan import ENDLESS, Batch, StepPlan, Work
from gpt2simple.training.state import Progress
from gpt2simple.training.trainer import Trainer


class Hooks(keras.callbacks.CallbackList):
    """Callbacks that are told once that training begins, and once that it ends.

    Each `fit` has stretches of one length, and a training needs several; `EarlyStopping` and its like would begin anew
    with each.

    Args:
        callbacks: in the order in which they are called.
        trainer: the model. epochs, steps: of the training and of an epoch, as callbacks may ask for them.
    """

    def __init__(self, callbacks: Sequence[Any], trainer: Any, *, epochs: int, steps: int) -> None:
        super().__init__(list(callbacks), add_history=True, model=trainer, verbose=0, epochs=epochs, steps=steps)
        self._check_timing = False  # else Keras warns of callbacks slower than a step: looking at held-out text is
        self._has_begun = False
        self._last_logs: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._has_begun:
            self._has_begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._last_logs = logs  # of a `fit`; another may follow

    def end_training(self) -> None:
        """Tell the callbacks that training has ended."""
        super().on_train_end(self._last_logs)


_MOST_SKIPPED_IN_A_ROW = 50  # float16 steps whose gradients overflow before the run is given up


class Watch(keras.callbacks.Callback):
    """Turns each finished step into records, and does what the plan says is due."""

    def __init__(
        self,
        trainer: Trainer,
        work: Work,
        plan: StepPlan,
        progress: Progress,
        saver: Saver,
        observer: Observer,
        request: StopRequest,
    ) -> None:
        super().__init__()
        self._trainer, self._work, self._plan = trainer, work, plan
        self._progress, self._saver, self._observer = progress, saver, observer
        self._request = request
        self._reason: str | None = None
        self._held_out_loss = math.nan
        self._skipped_in_a_row = 0
        self._steps_timed = 0
        self._seconds_timed = 0.0
        self._tokens_timed = 0.0
        self._resumed_at = time.perf_counter()

    def on_train_begin(self, logs: Any = None) -> None:
        if self._progress.step == 0 and self._work.held_out:
            self._look()  # where the model stood before it learned anything

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._resumed_at = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        seconds = now - self._resumed_at
        self._check_finite(logs)
        epochs_before = math.floor(self._epoch)
        self._progress.add_step(float(logs["nats"]), float(logs["tokens"]), seconds)
        epoch_loss = self._progress.end_epoch() if math.floor(self._epoch) > epochs_before else None
        self._saver.step_is_complete()
        self._observer.on_step(self._step_record(logs, seconds))
        if epoch_loss is not None:
            self._observer.on_epoch(
                EpochRecord(step=self._progress.step, epoch=math.floor(self._epoch), train_loss=epoch_loss)
            )
        self._do_what_is_due()
        self._resumed_at = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._add_held_out_loss(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._add_held_out_loss(logs)

    def _add_held_out_loss(self, logs: Any) -> None:
        if logs is not None and self._work.held_out:
            logs["val_loss"] = self._held_out_loss  # for the user's callbacks, which come after this one

    @property
    def reason(self) -> str:
        """Why the run ended."""
        return self._reason or ("callback" if self._trainer.stop_training else "finished")

    @property
    def _epoch(self) -> float:
        return self._work.epoch_at(self._progress.step * self._work.accumulate)

    def _check_finite(self, logs: Any) -> None:
        if bool(logs["updated"]):
            self._skipped_in_a_row = 0
            return
        self._skipped_in_a_row += 1
        overflow_of_scaling = self._trainer.scales_loss and self._skipped_in_a_row < _MOST_SKIPPED_IN_A_ROW
        if overflow_of_scaling and math.isfinite(float(logs["loss"])):
            return
        self._saver.save()
        raise TrainingError(
            f"Step {self._progress.step + 1} gave a loss of {float(logs['loss'])} and a gradient of length "
            f"{float(logs['gradient_norm'])}: not finite. That step was not taken; step {self._progress.step} is "
            "saved. Likely causes: a learning_rate too high, clip_norm 0, or float16. Go on with a lower "
            'learning_rate, or precision="float32".'
        )

    def _step_record(self, logs: Any, seconds: float) -> StepRecord:
        tokens = float(logs["tokens"])
        self._steps_timed += 1
        if self._steps_timed > 1:  # the first step of a process is mostly compilation
            self._seconds_timed += seconds
            self._tokens_timed += tokens
        rate = self._tokens_timed / self._seconds_timed if self._seconds_timed else tokens / seconds
        return StepRecord(
            step=self._progress.step,
            epoch=self._epoch,
            loss=float(logs["nats"]) / tokens,
            smoothed_loss=self._progress.smoothed_loss,
            learning_rate=float(logs["learning_rate"]),
            gradient_norm=float(logs["gradient_norm"]),
            tokens=self._progress.tokens,
            seconds=self._progress.seconds,
            tokens_per_second=rate,
        )

    def _do_what_is_due(self) -> None:
        step, plan = self._progress.step, self._plan
        finished = step == plan.last_step
        if self._work.held_out and (finished or plan.is_look(step)):
            self._look()
        if finished:
            self._stop("finished")
        elif self._request:
            self._stop("interrupted")
        elif plan.last_step is None and self._progress.looks_since_best >= plan.patience:
            self._stop("patience")
        if self._work.sample is not None and plan.sample_every and step % plan.sample_every == 0:
            self._observer.on_sample(SampleRecord(step=step, text=self._work.sample(step)))

    def _stop(self, reason: str) -> None:
        self._reason = reason
        self._trainer.stop_training = True

    def _look(self) -> None:
        started = time.perf_counter()
        nats = math.fsum(self._trainer.held_out_nats(*batch) for batch in self._work.held_out)
        tokens = sum(int(batch[2].sum()) for batch in self._work.held_out)
        self._held_out_loss = nats / tokens
        is_best = self._progress.add_look(self._held_out_loss, bits_per_byte(nats, self._work.target_bytes))
        self._observer.on_evaluation(
            EvaluationRecord(
                step=self._progress.step,
                epoch=self._epoch,
                nats=nats,
                target_tokens=tokens,
                target_bytes=self._work.target_bytes,
                train_loss=self._progress.smoothed_loss,
                is_best=is_best,
                seconds=time.perf_counter() - started,
            )
        )


def run(
    trainer: Trainer,
    work: Work,
    plan: StepPlan,
    progress: Progress,
    keeper: Keeper,
    observer: Observer,
    callbacks: Sequence[Any] = (),
    *,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Train from ``progress.step`` to the end of the plan and say why it ended.

    Args:
        trainer: compiled, its variables and optimizer as they were at ``progress.step``.
        work, plan: what to train on, how often to do what. progress: updated in place.
        keeper, observer: receive checkpoints and records.
        callbacks: of the user, in tf_keras's form. A Keras epoch is the stretch between two looks, counted from the
            beginning of the run.
        clock: seconds that only grow, for the saves between looks.

    Returns:
        "finished", "patience", "interrupted" or "callback".

    Raises:
        TrainingError: the loss or a gradient is not finite, or the device's memory does not suffice.
        Whatever a callback or an observer raises, as it is. The last complete step has been saved before.
    """
    with stop_on_signals() as request:
        saver = Saver(plan, progress, keeper, observer, clock)
        watch = Watch(trainer, work, plan, progress, saver, observer, request)
        with _memory_errors_in_words(), _rescuing(saver, request):
            _fit(trainer, work, plan, progress, [watch, *callbacks, saver])
            saver.save()  # where a callback took the request to stop back
    return watch.reason


def _fit(trainer: Trainer, work: Work, plan: StepPlan, progress: Progress, callbacks: Sequence[Any]) -> None:
    data = _dataset(work, lambda: progress.step)
    epoch = plan.looks_until(progress.step)
    hooks = Hooks(
        callbacks,
        trainer,
        epochs=plan.looks_until(ENDLESS if plan.last_step is None else plan.last_step),
        steps=math.ceil(plan.eval_every),
    )
    for steps, count in plan.stretches(progress.step):
        trainer.fit(data, steps_per_epoch=steps, initial_epoch=epoch, epochs=epoch + count, verbose=0, callbacks=hooks)
        epoch += count
        if trainer.stop_training:
            break
    hooks.end_training()


@contextlib.contextmanager
def _rescuing(saver: Saver, request: StopRequest) -> Iterator[None]:
    """Save the last complete step before an error goes on its way, but for the second Ctrl-C of somebody in a hurry."""
    try:
        yield
    except BaseException as error:
        if not (request and isinstance(error, KeyboardInterrupt)):
            saver.rescue(error)
        raise


@contextlib.contextmanager
def _memory_errors_in_words() -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            "The device's memory does not suffice for this training step. Lower batch_size or window, set "
            "gradient_checkpointing=True, or choose a smaller model_name; the run goes on from its last checkpoint."
        ) from error


def _dataset(work: Work, steps_done: Callable[[], int]) -> Any:
    """The steps' batches [A, B, T], made ahead of time while the device computes.

    Args:
        steps_done: asked whenever reading begins anew, as each `fit` does.
    """
    example = work.batch(0)
    shape = (work.accumulate, *example[0].shape)

    def steps() -> Iterator[Batch]:
        step = steps_done()
        while True:
            parts = [work.batch(step * work.accumulate + number) for number in range(work.accumulate)]
            inputs, targets, weights = (np.stack(arrays) for arrays in zip(*parts, strict=True))
            yield inputs.astype(np.int32), targets.astype(np.int32), weights.astype(np.float32)
            step += 1

    signature = tuple(tf.TensorSpec(shape, dtype) for dtype in (tf.int32, tf.int32, tf.float32))
    # There is nothing to tune, and the end would wait for the tuning thread, which sleeps for up to a minute at a time.
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_generator(steps, output_signature=signature).prefetch(4).with_options(options)
