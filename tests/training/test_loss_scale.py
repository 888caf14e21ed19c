"""float16: the loss is scaled, a step that overflows is left out, and the scale adapts."""

import math

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import TrainingError
from gpt2simple.gpt2.network.xla import KeptFunctions
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training import compiled
from gpt2simple.training.compiled import WholeStep
from tests.helpers.small_runs import ONE_LAYER
from tests.helpers.training import assert_equal, batch_of, plan_of, run_small, small_trainer, stacked, values_of


@pytest.fixture(scope="module")
def half():
    """A trainer in float16, its variables, its compiled step and a batch."""
    trainer, variables = small_trainer(FinetuneSettings(learning_rate=1e-3), config=ONE_LAYER, dtype=tf.float16)
    return trainer, variables, tf.function(trainer.train_step), stacked([batch_of(0)])


def test_a_step_that_overflows_is_left_out_and_halves_the_scale(half):
    trainer, variables, step, batch = half
    trainer.loss_scale.assign(2.0**24)  # 1 / 32 tokens of it is 524,288; float16 ends at 65,504
    trainer.good_steps.assign(7)
    done, before = int(trainer.optimizer.iterations), values_of(variables)
    figures = step(batch)
    assert not bool(figures["updated"])
    assert math.isfinite(float(figures["loss"]))
    assert float(trainer.loss_scale) == 2.0**23
    assert int(trainer.good_steps) == 0
    assert int(trainer.optimizer.iterations) == done
    assert_equal(values_of(variables), before)


def test_after_enough_good_steps_the_scale_doubles(half):
    trainer, variables, step, batch = half
    trainer.loss_scale.assign(1024.0)
    trainer.good_steps.assign(1998)
    before = values_of(variables)
    figures = step(batch)
    assert bool(figures["updated"])
    assert float(trainer.loss_scale) == 1024.0
    assert int(trainer.good_steps) == 1999
    assert not np.array_equal(variables["wte.weight"], before["wte.weight"])
    step(batch)
    assert float(trainer.loss_scale) == 2048.0
    assert int(trainer.good_steps) == 0


def test_the_scale_stays_within_its_bounds(half):
    trainer, _, _, _ = half
    trainer.loss_scale.assign(1.0)
    step = WholeStep(trainer._step, trainer.optimizer.update, trainer.loss_scale, trainer.good_steps, scales_loss=True)
    step.adjust_loss_scale(tf.constant(False))
    assert float(trainer.loss_scale) == 1.0
    trainer.loss_scale.assign(2.0**24)
    trainer.good_steps.assign(1999)
    step.adjust_loss_scale(tf.constant(True))
    assert float(trainer.loss_scale) == 2.0**24


def test_the_first_step_takes_a_scale_of_32768_and_gradients_near_those_of_float32():
    figures = {}
    for dtype in (tf.float16, tf.float32):
        trainer, _ = small_trainer(config=ONE_LAYER, dtype=dtype)
        assert float(trainer.loss_scale) == (2.0**15 if dtype == tf.float16 else 1.0)
        figures[dtype] = trainer.train_step(stacked([batch_of(0)]))
    half, full = figures[tf.float16], figures[tf.float32]
    assert float(half["loss"]) == pytest.approx(float(full["loss"]), rel=1e-3)
    assert float(half["gradient_norm"]) == pytest.approx(float(full["gradient_norm"]), rel=1e-2)


def test_counters_come_back(half):
    trainer, _, _, _ = half
    values = {"iterations": 12, "loss_scale": 512.0, "good_steps": 34, "rate_factor": 0.5}
    trainer.set_counters(values)
    assert trainer.counters() == values


def test_the_loop_passes_over_an_overflow_and_gives_up_after_50_in_a_row(monkeypatch):
    trainer, variables = small_trainer(config=ONE_LAYER, dtype=tf.float16)
    trainer.loss_scale.assign(2.0**24)
    outcome = run_small(plan_of(last_step=12), trainer=(trainer, variables))
    assert outcome.reason == "finished"
    overflowed = 12 - int(trainer.optimizer.iterations)
    assert 1 <= overflowed <= 8
    assert float(trainer.loss_scale) == 2.0 ** (24 - overflowed)

    monkeypatch.setattr(WholeStep, "adjust_loss_scale", lambda step, finite: None)  # a scale that never recovers
    monkeypatch.setattr(compiled, "kept_functions", KeptFunctions())  # traced anew
    trainer.compile(optimizer=trainer.optimizer)
    trainer.loss_scale.assign(2.0**24)
    failed = run_small(
        plan_of(last_step=200, eval_every=100), trainer=(trainer, variables), expect=pytest.raises(TrainingError)
    )
    assert failed.state.step == 49
