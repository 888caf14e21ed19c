"""Classifiers side by side: the same texts and seed for each, nothing done twice, and no more said than was shown."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.api import session
from gpt2simple.api.comparison import SplitComparison
from gpt2simple.backend.keras import keras
from gpt2simple.cli.group import cli
from gpt2simple.errors import BackendError, DataError, RunError, SettingsError
from gpt2simple.evaluation.classification.comparison import CompareClassifiersResult
from gpt2simple.gpt2.hub.fetch import Fetcher
from tests.api.test_classifier import reviews
from tests.helpers.small_runs import work_in, write_small_model

QUICK: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-2, "epochs": 2, "seed": 3, "precision": "float32"}
MODELS = ["one", "two"]
HOSTILE = "</td><script>alert(1)</script>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers")
    for number, name in enumerate(MODELS):
        write_small_model(folder / "models" / name, seed=number)
    labels = {"good": HOSTILE, "bad": "bad"}
    rows = [f'"{text}","{labels[label]}"' for text, label in reviews()]
    (folder / "reviews.csv").write_text("\n".join(["text,stars", *rows]), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def compared(dataset: Any = "reviews.csv", models: list[str] = MODELS, **changed: Any) -> CompareClassifiersResult:
    return gpt2simple.compare_classifiers(dataset, models, **{"label_column": "stars", **QUICK, **changed})


@pytest.fixture(scope="module")
def result(place: Path) -> CompareClassifiersResult:
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, place)
        return compared()


def test_each_model_has_the_same_texts_and_is_tested_on_the_same_others(
    place: Path, result: CompareClassifiersResult
) -> None:
    runs = [json.loads((place / "checkpoint" / row.run_name / "run.json").read_text()) for row in result.rows]
    assert [row.run_name for row in result.rows] == ["compare-classifiers-one", "compare-classifiers-two"]
    for name in ("fingerprint", "summary"):
        assert runs[0]["data"][name] == runs[1]["data"][name]
    assert [run["seed"] for run in runs] == [3, 3]
    for row in result.rows:
        assert (row.texts, row.part, row.steps) == (12, "the test part", 24)
        assert row.accuracy == pytest.approx(1 - len(row.wrong) / 12)
        assert row.seconds > 0
        assert row.memory_bytes is not None
        assert row.memory_bytes > 1e8
        assert row.evaluations[-1][0] == 24
        best = next(each for each in row.evaluations if each[0] == row.best_step)
        assert (row.validation_loss, row.validation_accuracy) == pytest.approx(best[1:])
    report: Any = gpt2simple.evaluate("reviews.csv", run_name=result.rows[1].run_name, part="test")
    assert (report.accuracy, report.wrong) == (result.rows[1].accuracy, result.rows[1].wrong)
    assert [one.name for one in result.rows[0].baselines] == ["majority class", "bag of words"]
    assert [one.accuracy for one in report.baselines] == [one.accuracy for one in result.rows[1].baselines]


def test_tables_a_figure_and_a_page_are_written(result: CompareClassifiersResult) -> None:
    shown = result.summary()
    for text in (
        "Texts: 120 texts in 2 classes, of which 96 to train on and 12 in the test part; the same for all.",
        "Each model: 24 steps of up to 8 texts, 2 passes over the training texts, up to 32 tokens of each text, "
        "learning rate 0.01, seed 3.",
        "majority class", "bag of words", result.rows[0].interval.text(), result.conclusion(), str(result.path),
    ):  # fmt: skip
        assert text in shown
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    page = result.path.read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert page.count("<td>bag of words</td>") == 1
    assert "By class" in page
    values = json.loads(result.json_path.read_text(encoding="utf-8"))
    assert values["best"] in MODELS
    assert [one["name"] for one in values["baselines"]] == ["majority class", "bag of words"]
    assert values["rows"][0]["accuracy"] == result.rows[0].accuracy
    assert values["rows"][0]["interval"] == dataclasses.asdict(result.rows[0].interval)
    assert values["rows"][0]["beside_best_other"]["baseline"] == "two"
    assert "<table>" in result._repr_html_()


def test_hostile_labels_are_shown_as_text(result: CompareClassifiersResult) -> None:
    page = result.path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page


def test_what_is_done_is_not_done_again_and_comes_out_equal(
    result: CompareClassifiersResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SplitComparison, "session", None)
    assert compared() == result


@pytest.mark.parametrize("damage", ["torn", "changed", "another type"])
def test_a_damaged_result_is_noticed_and_measured_again(
    place: Path, result: CompareClassifiersResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "damaged"))
    kept = Path("checkpoint/compare-classifiers/compare-classifiers-two.json")
    text = kept.read_text(encoding="utf-8")
    values = json.loads(text)
    values["row"]["accuracy"] = 0.5 if damage == "changed" else "high"
    kept.write_text(text[:300] if damage == "torn" else json.dumps(values), encoding="utf-8")
    opened, done = SplitComparison.session, []
    monkeypatch.setattr(
        SplitComparison, "session", lambda self, one, seed: done.append(one.label) or opened(self, one, seed)
    )
    again = compared()
    assert done == ["two"]
    same = {"accuracy", "wrong", "best_step", "validation_loss", "evaluations", "verdict"}  # the run was finished
    assert all(getattr(again.rows[1], name) == getattr(result.rows[1], name) for name in same)
    assert again.rows[1].memory_bytes is None, "it was not trained"
    assert json.loads(kept.read_text(encoding="utf-8"))["row"]["accuracy"] == result.rows[1].accuracy


class InterruptsItself(keras.callbacks.Callback):
    """Ctrl-C in the middle of training."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 4:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_ends_the_comparison_and_the_next_call_goes_on(
    place: Path, result: CompareClassifiersResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = session.Session.train
    with monkeypatch.context() as patch:
        patch.setattr(
            session.Session,
            "train",
            lambda self, call: usual(self, dataclasses.replace(call, callbacks=InterruptsItself())),
        )
        with pytest.raises(KeyboardInterrupt):
            compared(name="stopped")
    assert "Interrupted at step 5 of one. The same call continues from there." in capsys.readouterr().err
    assert not (place / "checkpoint/stopped/stopped-one.json").exists()
    assert not (place / "checkpoint/stopped-two").exists()
    again = compared(name="stopped")
    assert [row.steps for row in again.rows] == [24, 24]
    for row, before in zip(again.rows, result.rows, strict=True):
        assert (row.wrong, row.best_step) == (before.wrong, before.best_step)
        assert row.log_loss == pytest.approx(before.log_loss, rel=1e-5)


def test_other_settings_or_texts_under_the_same_name_are_refused_and_replace_nothing(
    result: CompareClassifiersResult,
) -> None:
    before = {path: path.read_bytes() for path in result.path.parent.iterdir()}
    with pytest.raises(
        RunError,
        match=r"was started with epochs=2, learning_rate=0\.01, test_split=0\.1, and this call gives epochs=3\.0, "
        r"learning_rate=None, test_split=0\.2: .*Use the same text and settings to continue it, or another name than "
        r"'compare-classifiers'",
    ):
        compared(epochs=3.0, learning_rate=None, test_split=0.2)
    with pytest.raises(RunError, match=r"started with another text: the results could not"):
        compared(reviews(100), label_column=None)
    with pytest.raises(RunError, match=r"with task='classification', .*, and this call gives task='language modeling'"):
        gpt2simple.compare("reviews.csv", MODELS, name="compare-classifiers", column="text", window=8)
    assert {path: path.read_bytes() for path in result.path.parent.iterdir()} == before


def test_without_a_test_part_the_validation_part_is_used_and_said_to_have_chosen(place: Path) -> None:
    found = compared(iter(reviews(60)), name="validated", test_split=0.0, epochs=1, learning_rate=None)
    assert found.rows[0].part == "the validation part, by which the best step was chosen"
    assert found.rows[0].texts == 6
    assert "There is no test part. The best step of each model was chosen by the validation part" in found.summary()
    assert [cells[2] for cells in found.tables()[1].rows] == ["0.0002 (default)"] * 2
    assert "the default learning rate of its size" in found.budget
    assert [row.accuracy for row in found.rows] == [row.validation_accuracy for row in found.rows]


def test_without_a_validation_part_the_last_step_is_tested(place: Path) -> None:
    found = compared(reviews(60), name="tested", validation_split=0.0, epochs=1)
    assert [row.best_step for row in found.rows] == [None, None]
    assert [cells[3:6] for cells in found.tables()[1].rows] == [["not known; measured: 7", "", ""]] * 2
    assert found.rows[0].verdict == "Not evaluated"
    assert found.path.is_file()


def test_the_command_does_the_same(result: CompareClassifiersResult) -> None:
    words = ["compare-classifiers", "reviews.csv", *MODELS, "--label-column", "stars", "--batch-size", "8"]
    words += ["--learning-rate", "0.01", "--epochs", "2", "--seed", "3", "--precision", "float32"]
    assert CliRunner().invoke(cli, words).stdout == result.summary() + "\n"
    shown = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert shown == json.loads(result.json_path.read_text(encoding="utf-8"))
    done = CliRunner().invoke(cli, ["compare-classifiers", "reviews.csv", "--model-name", "one"])
    assert done.exit_code == 2
    assert "expected two or more different models" in done.stderr


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_fewer_than_two_models_are_refused(names: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"expected two or more different models"):
        compared(models=names, name="other")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"max_length is 99; one of the models reads at most 32 tokens\. Use a sma"):
        compared(name="other", max_length=99)
    with pytest.raises(DataError, match=r"none are held out\. Set test_split or validation_split above 0, or give a"):
        compared(name="other", test_split=0.0, validation_split=0.0)
    assert not Path("checkpoint/other").exists()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [("nosuch.csv", r"There is no file 'nosuch\.csv'"), (reviews(2), r"has 1 text .*, and 3 are needed")],
)
def test_texts_that_cannot_be_compared_on_cost_no_download(
    dataset: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fetcher, "fetch", None)
    with pytest.raises(DataError, match=message):
        compared(dataset, ["124M", "355M"], name="other", label_column=None)


def test_without_scikit_learn_nothing_is_read_or_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(BackendError, match=r"scikit-learn is not installed, and classifying texts needs it"):
        compared("nosuch.csv", name="other")
