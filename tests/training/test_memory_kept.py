"""What TensorFlow keeps of a training for the life of the process: nothing that grows with each training."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tensorflow.python.framework.ops import gradient_registry

from gpt2simple import testing
from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import PackedShape
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.gpt2.container import named_variables
from gpt2simple.gpt2.network.xla import kept_functions, shapes_of, traces
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.trainer import Trainer
from tests.helpers.small_runs import ONE_LAYER
from tests.helpers.training import (
    TIME,
    Arrays,
    assert_equal,
    batch_of,
    data_of,
    plan_of,
    run_small,
    small_trainer,
    values_of,
)


def train(accumulate: int, *, gradient_checkpointing: bool) -> None:
    trainer = small_trainer(config=ONE_LAYER, gradient_checkpointing=gradient_checkpointing)
    run_small(plan_of(last_step=2, eval_every=2), data_of(accumulate=accumulate), trainer=trainer)


def score() -> None:
    inputs, targets, _ = batch_of(0).arrays
    scorer = Scorer(named_variables(testing.small_model()), testing.SMALL_CONFIG)
    assert np.isfinite(scorer.score(inputs, targets).nats).all()


@pytest.mark.parametrize(
    "compute",
    [
        lambda: train(1, gradient_checkpointing=False),
        lambda: train(3, gradient_checkpointing=False),
        lambda: train(1, gradient_checkpointing=True),
        score,
    ],
    ids=["training", "accumulated", "recomputed", "scoring"],
)
def test_no_custom_gradient_stays_registered(compute: Callable[[], None]) -> None:
    """Each would keep its graph, and with it the weights and moments of the model."""
    compute()  # what is compiled once per process
    kept_functions.clear()
    before = set(gradient_registry.list())
    compute()
    assert set(gradient_registry.list()) - before == set()


def test_the_data_of_a_training_is_let_go() -> None:
    """It holds the text's file open, and TensorFlow never lets go of a generator."""
    data = data_of()
    kept = weakref.ref(data)
    run_small(plan_of(last_step=2), data)
    del data
    gc.collect()
    assert kept() is None


def trained(trainer: tuple[Trainer, dict[str, Any]], **changes: Any) -> Arrays:
    run_small(plan_of(last_step=2, eval_every=1), data_of(**changes), trainer=trainer)
    return values_of(trainer[1])


NUMBERS = {
    "the same": {},
    "seed": {"seed": 9},
    "rate": {"settings": FinetuneSettings(learning_rate=3e-3, warmup_steps=4, weight_decay=0.3, clip_norm=0.5)},
    "last step": {"last_step": 70},
}


@pytest.mark.parametrize(
    "changes",
    [NUMBERS["the same"], *(pytest.param(NUMBERS[name], marks=pytest.mark.slow) for name in list(NUMBERS)[1:])],
    ids=NUMBERS,
)
def test_a_second_training_of_the_same_shape_traces_nothing_and_learns_the_same(changes: dict[str, Any]) -> None:
    """Compared with a training whose step was compiled for it alone."""
    start: dict[str, Any] = {"settings": FinetuneSettings(dropout=0.1, schedule="cosine"), "last_step": 50}
    changed = start | changes
    if "settings" in changes:
        changed["settings"] = replace(changes["settings"], dropout=0.1, schedule="cosine")
    kept_functions.clear()
    alone = trained(small_trainer(config=ONE_LAYER, **changed))
    kept_functions.clear()
    trained(small_trainer(config=ONE_LAYER, **start))
    before = traces.copy()
    assert_equal(trained(small_trainer(config=ONE_LAYER, **changed)), alone)
    assert traces == before


GRAPHS: dict[str, dict[str, Any]] = {
    "vocabulary": {"config": replace(ONE_LAYER, n_vocab=300)},
    "epsilon": {"config": replace(ONE_LAYER, layer_norm_epsilon=1e-3)},
    "precision": {"dtype": tf.bfloat16},
    "dropout": {"settings": FinetuneSettings(dropout=0.1)},
    "optimizer": {"settings": FinetuneSettings(optimizer="sgd")},
    "schedule": {"settings": FinetuneSettings(schedule="constant"), "last_step": 10},
    "no clipping": {"settings": FinetuneSettings(clip_norm=0.0)},
    "part": {"settings": FinetuneSettings(only_train_transformer_layers=True)},
    "recomputed": {"gradient_checkpointing": True},
    "whole": {"compile_whole_step": True},
    "packed": {"packed": PackedShape(16)},
    "few targets": {"packed": PackedShape(16, 4)},
}


@pytest.mark.parametrize("changes", GRAPHS.values(), ids=GRAPHS)
def test_what_changes_the_graph_of_a_step_has_a_step_of_its_own(changes: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"config": ONE_LAYER, "settings": FinetuneSettings(schedule="linear"), "last_step": 10}
    one, other = small_trainer(**plain)[0], small_trainer(**plain | changes)[0]
    shapes = [(trainer._recipe, shapes_of(trainer._step.variables, tf.zeros([1, 2, TIME]))) for trainer in (one, other)]
    assert shapes[0] != shapes[1]


def test_weights_and_moments_are_let_go_after_a_training() -> None:
    trainer, variables = small_trainer(config=ONE_LAYER)
    trained((trainer, variables))
    kept = [weakref.ref(v) for v in (*variables.values(), *trainer.optimizer.state().values(), trainer.loss_scale)]
    del trainer, variables
    gc.collect()
    assert [reference() for reference in kept if reference() is not None] == []


def test_a_second_scoring_of_the_same_shape_traces_nothing() -> None:
    score()
    before = traces.copy()
    score()
    assert traces == before
