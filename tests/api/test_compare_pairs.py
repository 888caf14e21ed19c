"""Models compared on pairs: the same split for each, nothing done twice, and no more said than was shown."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.api import session
from gpt2simple.api.comparison import SplitComparison
from gpt2simple.cli.group import cli
from gpt2simple.errors import BackendError, DataError, RunError, SettingsError
from gpt2simple.evaluation.outputs.comparison import ComparePairsResult
from tests.api.test_compare_classifiers import InterruptsItself
from tests.api.test_pairs import pairs
from tests.helpers.small_runs import as_options, work_in, write_small_model, write_text

QUICK: dict[str, Any] = {"learning_rate": 1e-2, "epochs": 2.0, "seed": 3, "separator": "=", "precision": "float32"}
MODELS = ["one", "two"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    for number, name in enumerate(MODELS):
        write_small_model(folder / "models" / name, seed=number)
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs(200)]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "other.jsonl").write_text("\n".join(lines[:90]), encoding="utf-8")
    write_text(folder / "text.txt")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def compared(dataset: Any = "pairs.jsonl", models: list[str] = MODELS, **changed: Any) -> ComparePairsResult:
    found = gpt2simple.compare(dataset, models, **{**QUICK, **changed})
    assert isinstance(found, ComparePairsResult)
    return found


@pytest.fixture(scope="module")
def result(place: Path) -> ComparePairsResult:
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, place)
        return compared()


def test_pairs_are_recognised_and_each_model_is_tested_on_the_same_ones(
    place: Path, result: ComparePairsResult
) -> None:
    runs = [json.loads((place / "checkpoint" / row.run_name / "run.json").read_text()) for row in result.rows]
    assert [row.run_name for row in result.rows] == ["compare-one", "compare-two"]
    assert runs[0]["data"]["fingerprint"] == runs[1]["data"]["fingerprint"]
    assert [(run["seed"], run["settings"]["max_length"]) for run in runs] == [(3, 32)] * 2
    for row in result.rows:
        assert (row.part, row.steps, [one.number for one in row.outputs]) == ("the test part", 40, list(range(20)))
        best = next(each for each in row.evaluations if each[0] == row.best_step)
        assert (row.validation_loss, row.validation_bits_per_byte) == pytest.approx(best[1:])
        assert row.memory_bytes is not None
    report: Any = gpt2simple.evaluate("pairs.jsonl", run_name=result.rows[1].run_name, part="test")
    assert report.loss == pytest.approx(result.rows[1].loss, rel=1e-6)
    assert report.bits_per_byte == pytest.approx(result.rows[1].bits_per_byte.value, rel=1e-6)
    assert report.outputs.f1 == result.rows[1].f1
    assert [one.output for one in report.outputs.scored] == [one.output for one in result.rows[1].outputs]


def test_tables_a_figure_and_a_page_are_written(result: ComparePairsResult) -> None:
    shown = result.summary()
    for text in (
        "Pairs: 160 to train on and 20 in the test part; the same for all.",
        "Each model: 40 steps of up to 8 pairs, 2 passes over the training pairs, up to 32 tokens of each pair, "
        "learning rate 0.01, seed 3. Outputs: the most probable token each time.",
        "bits/byte of completions", "exact match", "token F1", "BLEU", "chrF", "ROUGE-L", result.conclusion(),
        str(result.path),
    ):  # fmt: skip
        assert text in shown, text
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    page = result.path.read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert page.count("<h3>Prompt ") == 8
    values = json.loads(result.json_path.read_text(encoding="utf-8"))
    assert values["best"] in MODELS
    assert values["rows"][0]["outputs"][0]["output"] == result.rows[0].outputs[0].output


def test_what_is_done_is_not_done_again_and_comes_out_equal(
    result: ComparePairsResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SplitComparison, "session", None)
    assert compared() == result
    words = ["compare", "pairs.jsonl", *MODELS, *as_options(QUICK)]
    assert CliRunner().invoke(cli, words).stdout == result.summary() + "\n"
    assert json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout) == json.loads(result.json_path.read_text())


def test_ctrl_c_ends_the_comparison_and_the_next_call_goes_on(
    place: Path, result: ComparePairsResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    again = compared(name="stopped")
    for row, before in zip(again.rows, result.rows, strict=True):
        assert (row.steps, row.best_step) == (40, before.best_step)
        assert [one.output for one in row.outputs] == [one.output for one in before.outputs]
        assert row.loss == pytest.approx(before.loss, rel=1e-5)


def test_other_settings_or_pairs_under_the_same_name_are_refused_and_replace_nothing(
    result: ComparePairsResult,
) -> None:
    before = {path: path.read_bytes() for path in result.path.parent.iterdir()}
    with pytest.raises(
        RunError,
        match=r"was started with epochs=2\.0, learning_rate=0\.01, loss_on='completion', and this call gives "
        r"epochs=3\.0, learning_rate=0\.001, loss_on='all': .*Use the same text and settings to continue it, or an",
    ):
        compared(epochs=3.0, learning_rate=1e-3, loss_on="all")
    with pytest.raises(RunError, match=r"started with another text: the results could not"):
        compared("other.jsonl")
    with pytest.raises(RunError, match=r"with task='pairs', .*, and this call gives task='language modeling'"):
        gpt2simple.compare("pairs.jsonl", MODELS, column="prompt", window=8)
    assert {path: path.read_bytes() for path in result.path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("dataset", "changed", "error", "message"),
    [
        ("pairs.jsonl", {"tokens": 10}, SettingsError, "^tokens was given, which is for plain texts, and the dataset"),
        ("text.txt", {}, SettingsError, r"^(separator|epochs) was given, which is for pairs, and the dataset holds"),
        ("pairs.jsonl", {"max_length": 99}, SettingsError, r"^max_length is 99; one of the models reads at most 32 to"),
        ("pairs.jsonl", {"models": ["one"]}, SettingsError, "expected two or more different models"),
        (
            "pairs.jsonl",
            {"test_split": 0.0, "validation_split": 0.0},
            DataError,
            "^Models are compared on pairs that training never saw, but none are held out. Set test_split or valid"
            "ation_split above 0, or give a test_file.$",
        ),
        ("nosuch.jsonl", {}, DataError, r"There is no file 'nosuch\.jsonl'"),
    ],
)
def test_what_cannot_be_compared_is_refused(dataset: str, changed: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        compared(dataset, name="other", **changed)
    assert not Path("checkpoint/other").exists()


def test_without_a_test_part_the_validation_part_is_used_and_said_to_have_chosen() -> None:
    found = compared("other.jsonl", name="validated", test_split=0.0, epochs=1.0)
    assert found.rows[0].part == "the validation part, by which the best step was chosen"
    assert "There is no test part. The best step of each model was chosen by the validation part" in found.summary()


def test_without_the_libraries_of_figures_nothing_is_read_or_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(BackendError, match=r"sacrebleu is not installed, and BLEU, chrF and ROUGE need"):
        compared(name="other")


def test_the_options_are_shown() -> None:
    shown = CliRunner().invoke(cli, ["compare", "--help-all"]).stdout
    for option in ("--epochs", "--loss-on", "--max-length", "--prompt-column", "--test-split", "--tokens", "--window"):
        assert option in shown, option


def test_a_prompt_with_several_completions_is_answered_once(place: Path) -> None:
    lines = [json.dumps({"prompt": f"{number}?", "completion": [f"a{number}", f"b{number}"]}) for number in range(40)]
    (place / "several.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = compared("several.jsonl", name="several", epochs=1.0)
    assert "64 to train on and 8 in the test part" in found.summary()
    for row in found.rows:
        assert [one.number for one in row.outputs] == [0, 2, 4, 6]  # of the first pair of each prompt
        assert [one.number for one in row.completions] == list(range(8))
        expected = [len(f"a{prompt.text[:-1]}") for prompt in found.prompts for _ in range(2)]
        assert [one.text_bytes for one in row.completions] == expected
    assert [prompt.number for prompt in found.prompts] == [0, 2, 4, 6]
