"""The Keras callback that counts steps, looks at the held-out text, samples and stops."""

from __future__ import annotations

import math
import time
from typing import Any

from gpt2simple._backend import keras
from gpt2simple.errors import TrainingError
from gpt2simple.records import EpochRecord, EvaluationRecord, Observer, SampleRecord, StepRecord, bits_per_byte
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.progress import Progress
from gpt2simple.training.saving import Saver
from gpt2simple.training.signals import StopRequest
from gpt2simple.training.trainer import Trainer
from gpt2simple.training.work import Work

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
