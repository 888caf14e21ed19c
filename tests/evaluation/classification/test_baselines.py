"""Simple models: what they reach where that is known, and what becomes of them where they cannot be trained."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpt2simple.errors import DataError
from gpt2simple.evaluation.classification.baselines import baselines, control
from gpt2simple.evaluation.classification.metrics import wilson

NAMES = ["bad", "good"]
GOOD = [f"a fine film number{i} which I like" for i in range(12)]
BAD = [f"a dull film number{i} which I hate" for i in range(6)]
TEXTS, LABELS = GOOD + BAD, [1] * 12 + [0] * 6
TEST_TEXTS, TEST_LABELS = ["so dull", "I hate it", "fine", "like it , fine"], [0, 0, 1, 1]


def test_the_majority_class_of_an_unbalanced_set() -> None:
    majority = baselines(TEXTS, LABELS, TEST_TEXTS, [1, 1, 1, 0], NAMES)[0]
    assert majority.name == "majority class"
    assert majority.predictions == (1, 1, 1, 1)
    assert majority.accuracy == 0.75
    assert majority.interval == wilson(3, 4)
    assert majority.f1 == pytest.approx((0 + 6 / 7) / 2)
    assert majority.log_loss == pytest.approx(-(3 * math.log(12 / 18) + math.log(6 / 18)) / 4)
    assert majority.train_texts == 18


def test_the_bag_of_words_tells_texts_apart_by_their_words_and_is_the_same_each_time() -> None:
    majority, words = baselines(TEXTS, LABELS, TEST_TEXTS, TEST_LABELS, NAMES)
    assert words.name == "bag of words"
    assert (majority.accuracy, words.accuracy, words.f1) == (0.5, 1.0, 1.0)
    assert words.predictions == (0, 0, 1, 1)
    assert (majority.note, words.note) == ("", "")
    assert baselines(TEXTS, LABELS, TEST_TEXTS, TEST_LABELS, NAMES) == (majority, words)


def test_the_bag_of_words_knows_pairs_and_words_of_one_letter() -> None:
    pairs = ["not good", "good", "bad", "not bad"] * 5
    by_pair = baselines(pairs, [0, 1, 0, 1] * 5, ["not good", "not bad"], [0, 1], NAMES)
    assert by_pair[1].accuracy == 1.0
    letters = baselines(["x", "y"] * 5, [0, 1] * 5, ["y", "x"], [1, 0], NAMES)
    assert letters[1].accuracy == 1.0


@pytest.mark.parametrize(
    ("texts", "labels", "why"),
    [
        (["...", "!", "", "?"], [0, 1, 0, 1], "the training texts hold no word"),
        (["good", "better"], [1, 1], "the training texts are all of one class"),
        (["good"], [1], "the training texts are all of one class"),
    ],
)
def test_a_bag_of_words_that_cannot_be_trained_is_left_out_with_the_reason(
    texts: list[str], labels: list[int], why: str
) -> None:
    (majority,) = baselines(texts, labels, TEST_TEXTS, TEST_LABELS, NAMES)
    assert majority.note == f"There is no bag of words to compare with: {why}."
    assert majority.accuracy == 0.5


def test_a_bag_of_words_that_would_take_too_much_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "gpt2simple.evaluation.classification.baselines"
    monkeypatch.setattr(f"{module}._MOST_WEIGHTS", 20)
    _, words = baselines(TEXTS, LABELS, TEST_TEXTS, TEST_LABELS, NAMES)
    assert words.note == (
        "The bag of words knows only the 10 most frequent words and pairs of words; it may be better than this."
    )
    monkeypatch.setattr(f"{module}._MOST_PRODUCTS", 1)
    monkeypatch.setattr(f"{module}._FEWEST_ITERATIONS", 2)
    _, words = baselines(TEXTS, LABELS, TEST_TEXTS, TEST_LABELS, NAMES)
    assert "pairs of words and was stopped after 2 iterations; it may" in words.note


def test_two_texts_and_unknown_words_are_enough() -> None:
    found = baselines(["good", "bad"], [1, 0], ["unheard of", "..."], [0, 1], NAMES)
    assert [one.name for one in found] == ["majority class", "bag of words"]
    assert found[1].accuracy == 0.5


def test_a_class_that_was_not_trained_on_is_never_predicted() -> None:
    names = ["absent", "bad", "good"]
    shifted = [label + 1 for label in LABELS]
    majority, words = baselines(TEXTS, shifted, [*TEST_TEXTS, "other"], [1, 1, 2, 2, 0], names)
    assert words.predictions[:4] == (1, 1, 2, 2)
    assert 0 not in words.predictions
    assert majority.predictions == (2,) * 5
    assert math.isfinite(words.log_loss)


def test_without_texts_to_train_or_to_test_on() -> None:
    assert baselines([], [], TEST_TEXTS, TEST_LABELS, NAMES) == ()
    with pytest.raises(DataError, match="no text to test"):
        baselines(TEXTS, LABELS, [], [], NAMES)


def test_the_control_has_the_figures_of_its_probabilities() -> None:
    found = control(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), NAMES, train_texts=7)
    assert (found.name, found.accuracy, found.train_texts) == ("random weights", 2 / 3, 7)
    assert found.predictions == (0, 1, 0)
    assert found.log_loss == pytest.approx(-math.log(0.9 * 0.8 * 0.4) / 3)
