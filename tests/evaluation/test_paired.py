"""Whether two models differ on the same pairs: the test, and how often it errs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gpt2simple.evaluation.paired import PairedDifference, randomisation_p


@pytest.mark.parametrize("differences", [[1.0, 2, 3, 4, 5, -1], [0.5, -0.25, 0, 0.125, 1, -1, 0.75], [1.0, 1, 1, -1]])
def test_p_is_the_share_of_all_signs_with_a_sum_as_large(differences: list[float]) -> None:
    nonzero = [value for value in differences if value]
    sums = [abs(np.dot(signs, nonzero)) for signs in itertools.product((-1, 1), repeat=len(nonzero))]
    exact = np.mean([value >= abs(sum(nonzero)) - 1e-9 for value in sums])
    assert randomisation_p(np.array(differences)) == pytest.approx(exact, abs=0.015)


def test_p_is_the_same_each_time_and_1_without_a_difference() -> None:
    values = np.random.default_rng(0).normal(0.1, 1.0, 3000)
    assert randomisation_p(values) == randomisation_p(values)
    assert randomisation_p(np.zeros(5)) == 1.0
    assert randomisation_p(np.ones(2000)) == 1 / 10_001


def test_models_that_are_equally_good_are_seldom_called_different() -> None:
    """Of skewed differences too, as losses have them: at most about 5 of 100."""
    draw = np.random.default_rng(1)
    worst = 0.0
    for pairs in (12, 40):
        skewed = draw.exponential(1.0, (300, pairs)) - draw.exponential(1.0, (300, pairs))
        rare = np.where(draw.random((300, pairs)) < 0.9, draw.choice([-1.0, 1.0], (300, pairs)), skewed * 20)
        for values in (skewed, rare):
            worst = max(worst, np.mean([randomisation_p(row, draws=500) < 0.05 for row in values]))
    assert worst < 0.09  # 300 tries of 5 % give at most that


def of(differences: list[float], *, tests: int = 1, lower_is_better: bool = False) -> PairedDifference:
    values = np.array(differences)
    return PairedDifference.of("large", values, np.full(len(values), 2.0), tests=tests, lower_is_better=lower_is_better)


def test_a_clear_difference_is_better_or_worse() -> None:
    found = of([1.0] * 30 + [0.0] * 10)
    assert (found.outcome, found.difference, found.pairs, found.differing) == ("better", 30 / 80, 40, 30)
    assert found.interval is not None
    assert found.interval.low < 30 / 80 < found.interval.high
    assert found.evidence("bits/byte").startswith("+0.375 bits/byte (95% interval: +0.")
    assert found.evidence("bits/byte").endswith("; approximate randomisation test over 40 pairs, p < 0.0001")
    assert found.cell() == "better (+0.375, p < 0.0001)"
    assert of([1.0] * 30, lower_is_better=True).outcome == "worse"
    assert of([-1.0] * 30, lower_is_better=True).outcome == "better"
    assert of([-1.0] * 30).outcome == "worse"


def test_little_evidence_is_no_judgement() -> None:
    few = of([1.0] * 9 + [0.0] * 90)
    assert (few.outcome, few.interval) == ("cannot say", None)
    assert few.evidence("F1") == "their values differ on 9 of 99 pairs, and a judgement needs 10"
    assert few.cell() == "no difference shown (9 pairs differ, too few)"
    enough = of([1.0] * 9 + [-1.0, *[0.0] * 89])
    assert (enough.outcome, enough.interval) == ("better", None)
    mixed = of([1.0, -1.0] * 20)
    assert (mixed.outcome, mixed.p_value) == ("no difference", 1.0)
    assert mixed.cell() == "no difference shown (+0.000, p = 1)"
    assert of([]).outcome == "cannot say"


def test_several_tests_need_more_evidence() -> None:
    values = [1.0] * 9 + [-1.0, -1.0]
    assert of(values).p_value < 0.08
    assert of([1.0] * 10 + [-1.0]).outcome == "better"
    many = of([1.0] * 10 + [-1.0], tests=20)
    assert (many.outcome, many.p_value) == ("no difference", pytest.approx(20 * of([1.0] * 10 + [-1.0]).p_value))
