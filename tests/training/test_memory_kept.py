"""What TensorFlow keeps of a training for the life of the process: nothing that grows with each training."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from tensorflow.python.framework.ops import gradient_registry

from gpt2simple import testing
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.gpt2.model import named_variables
from tests.helpers.small_runs import ONE_LAYER
from tests.helpers.training import batch_of, data_of, plan_of, run_small, small_trainer


def train(accumulate: int, *, gradient_checkpointing: bool) -> None:
    trainer = small_trainer(config=ONE_LAYER, gradient_checkpointing=gradient_checkpointing)
    run_small(plan_of(last_step=2, eval_every=2), data_of(accumulate=accumulate), trainer=trainer)


def score() -> None:
    inputs, targets, _ = batch_of(0)
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
