"""Intervals against numbers computed by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2simple.evaluation.intervals import FEWEST_TEXTS, bootstrap, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n); at p = 1/2: 1/2 ± z / (2 √(n + z²)).
        (50, 100, 0.4038315, 0.5961685),
        (780, 1000, 0.7532805, 0.8045765),
        (9, 10, 0.5958500, 0.9821238),
        (0, 10, 0.0, 0.2775328),  # z² / (n + z²)
        (10, 10, 0.7224672, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_a_share(correct: int, total: int, low: float, high: float) -> None:
    found = wilson(correct, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_the_ends_of_an_interval_are_exact_where_none_or_all_are_correct() -> None:
    for total in range(1, 300):
        assert wilson(0, total).low == 0.0
        assert wilson(total, total).high == 1.0


@pytest.mark.parametrize(("correct", "total"), [(-1, 10), (11, 10)])
def test_more_than_all_is_no_share(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(correct, total)


@pytest.mark.slow
def test_the_interval_holds_the_true_share_95_times_of_100() -> None:
    """At single shares and totals the coverage moves by a point or two, as that of any interval of counts does."""
    draw = np.random.default_rng(0)
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        for total in (100, 200, 500, 1000):
            counts, times = np.unique(draw.binomial(total, share, 20_000), return_counts=True)
            bounds = [wilson(int(count), total) for count in counts]
            inside = sum(n for n, b in zip(times, bounds, strict=True) if b.low <= share <= b.high)
            assert 0.93 <= inside / 20_000 <= 0.97, (share, total)


def mean_and_ratio(sums: np.ndarray, texts: int) -> np.ndarray:
    return np.array([sums[0] / texts, sums[0] / sums[1]])


def test_resampled_intervals_are_those_of_a_mean_and_of_a_ratio() -> None:
    draw = np.random.default_rng(1)
    values = np.stack([draw.normal(5.0, 2.0, 400), draw.uniform(0.5, 1.5, 400)], axis=1)
    mean, ratio = bootstrap(values, lambda sums: mean_and_ratio(sums, 400), resamples=4000)
    middle, reach = values[:, 0].mean(), 1.96 * values[:, 0].std() / 20
    assert (mean.low, mean.high) == pytest.approx((middle - reach, middle + reach), abs=0.05 * reach)
    # The delta method: the spread of (x - r y) / mean of y.
    r, y = values[:, 0].sum() / values[:, 1].sum(), values[:, 1].mean()
    reach = 1.96 * (values[:, 0] - r * values[:, 1]).std() / y / 20
    assert (ratio.low, ratio.high) == pytest.approx((r - reach, r + reach), abs=0.1 * reach)


def test_resampled_intervals_depend_on_the_seed_alone() -> None:
    values = np.random.default_rng(0).random((50, 1))
    one, again, other = (bootstrap(values, lambda sums: sums / 50, resamples=100, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one != other
    assert bootstrap(np.ones((9, 1)), lambda sums: sums / 9, resamples=20)[0].text(".1f") == "1.0 to 1.0"


@pytest.mark.slow
@pytest.mark.parametrize(("texts", "least"), [(FEWEST_TEXTS, 0.9), (100, 0.93), (400, 0.935)])
def test_resampled_intervals_hold_the_true_mean_95_times_of_100(texts: int, least: float) -> None:
    """Scores as outputs have them: three in ten are 0, three are 1, the others lie between."""
    draw = np.random.default_rng(0)
    inside = 0
    for number in range(2000):
        kind = draw.random((texts, 1))
        scores = np.where(kind < 0.3, 0.0, np.where(kind < 0.6, 1.0, draw.beta(2, 2, (texts, 1))))
        found = bootstrap(scores, lambda sums: sums / texts, resamples=400, seed=number)[0]
        inside += found.low <= 0.5 <= found.high
    assert least <= inside / 2000 <= 0.97
