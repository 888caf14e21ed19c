"""A small model in training, without files: what the tests of the training engine share."""

import os
import signal
import time
from dataclasses import dataclass, field

import numpy as np

from gpt2simple.backend.tensorflow import keras, tf
from gpt2simple.gpt2.model import build_model, named_variables
from gpt2simple.runs.records import TrainingCallback
from gpt2simple.settings import FinetuneSettings
from gpt2simple.testing import SMALL_CONFIG
from gpt2simple.training.data import TrainingData
from gpt2simple.training.loop import train
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.state import TrainerState
from gpt2simple.training.task import LanguageModeling
from gpt2simple.training.trainer import build_trainer

TIME = 16
TASK = LanguageModeling(np.ones(SMALL_CONFIG.n_vocab, np.int64))  # each token spells one byte


def small_trainer(
    settings=None,
    *,
    task=TASK,
    dtype=tf.float32,
    seed=1,
    last_step=None,
    gradient_checkpointing=False,
    compile_whole_step=False,
):
    """A compiled trainer of a random small model, and the model's variables by name."""
    model = build_model(SMALL_CONFIG, seed=0, initializer_range=0.1)
    variables = named_variables(model)
    trainer = build_trainer(
        model, variables, SMALL_CONFIG, settings or FinetuneSettings(), task, dtype=dtype, seed=seed,
        last_step=last_step, gradient_checkpointing=gradient_checkpointing, compile_whole_step=compile_whole_step,
    )  # fmt: skip
    return trainer, variables


def values_of(variables):
    return {name: variable.numpy().copy() for name, variable in variables.items()}


def assert_equal(ours, theirs):
    """Arrays by name, bit for bit."""
    assert sorted(ours) == sorted(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def batch_of(number, rows=2, time=TIME):
    """Inputs, targets, loss mask (B, T) of a text that repeats: something that can be learned."""
    text = np.resize(np.arange(40, 60), 400)
    starts = np.random.default_rng(number).integers(0, 300, rows)
    windows = np.stack([text[start : start + time + 1] for start in starts]).astype(np.int32)
    return windows[:, :-1], windows[:, 1:], np.ones((rows, time), np.float32)


def stacked(batches):
    """Micro-batches as one step's tensors [A, B, T]."""
    return tuple(tf.constant(np.stack(arrays)) for arrays in zip(*batches, strict=True))


def data_of(**changes):
    parts = {
        "micro_batch": batch_of,
        "epoch_at": lambda micro_batches: micro_batches / 5,
        "accumulate": 1,
        "held_out": (batch_of(1000), batch_of(1001)),
    }
    return TrainingData(**{**parts, **changes})


def plan_of(**changes):
    parts = {
        "last_step": None, "eval_every": 5, "save_every": None, "sample_every": 0, "patience": 3,
        "steps_per_epoch": 5.0,
    }  # fmt: skip
    return StepPlan(**{**parts, **changes})


@dataclass
class KeptSteps:
    """A checkpointer that holds in memory what a checkpoint would."""

    trainer: object
    variables: dict
    steps: list = field(default_factory=list)
    best_steps: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)  # of the last save

    def save(self, state):
        self.steps.append(state.step)
        self.best_steps.append(state.best_step)
        self.weights = values_of(self.variables)


@dataclass
class Seen(TrainingCallback):
    """Every record, in order."""

    records: list = field(default_factory=list)
    notices: list = field(default_factory=list)

    def on_message(self, text):
        self.notices.append(text)

    def on_step(self, record):
        self.records.append(record)

    on_epoch = on_evaluation = on_sample = on_step

    def of(self, kind):
        return [record for record in self.records if type(record).__name__ == kind]


@dataclass
class Outcome:
    """What a run in memory left behind."""

    reason: str | None
    state: TrainerState
    keeper: KeptSteps
    seen: Seen
    error: BaseException | None = None


def run_small(
    plan, data=None, settings=None, *, callbacks=(), trainer=None, expect=None, step=0, clock=time.monotonic,
    sample=None,
    **trainer_options,
):  # fmt: skip
    """Train a small model by the loop itself, from a step on; with ``expect`` (pytest.raises) the run has to fail."""
    trainer, variables = trainer or small_trainer(settings, last_step=plan.last_step, **trainer_options)
    state, keeper, seen = TrainerState(step=step), KeptSteps(trainer, variables), Seen()
    arguments = (trainer, data or data_of(), plan, state, keeper, seen, callbacks)
    if expect is not None:
        with expect as caught:
            train(*arguments, sample=sample, clock=clock)
        return Outcome(None, state, keeper, seen, caught.value)
    return Outcome(train(*arguments, sample=sample, clock=clock), state, keeper, seen)


class InterruptIn(keras.callbacks.Callback):
    """Presses Ctrl-C as a step of the session (from 0) begins."""

    def __init__(self, number):
        super().__init__()
        self.left = number

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left == -1:
            os.kill(os.getpid(), signal.SIGINT)
