"""A small model in training, in memory: a trainer, work for it, and a run of the loop that keeps what it made."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.backend.keras import keras
from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch, PackedShape
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model, container_of, named_variables
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.records import TrainingCallback
from gpt2simple.settings import FinetuneSettings
from gpt2simple.testing import SMALL_CONFIG
from gpt2simple.training.data import TrainingData
from gpt2simple.training.loop import train
from gpt2simple.training.plan import StepPlan
from gpt2simple.training.state import TrainerState
from gpt2simple.training.task import LanguageModeling
from gpt2simple.training.trainer import Trainer, build_trainer
from tests.helpers.small_runs import ONE_LAYER

TIME = 16
TASK = LanguageModeling(np.ones(SMALL_CONFIG.n_vocab, np.int64))  # each token spells one byte

Arrays = dict[str, np.ndarray]


def small_trainer(
    settings: FinetuneSettings | None = None,
    *,
    config: ModelConfig = SMALL_CONFIG,
    dtype: Any = tf.float32,
    seed: int = 1,
    last_step: int | None = None,
    gradient_checkpointing: bool = False,
    compile_whole_step: bool = False,
    packed: PackedShape | None = None,
) -> tuple[Trainer, dict[str, Any]]:
    """A compiled trainer of a random small model, and the model's variables by name."""
    model = build_model(config, seed=0, initializer_range=0.1)
    variables = named_variables(model)
    trainer = build_trainer(
        model, variables, config, settings or FinetuneSettings(), TASK, dtype=dtype, seed=seed,
        last_step=last_step, gradient_checkpointing=gradient_checkpointing, compile_whole_step=compile_whole_step,
        packed=packed,
    )  # fmt: skip
    return trainer, variables


def values_of(variables: Mapping[str, Any]) -> Arrays:
    return {name: variable.numpy().copy() for name, variable in variables.items()}


def assert_equal(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Arrays by name, bit for bit."""
    assert sorted(ours) == sorted(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def batch_of(number: int, rows: int = 2) -> Batch:
    """Inputs, targets, loss mask (B, T) of a text that repeats: something that can be learned."""
    text = np.resize(np.arange(40, 60), 400)
    starts = np.random.default_rng(number).integers(0, 300, rows)
    windows = np.stack([text[start : start + TIME + 1] for start in starts]).astype(np.int32)
    return Batch(windows[:, :-1], windows[:, 1:], np.ones((rows, TIME), np.float32))


def stacked(batches: Sequence[Batch]) -> tuple[Any, ...]:
    """Micro-batches as one step's tensors [A, B, T]."""
    return tuple(tf.constant(np.stack(arrays)) for arrays in zip(*(batch.arrays for batch in batches), strict=True))


def data_of(**changes: Any) -> TrainingData:
    parts = {
        "micro_batch": batch_of,
        "epoch_at": lambda micro_batches: micro_batches / 5,
        "accumulate": 1,
        "held_out": (batch_of(1000), batch_of(1001)),
    }
    return TrainingData(**{**parts, **changes})


def plan_of(**changes: Any) -> StepPlan:
    parts = {
        "last_step": None, "eval_every": 5, "save_every": None, "sample_every": 0, "patience": 3,
        "steps_per_epoch": 5.0,
    }  # fmt: skip
    return StepPlan(**{**parts, **changes})


@dataclass
class KeptSteps:
    """A checkpointer that holds in memory what a checkpoint would."""

    variables: Mapping[str, Any]
    steps: list[int] = field(default_factory=list)
    best_steps: list[int | None] = field(default_factory=list)
    weights: Arrays = field(default_factory=dict)  # of the last save

    def save(self, state: TrainerState) -> Path:
        self.steps.append(state.step)
        self.best_steps.append(state.best_step)
        self.weights = values_of(self.variables)
        return Path(f"step-{state.step:06d}")  # nothing is there


@dataclass
class Seen(TrainingCallback):
    """Every record, in order."""

    records: list[Any] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def on_message(self, text: str) -> None:
        self.notices.append(text)

    def on_step(self, record: Any) -> None:
        self.records.append(record)

    on_epoch = on_evaluation = on_sample = on_step

    def of(self, kind: str) -> list[Any]:
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
    plan: StepPlan,
    data: TrainingData | None = None,
    settings: FinetuneSettings | None = None,
    *,
    callbacks: Sequence[Any] = (),
    trainer: tuple[Trainer, dict[str, Any]] | None = None,
    expect: contextlib.AbstractContextManager[Any] | None = None,
    step: int = 0,
    sample: Callable[[int], str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train a model of one layer by the loop itself, from a step on; with ``expect`` (pytest.raises) it has to fail."""
    made, variables = trainer or small_trainer(settings, config=ONE_LAYER, last_step=plan.last_step)
    state, keeper, seen = TrainerState(step=step), KeptSteps(variables), Seen()
    arguments = (made, data or data_of(), plan, state, keeper, seen, callbacks)
    if expect is not None:
        with expect as caught:
            train(*arguments, sample=sample, clock=clock)
        return Outcome(None, state, keeper, seen, caught.value)
    return Outcome(train(*arguments, sample=sample, clock=clock), state, keeper, seen)


class InterruptIn(keras.callbacks.Callback):
    """Presses Ctrl-C, or sends another signal, as a step of the session (from 0) begins."""

    def __init__(self, number: int, signal_number: int = signal.SIGINT) -> None:
        super().__init__()
        self.left, self.signal_number = number, signal_number

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == -1:
            os.kill(os.getpid(), self.signal_number)


def losses_of_steps(
    loaded: LoadedModel, settings: FinetuneSettings, inputs: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """The loss of each step before its update, in float32: float64 [steps]; inputs, targets: int [steps, B, T]."""
    trainer = build_trainer(
        container_of(loaded), loaded.variables, loaded.config, settings,
        LanguageModeling(loaded.tokenizer.byte_lengths),
        dtype=tf.float32, seed=0, last_step=len(inputs), gradient_checkpointing=False,
    )  # fmt: skip
    step, weights = tf.function(trainer.train_step), tf.ones([1, *inputs.shape[1:]])
    return np.array([float(step((x[None], y[None], weights))["loss"]) for x, y in zip(inputs, targets, strict=True)])
