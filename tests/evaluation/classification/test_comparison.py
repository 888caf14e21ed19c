"""Several classifiers side by side: the best is called better only where a test that allows for the others shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.evaluation.classification.baselines import baselines
from gpt2simple.evaluation.classification.comparison import ClassifierRow, CompareClassifiersResult
from gpt2simple.evaluation.classification.metrics import classification_result
from gpt2simple.runs.figure import to_png
from gpt2simple.storage.contents import json_text, parse_json

TEXTS = 200


def row(name: str, wrong: Sequence[int], *, words: bool = True, sure: float = 0.8, **about: Any) -> ClassifierRow:
    """A model that is wrong about these of 200 texts; the bag of words about half of them."""
    labels = np.arange(TEXTS) % 2  # [texts]
    predicted = labels.copy()
    predicted[list(wrong)] ^= 1
    probabilities = np.where(np.eye(2, dtype=bool)[predicted], sure, 1 - sure)  # [texts, classes]
    train = ["good film", "bad film"] * 5 if words else ["+", "-"] * 5
    simple = baselines(train, [1, 0] * 5, ["film"] * TEXTS, labels.tolist(), ["bad", "good"])
    found = classification_result(probabilities, labels, ["bad", "good"], model=name, part="the test part",
                                  truncated=3, baselines=simple)  # fmt: skip
    facts: dict[str, Any] = {
        "model_name": name, "run_name": f"compare-{name}", "parameters": 10, "steps": 40, "best_step": 20,
        "verdict": "Overfitted", "seconds": 2.0, "memory_bytes": None, "learning_rate": 5e-5, "default_rate": False,
        "validation_accuracy": 0.9, "validation_loss": 0.3, "evaluations": ((0, 0.7, 0.5), (20, 0.3, 0.9)),
    }  # fmt: skip
    return ClassifierRow.of(found, **facts, **about)


def compared(*rows: ClassifierRow) -> CompareClassifiersResult:
    return CompareClassifiersResult(
        rows=rows, text="200 texts.", budget="40 steps.", path=Path("compare.html"), json_path=Path("compare.json"),
        picture=Path("compare.png"), asked={}, chosen_by=False,
    )  # fmt: skip


def test_a_model_that_is_clearly_better_is_called_so() -> None:
    found = compared(row("small", range(60)), row("large", range(10)))
    assert found.best.model_name == "large"
    assert (
        found.conclusion() == "large has the highest accuracy on the test part: 95.0% (95% interval: 91.0% to 97.3%)."
    )
    assert found.notes()[:2] == (
        "large is better than small: only large classified 50 texts correctly, and only small 0 (McNemar's exact test, "
        "p < 0.0001).",
        "large is better than the bag of words: only large classified 95 texts correctly, and only the bag of words 5 "
        "(McNemar's exact test, p < 0.0001).",
    )
    assert found.box == ""
    cells = found.tables()[0].rows
    assert [cell[-1] for cell in cells] == [
        "large: worse (0 to 50, p < 0.0001)", "small: better (50 to 0, p < 0.0001)", "", "",
    ]  # fmt: skip
    assert [cell[0] for cell in cells] == ["small", "large", "majority class", "bag of words"]
    assert cells[2][1] == "50.0%"


def test_a_small_difference_is_not_called_one_and_several_tests_count() -> None:
    two = compared(row("small", range(11)), row("large", [0, 1, 20]))
    assert two.notes()[0].startswith("large is better than small: only large classified 9 texts correctly, and only")
    three = compared(*two.rows, row("other", range(30)))
    assert three.notes()[0].startswith("small is as good, as far as these texts show: ")
    assert three.box == "cannot_say"
    factors = "by 3 between two models and by 3 beside the bag of words."
    assert f"As there are several tests, p is multiplied (Bonferroni): {factors}" in three.notes()


def test_equal_accuracies_are_called_equal_and_the_lower_log_loss_is_first() -> None:
    found = compared(row("one", [1, 2]), row("two", [3, 4], sure=0.95))
    assert found.best.model_name == "two"
    assert found.conclusion().startswith("two and one have the same accuracy on the test part, 99.0% (95% interval: ")
    assert found.notes()[0].startswith("Whether two is better than one cannot be told: ")


def test_what_else_there_is_to_know_is_said() -> None:
    rows = [replace(row(name, [1], words=False), best_step=None, evaluations=()) for name in ("one", "two")]
    found = replace(compared(*rows), chosen_by=True)
    notes = " ".join(found.notes())
    assert "There is no test part. The best step of each model was chosen by the validation part" in notes
    assert "one read only the beginning of 3 texts." in notes
    assert "There is no bag of words to compare with" in notes
    assert "Bonferroni" not in notes, "there is one test"
    assert [cells[5] for cells in found.tables()[0].rows] == ["", "", ""]
    assert to_png(found.figure()).startswith(b"\x89PNG")


def test_tables_and_json_hold_every_figure() -> None:
    found = compared(row("small", range(60)), row("large", range(10)))
    assert found.tables()[1].rows[0] == [
        "small", "10", "5e-05", "20", "90.0%", "0.300", "2 s", "unknown", "Overfitted",
    ]  # fmt: skip
    assert found.classes_table().heads == ("class", "texts", "small", "large")
    assert found.classes_table().rows[1] == ("good", "100", "0.700", "0.950")
    values = parse_json(json_text(found.to_json()))
    assert values["best"] == "large"
    assert values["rows"][0]["interval"] == asdict(found.rows[0].interval)
    assert values["rows"][0]["beside_best_other"]["outcome"] == "worse"
    assert values["rows"][1]["beside_words"]["outcome"] == "better"
    assert [one["accuracy"] for one in values["baselines"]] == [0.5, 0.5]
    for line in ("bag of words", "small", "large is better than small", "Page: compare.html; numbers: compare.json."):
        assert line in found.summary()


def test_a_row_is_read_as_it_was_saved_and_of_other_types_it_is_refused() -> None:
    one = row("small", [3, 5])
    values = parse_json(json_text(asdict(one)))
    assert ClassifierRow.from_json(values) == one
    for name, value in (("wrong", "x"), ("accuracy", None), ("texts", 1.5)):
        with pytest.raises(ValueError, match=f"{name} is of another type"):
            ClassifierRow.from_json({**values, name: value})


def test_the_figure_shows_each_accuracy_and_each_curve() -> None:
    above, below = compared(row("small", range(60)), row("$large$", range(10))).figure().axes
    assert [label.get_text() for label in above.get_yticklabels()] == [
        "small", "$large$", "majority class", "bag of words",
    ]  # fmt: skip
    assert [line.get_xydata().tolist() for line in below.lines] == [[[0, 0.7], [20, 0.3]]] * 2
