"""When held-out loss counts as having stopped to fall."""

from __future__ import annotations

from gpt2simple.runs.curves import HeldOutTrend
from tests.helpers.records import evaluation


def test_three_looks_without_a_lower_loss_are_one_too_many() -> None:
    trend = HeldOutTrend([evaluation(10, 3.0, is_best=True), evaluation(20, 3.1, is_best=False)])
    trend.add(evaluation(30, 3.2, is_best=False))
    assert not trend.has_stopped_falling
    trend.add(evaluation(40, 3.1, is_best=False))
    assert trend.has_stopped_falling
    assert (trend.best.step, trend.latest.step) == (10, 40)


def test_a_new_best_starts_the_count_again() -> None:
    trend = HeldOutTrend([evaluation(n, 3.0, is_best=n == 10) for n in (10, 20, 30, 40)])
    trend.add(evaluation(50, 2.9, is_best=True))
    assert not trend.has_stopped_falling
    assert trend.best.step == 50


def test_a_run_that_has_not_looked_has_neither_best_nor_latest() -> None:
    trend = HeldOutTrend()
    assert (trend.best, trend.latest, trend.has_stopped_falling) == (None, None, False)
