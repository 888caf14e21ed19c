"""From settings to numbers of steps, each expected number worked out by hand."""

from fractions import Fraction

import numpy as np
import pytest

from gpt2simple.data.batches import TrainingWindows
from gpt2simple.data.corpus import TokenSet
from gpt2simple.errors import SettingsError
from gpt2simple.settings import ClassifierSettings, FinetuneSettings
from gpt2simple.training.plan import ENDLESS, StepPlan, plan_steps


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
        ({"epochs": 1, "batch_size": 32}, 47, 10, 2),  # rounded up: one step would read 68 % of the text
        ({"epochs": 1, "batch_size": 4, "accumulate_gradients": 8}, 65, 10, 3),
        ({"epochs": 3, "batch_size": 32}, 47, 10, 5),  # 4.4 steps
        ({"epochs": 1.1}, 100, 10, 110),  # 110.00000000000001 as floats
        ({}, 1000, 10, None),
        ({}, 1000, 0, 100),  # nothing held out: no patience to stop by
        ({"steps": 7}, 1000, 0, 7),
    ],
)
def test_where_the_run_ends(settings, windows, held_out, last_step):
    assert plan(windows, held_out, **settings).last_step == last_step


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_pass_reads_every_token(epochs):
    text = TokenSet(np.arange(47 * 8 - 3), [(0, 47 * 8 - 3)])
    windows = TrainingWindows(text, window=8, batch_size=32, seed=3)
    assert windows.windows_per_epoch == 47
    seen = np.zeros(windows.tokens_per_epoch + 1, dtype=int)
    for number in range(plan(47, epochs=epochs, batch_size=32).last_step):
        batch = windows.batch(number)
        np.add.at(seen, batch.targets[batch.loss_mask > 0], 1)
    assert seen[1:].min() >= epochs


def test_a_rate_that_falls_to_0_at_the_last_step_needs_one():
    """It was constant, without a word."""
    for settings in ({"schedule": "linear"}, {"schedule": "cosine", "steps": ENDLESS}):
        with pytest.raises(SettingsError, match=r'no last step\. Give steps or epochs, or schedule="constant"\.$'):
            plan(**settings)
    assert plan(schedule="linear", epochs=1).last_step == 1000
    assert plan(held_out=0, schedule="linear").last_step == 100


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
        ({"eval_every": "epoch", "batch_size": 4}, 403, 10, Fraction(403, 4)),
        ({"eval_every": "epoch", "batch_size": 5, "accumulate_gradients": 4}, 3, 1, Fraction(3, 20)),
    ],
)
def test_how_often_it_looks(settings, windows, held_out, every):
    assert plan(windows, held_out, **settings).eval_every == every


def looks_of(every, until, **changes):
    made = StepPlan(
        last_step=until, eval_every=every, save_every=None, sample_every=0, patience=3, steps_per_epoch=1.0, **changes
    )
    return made, [step for step in range(until + 1) if made.evaluates_at(step)]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (5, [5, 10, 15, 20]),
        (1, list(range(1, 21))),
        (25, []),
        (Fraction(5, 2), [3, 5, 8, 10, 13, 15, 18, 20]),  # five windows, two in a step
        (Fraction(7, 3), [3, 5, 7, 10, 12, 14, 17, 19]),  # in floats, three times 7/3 are a little more than 7
        (Fraction(20, 3), [7, 14, 20]),
        (Fraction(3, 4), list(range(1, 21))),  # every step ends a pass, or two
        (Fraction(6, 1), [6, 12, 18]),
    ],
)
def test_the_steps_that_end_in_a_look(every, expected):
    made, looks = looks_of(every, 20)
    assert looks == expected
    assert [made.evaluations_until(step) for step in range(21)] == [
        sum(look <= step for look in looks) for step in range(21)
    ]


@pytest.mark.parametrize("windows", [7, 10, 403, 1000])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7])
def test_each_pass_over_the_text_ends_in_a_look_without_drifting(windows, batch_size):
    made = plan(windows, eval_every="epoch", batch_size=batch_size)
    passes = [step * batch_size // windows for step in range(3000)]
    ends = [step for step in range(1, 3000) if passes[step] > passes[step - 1]]
    assert [step for step in range(3000) if made.evaluates_at(step)] == ends


@pytest.mark.parametrize(
    ("every", "step", "end", "expected"),
    [
        (5, 0, 20, [(5, 4)]),
        (5, 0, 12, [(5, 2), (2, 1)]),
        (5, 3, 22, [(2, 1), (5, 3), (2, 1)]),  # resumed between two looks
        (5, 3, 4, [(1, 1)]),
        (50, 0, 12, [(12, 1)]),
        (5, 12, 12, []),
        (Fraction(5, 2), 0, 9, [(3, 1), (2, 1), (3, 1), (1, 1)]),
        (Fraction(5, 2), 4, 8, [(1, 1), (3, 1)]),
    ],
)
def test_stretches_lead_from_look_to_look(every, step, end, expected):
    made, _ = looks_of(every, end)
    assert list(made.keras_epochs(step)) == expected


def test_a_run_without_an_end_is_one_stretch_after_the_other():
    made = plan(eval_every=4)
    assert made.last_step is None
    assert list(made.keras_epochs(8)) == [(4, (ENDLESS - 8) // 4)]


def test_the_rest():
    default = plan()
    assert (default.save_every, default.sample_every, default.patience) == (None, 0, 3)
    given = plan(save_every=5, early_stopping_patience=9, batch_size=3, accumulate_gradients=2)
    assert (given.save_every, given.patience) == (5, 9)
    assert plan(steps=7).patience is None, "a run with a number of steps takes them all"
    assert plan_steps(ClassifierSettings(early_stopping_patience=2), 100, 10, sample_every=4).patience == 2
    assert plan_steps(ClassifierSettings(), 100, 10, sample_every=4).sample_every == 4
    assert given.steps_per_epoch == pytest.approx(1000 / 6)
