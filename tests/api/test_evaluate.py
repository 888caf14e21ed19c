"""Measuring calls: a part of a text is the part that the run learned or held out, whatever the call leaves unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.errors import DataError, RunError
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.runs.description import RunInfo
from tests.helpers.small_runs import QUICK, work_in, write_model_and_text, write_text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model, two texts, and runs that held out three tenths and a text of their own."""
    folder = tmp_path_factory.mktemp("evaluating")
    write_model_and_text(folder)
    write_text(folder / "other.txt", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        train = {"model_name": "small", "precision": "float32", "steps": 4, "window": 16, **QUICK}
        gpt2simple.finetune("text.txt", run_name="third", validation_split=0.3, **train)
        gpt2simple.finetune("text.txt", run_name="own", validation_file="other.txt", **train)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def evaluate(dataset: str, run: str, part: str, **settings: object) -> EvaluateResult:
    return gpt2simple.evaluate(dataset, run_name=run, part=part, **settings)


def test_the_parts_are_those_of_the_run(place: Path) -> None:
    recorded = RunInfo.read(place / "checkpoint" / "third").description.data_summary
    held_out, train = evaluate("text.txt", "third", "held_out"), evaluate("text.txt", "third", "train")
    assert held_out.tokens == recorded["held_out_tokens"] - 1  # nothing comes before the first
    assert train.tokens == recorded["train_tokens"] - 1
    assert held_out.tokens / (held_out.tokens + train.tokens) == pytest.approx(0.3, abs=0.02)
    assert held_out.model == "third (small)"


def test_a_text_of_its_own_that_a_run_held_out_is_what_is_measured(place: Path) -> None:
    whole = evaluate("other.txt", "own", "all")
    assert evaluate("text.txt", "own", "held_out").loss == pytest.approx(whole.loss, rel=1e-6)
    (place / "moved.txt").write_bytes((place / "other.txt").read_bytes())
    assert evaluate("text.txt", "own", "held_out", validation_file="moved.txt").loss == pytest.approx(whole.loss)


def test_a_part_of_another_text_or_of_another_division_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"not the text that the run was trained on, .* evaluate all of this .* part=\"all\""
    ):
        evaluate("other.txt", "third", "held_out")
    with pytest.raises(
        RunError, match=r"trained with validation_split=0\.3, and this call gives 0\.1: .* Leave validation_split out"
    ):
        evaluate("text.txt", "third", "train", validation_split=0.1)
    with pytest.raises(RunError, match=r"trained with validation_file='other\.txt', .* gives None: .* Leave validati"):
        evaluate("text.txt", "own", "held_out", validation_file=None)
    with pytest.raises(DataError, match=r"not the text that the run held out.* Give that text"):
        evaluate("text.txt", "own", "held_out", validation_file="text.txt")
    with pytest.raises(RunError, match=r"trained with validation_file=None, .* gives 'other\.txt'"):
        evaluate("text.txt", "third", "held_out", validation_file="other.txt")


def test_the_whole_of_any_text_is_measured_and_a_model_has_no_run() -> None:
    assert evaluate("other.txt", "third", "all").tokens > 100
    found = gpt2simple.evaluate("text.txt", model_name="small", part="held_out")
    assert found.model == "small"
    assert found.tokens < evaluate("text.txt", "third", "held_out").tokens
