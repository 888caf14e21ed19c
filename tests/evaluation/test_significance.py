"""Tests of significance against numbers computed by hand and by SciPy."""

from __future__ import annotations

import pytest

from gpt2simple.evaluation.classification.mcnemar import Comparison
from gpt2simple.evaluation.significance import binomial_p


def test_the_binomial_test_is_the_exact_one() -> None:
    from scipy.stats import binom

    for successes, trials, probability in [(3, 10, 0.5), (0, 7, 0.5), (150, 400, 0.5), (940, 1000, 0.96), (5, 5, 0.9)]:
        tails = binom.cdf(successes, trials, probability), binom.sf(successes - 1, trials, probability)
        expected = min(1.0, 2 * min(tails))
        assert binomial_p(successes, trials, probability) == pytest.approx(expected, rel=1e-8)
    assert binomial_p(1, 10) == pytest.approx(2 * 11 / 1024)
    assert binomial_p(0, 0) == 1.0
    assert (binomial_p(10, 10, 1.0), binomial_p(9, 10, 1.0), binomial_p(0, 10, 0.0)) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("model_only", "baseline_only", "outcome", "sentence"),
    [
        (
            30, 10, "better",
            "The model is better than the bag of words: only the model classified 30 texts correctly, and only the bag "
            "of words 10 (McNemar's exact test, p = 0.0022).",
        ),
        (
            12, 10, "no difference",
            "The bag of words is as good, as far as these texts show: only the model classified 12 texts correctly, "
            "and only the bag of words 10 (McNemar's exact test, p = 0.83).",
        ),
        (
            1_000, 2_000, "worse",
            "The bag of words is better than the model: only the model classified 1,000 texts correctly, and only the "
            "bag of words 2,000 (McNemar's exact test, p < 0.0001).",
        ),
        (
            9, 0, "cannot say",
            "Whether the model is better than the bag of words cannot be told: only the model classified 9 texts "
            "correctly, and only the bag of words 0. Those are 9 discordant pairs, and a judgement needs 10.",
        ),
        (0, 0, "cannot say", None),
        (9, 1, "better", None),  # p = 0.021
        (8, 2, "no difference", None),  # p = 0.109
    ],
)  # fmt: skip
def test_a_model_is_called_better_only_where_the_discordant_pairs_show_it(
    model_only: int, baseline_only: int, outcome: str, sentence: str | None
) -> None:
    found = Comparison.of("bag of words", model_only, baseline_only)
    assert found.outcome == outcome
    if sentence is not None:
        assert found.sentence() == sentence


def test_any_baseline_is_named() -> None:
    assert Comparison.of("majority class", 5, 5).sentence().startswith("Always naming the majority class is as good, ")
    assert "than the baseline my own cannot be told" in Comparison.of("my own", 1, 1).sentence()


@pytest.mark.parametrize(
    ("one_only", "other_only", "tests", "cell", "sentence"),
    [
        (30, 10, 1, "better (30 to 10, p = 0.0022)", "large is better than small: only large classified 30 texts corr"),
        (10, 30, 1, "worse (10 to 30, p = 0.0022)", "small is better than large: only large classified 10 texts corre"),
        (9, 1, 3, "no difference shown (9 to 1, p = 0.064)", "small is as good, as far as these texts show: only larg"),
        (3, 1, 1, "no difference shown (3 to 1, too few)", "Whether large is better than small cannot be told: only l"),
        (
            12,
            10,
            9,
            "no difference shown (12 to 10, p = 1)",
            "small is as good, as far as these texts show: only large",
        ),
    ],
)
def test_of_several_models_each_is_named_and_the_number_of_tests_counts(
    one_only: int, other_only: int, tests: int, cell: str, sentence: str
) -> None:
    found = Comparison.of("small", one_only, other_only, tests=tests)
    assert found.cell() == cell
    assert found.sentence("large", "small").startswith(sentence)
    assert f"and only small {other_only}" in found.sentence("large", "small")
