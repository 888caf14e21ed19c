"""A classification's figures equal scikit-learn's, and its sentences say no more than the figures show."""

from __future__ import annotations

import builtins
import json
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from gpt2simple.errors import BackendError, CheckpointError, DataError
from gpt2simple.evaluation.classification.baselines import Baseline
from gpt2simple.evaluation.classification.metrics import (
    ClassificationResult,
    classification_result,
    require_scikit_learn,
    wilson,
)

NAMES = ["a", "b", "c"]
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1])
PROBABILITIES = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.1, 0.85, 0.05],
        [0.2, 0.6, 0.2],
        [0.45, 0.45, 0.1],  # a tie: the first
        [0.3, 0.3, 0.4],
        [0.95, 0.025, 0.025],
        [0.35, 0.33, 0.32],
        [0.05, 0.95, 0.0],
    ]
)
PREDICTED = [0, 1, 1, 0, 2, 0, 0, 1]


def result(
    probabilities: np.ndarray = PROBABILITIES, labels: Any = LABELS, names: Any = NAMES, **about: Any
) -> ClassificationResult:
    return classification_result(probabilities, labels, names, **{"model": "small", "part": "the test part", **about})


def of_share(correct: int, texts: int, confidence: float, **about: Any) -> ClassificationResult:
    """Two classes, each text predicted as class 0 with the same probability, and so many of them of that class."""
    probabilities = np.tile([confidence, 1 - confidence], (texts, 1))
    return result(probabilities, [0] * correct + [1] * (texts - correct), ["yes", "no"], **about)


def baseline(predictions: list[int], name: str = "bag of words", note: str = "") -> Baseline:
    return Baseline(
        name=name, accuracy=0.5, interval=wilson(4, 8), f1=0.4, log_loss=0.7, train_texts=1_234,
        predictions=tuple(predictions), note=note,
    )  # fmt: skip


def test_the_figures_are_those_of_scikit_learn() -> None:
    found = result()
    assert found.texts == 8
    assert found.accuracy == metrics.accuracy_score(LABELS, PREDICTED) == 5 / 8
    assert found.interval == wilson(5, 8)
    macro = {"average": "macro", "zero_division": 0}
    assert found.precision == metrics.precision_score(LABELS, PREDICTED, **macro)
    assert found.recall == metrics.recall_score(LABELS, PREDICTED, **macro)
    assert found.f1 == metrics.f1_score(LABELS, PREDICTED, **macro)
    assert found.log_loss == metrics.log_loss(LABELS, PROBABILITIES)
    by_class = metrics.precision_recall_fscore_support(LABELS, PREDICTED, zero_division=0)
    assert [(c.precision, c.recall, c.f1, c.texts) for c in found.classes] == list(zip(*by_class, strict=True))
    assert [one.name for one in found.classes] == NAMES
    assert found.confusion == ((2, 1, 0), (1, 2, 0), (1, 0, 1))


def test_a_class_without_texts_is_in_the_table_and_in_no_mean() -> None:
    found = result(PROBABILITIES[:4, :2] / PROBABILITIES[:4, :2].sum(1, keepdims=True), LABELS[:4], ["a", "b"])
    wider = result(np.pad(PROBABILITIES[:4, :2], ((0, 0), (0, 1))) / PROBABILITIES[:4, :2].sum(1, keepdims=True),
                   LABELS[:4])  # fmt: skip
    assert (wider.precision, wider.recall, wider.f1) == (found.precision, found.recall, found.f1)
    assert (wider.classes[2].texts, wider.classes[2].recall) == (0, 0.0)
    assert wider.notes() == ("No text here is of c: the figures say nothing of how well it is recognised.",)
    assert found.notes() == ()


def test_probabilities_of_32_bits_sum_to_one_only_nearly_and_nobody_is_warned() -> None:
    rows = np.exp(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32))
    rows /= rows.sum(1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = result(rows, np.arange(500) % 3)
    wide = rows.astype(np.float64)
    assert found.log_loss == metrics.log_loss(np.arange(500) % 3, wide / wide.sum(1, keepdims=True))


def test_the_calibration_error_by_hand() -> None:
    found = result()
    # Probabilities of the predicted classes: 0.35 | 0.4, 0.45 | 0.6 | 0.7 | 0.85 | 0.95, 0.95; three are wrong.
    assert [(round(mean, 9), share, texts) for mean, share, texts in found.calibration_bins] == [
        (0.35, 1.0, 1), (0.425, 0.5, 2), (0.6, 1.0, 1), (0.7, 1.0, 1), (0.85, 0.0, 1), (0.95, 0.5, 2),
    ]  # fmt: skip
    distances = 0.65 + 2 * 0.075 + 0.4 + 0.3 + 0.85 + 2 * 0.45
    assert found.calibration_error == pytest.approx(distances / 8, abs=1e-12)
    certain = of_share(3, 4, 1.0)
    assert certain.calibration_bins == ((1.0, 0.75, 4),)
    assert certain.calibration_error == 0.25


def test_mistakes_are_the_most_confident_first() -> None:
    found = result(texts=[f"text {i}" for i in range(8)]).mistakes
    assert [(m.text, m.label, m.predicted, m.probability) for m in found] == [
        ("text 5", "c", "a", 0.95), ("text 1", "a", "b", 0.85), ("text 3", "b", "a", 0.45),
    ]  # fmt: skip
    assert [m.text for m in result(texts=list("01234567"), most_mistakes=2).mistakes] == ["5", "1"]
    assert result().mistakes == ()
    alike = result(np.tile([0.8, 0.2], (5, 1)), [0, 0, 1, 1, 1], ["yes", "no"], texts=list("abcde")).mistakes
    assert [m.text for m in alike] == ["c", "d", "e"], "of equally confident ones the earlier"


@pytest.mark.parametrize(
    ("correct", "texts", "confidence", "says"),
    [
        (800, 1000, 0.99, "too high by 19.0 points on average."),
        (900, 1000, 0.7, "too low by 20.0 points on average."),
        (800, 1000, 0.81, "chance alone may make this difference."),
        (49, 50, 0.999, "chance alone may make this difference."),  # one mistake in 50 is no evidence
        (20, 49, 0.99, "of 49 texts it cannot be told"),
        (990, 1000, 1.0, "too high by 1.0 points on average."),
    ],
)
def test_calibration_is_judged_only_on_evidence(correct: int, texts: int, confidence: float, says: str) -> None:
    sentences = of_share(correct, texts, confidence).calibration()
    assert says in sentences
    assert ("would give about" in sentences) == (texts >= 50)


def test_the_calibration_error_that_chance_makes_is_that_of_a_simulation() -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.uniform(0.5, 1.0, 400)
    rows = np.stack([probabilities, 1 - probabilities], axis=1)
    runs = [result(rows, (draw.random(400) > probabilities).astype(int), ["a", "b"]) for _ in range(200)]
    mean = np.mean([run.calibration_error for run in runs])
    said = float(runs[0].calibration().split("give about ")[1].split()[0])
    assert said == pytest.approx(mean, rel=0.08)


def test_the_summary_has_the_baselines_with_their_intervals_and_one_conclusion() -> None:
    majority = baseline([0] * 8, "majority class", note="A note.")
    found = result(baselines=[majority, baseline([1, 1, 0, 0, 0, 0, 1, 0])], truncated=3)
    text = found.summary()
    assert text.startswith("small on the test part: 8 texts, 3 of them read in part\n")
    assert "accuracy           62.5% (95% interval: 30.6% to 86.3%)" in text
    assert "calibration error  0.406 (expected, 10 bins of equal width)" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  bag of words")]
    assert line.split() == ["bag", "of", "words", "50.0%", "21.5%", "to", "78.5%", "0.400", "0.7000", "1,234"]
    assert (
        "\nWhether the model is better than the bag of words cannot be told: only the model classified 5 texts" in text
    )
    assert "Whether the model is better than always naming the majority class cannot be told: only" in text
    assert text.endswith("A note.")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_a_summary_has_room_for_many_classes_and_odd_names() -> None:
    names = ["two\nlines", "x" * 99, "a, b", *map(str, range(5000 - 3))]
    probabilities = np.full((2, 5000), 1 / 5000)
    found = result(probabilities, np.array([0, 4999]), names)
    summary = found.summary()
    assert len(summary.splitlines()) < 60
    assert max(map(len, summary.splitlines())) < 1000
    for text in ("  'two\\nlines'  ", "xx...xx", "  a, b ", "  and 4,960 more classes", " or 4,958 more classes: the"):
        assert text in summary


def test_a_baseline_that_is_beaten_takes_no_room_in_the_conclusion() -> None:
    wrong, right = [1] * 40, [0] * 40
    found = of_share(40, 40, 0.9, baselines=[baseline(wrong, "majority class"), baseline(right)])
    assert [one.outcome for one in found.comparisons] == ["better", "cannot say"]
    assert "majority" not in found.conclusion()
    other = of_share(40, 40, 0.9, baselines=[baseline(wrong, "majority class")])
    assert other.conclusion().startswith("The model is better than always naming the majority class: only the model")
    assert "no simple model to compare with" in of_share(40, 40, 0.9).conclusion()


def test_json_is_plain_and_has_no_predictions() -> None:
    found = result(baselines=[baseline([0] * 8)], texts=list("01234567"))
    values = found.to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["confusion"] == [[2, 1, 0], [1, 2, 0], [1, 0, 1]]
    assert values["interval"] == {"low": wilson(5, 8).low, "high": wilson(5, 8).high}
    assert values["baselines"][0].keys() == {
        "name", "accuracy", "interval", "f1", "log_loss", "train_texts", "note",
    }  # fmt: skip
    assert values["comparisons"][0]["outcome"] == "cannot say"
    assert found.baselines[0].predictions == (0,) * 8, "the result keeps them"


def test_a_notebook_gets_tables_with_escaped_names() -> None:
    html = result(names=["<b>", "b", "c"], baselines=[baseline([0] * 8)])._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "bag of words" in html


@pytest.mark.parametrize(
    ("probabilities", "labels", "names", "about", "error"),
    [
        (np.zeros((0, 3)), [], NAMES, {}, DataError),
        (np.ones((2, 1)), [0, 0], ["a"], {}, DataError),
        (np.array([[np.nan, 0.5, 0.5]]), [0], NAMES, {}, CheckpointError),
        (PROBABILITIES, LABELS[:3], NAMES, {}, ValueError),
        (PROBABILITIES, LABELS + 1, NAMES, {}, ValueError),
        (PROBABILITIES * 2, LABELS, NAMES, {}, ValueError),
        (PROBABILITIES, LABELS, NAMES, {"texts": ["one"]}, ValueError),
        (PROBABILITIES, LABELS, NAMES, {"baselines": [baseline([0])]}, ValueError),
    ],
)
def test_what_cannot_be_judged_is_refused(
    probabilities: np.ndarray, labels: Any, names: list[str], about: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        result(probabilities, labels, names, **about)


def test_without_scikit_learn_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_scikit_learn()
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        BackendError, match=r"not installed, and classifying texts needs it.*`pip install scikit-learn`"
    ):
        result()


def test_a_scikit_learn_that_is_broken_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def broken(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError("undefined symbol", name="scipy.linalg")
        return importing(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(BackendError, match=r"could not be imported \(undefined symbol\).*--force-reinstall"):
        require_scikit_learn()
