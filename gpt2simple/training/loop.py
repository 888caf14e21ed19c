"""The training loop: Keras `fit` with one callback of ours that looks, saves, samples and stops.

Speaks token ids and numbers. What is to be kept goes to a `Keeper`, what happens goes to an `Observer`; the loop knows
neither files nor text.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gpt2simple._backend import tf
from gpt2simple.errors import TrainingError
from gpt2simple.records import Observer
from gpt2simple.training.hooks import Hooks
from gpt2simple.training.plan import ENDLESS, StepPlan
from gpt2simple.training.progress import Progress
from gpt2simple.training.saving import Saver
from gpt2simple.training.signals import StopRequest, stop_on_signals
from gpt2simple.training.trainer import Trainer
from gpt2simple.training.watch import Watch
from gpt2simple.training.work import Batch, Keeper, Work


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
