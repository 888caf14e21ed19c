"""From settings to numbers of steps, each expected number worked out by hand."""

import pytest

from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.plan import plan_steps


def plan(windows=1000, held_out=10, **settings):
    return plan_steps(FinetuneSettings(**settings), windows, held_out)


@pytest.mark.parametrize(
    ("settings", "windows", "held_out", "last_step"),
    [
        ({"steps": 7}, 1000, 10, 7),
        ({"epochs": 2}, 1000, 10, 2000),
        ({"epochs": 2, "batch_size": 4, "accumulate_gradients": 5}, 1000, 10, 100),
        ({"epochs": 0.5, "batch_size": 3}, 100, 10, 17),
        ({"epochs": 0.001}, 10, 10, 1),
        ({}, 1000, 10, None),
        ({}, 1000, 0, 100),  # nothing held out: no patience to stop by
        ({"steps": 7}, 1000, 0, 7),
    ],
)
def test_where_the_run_ends(settings, windows, held_out, last_step):
    assert plan(windows, held_out, **settings).last_step == last_step


@pytest.mark.parametrize(
    ("settings", "windows", "held_out", "every"),
    [
        ({}, 400, 2, 100),  # a quarter of a pass
        ({}, 403, 2, 101),
        ({}, 10, 1, 10),  # at least 10
        ({}, 100_000, 2, 200),  # at most 200
        ({}, 400, 64, 256),  # four windows trained for each window looked at
        ({"batch_size": 4}, 400, 64, 64),
        ({"eval_every": 3}, 400, 64, 3),
        ({"eval_every": "epoch"}, 403, 10, 403),
        ({"eval_every": "epoch", "batch_size": 4}, 403, 10, 101),
        ({"eval_every": "epoch", "batch_size": 400}, 3, 1, 1),
    ],
)
def test_how_often_it_looks(settings, windows, held_out, every):
    assert plan(windows, held_out, **settings).eval_every == every


def test_the_rest():
    default = plan()
    assert (default.save_every, default.sample_every, default.patience) == (None, 100, 3)
    given = plan(save_every=5, sample_every=0, early_stopping_patience=9, batch_size=3, accumulate_gradients=2)
    assert (given.save_every, given.sample_every, given.patience) == (5, 0, 9)
    assert given.steps_per_epoch == pytest.approx(1000 / 6)
