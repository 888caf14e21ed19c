"""Models trained in full and with an adapter on one page: what each reaches, costs and copies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.api import compare
from gpt2simple.cli.group import cli
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.evaluation.report.comparison import comparison_page
from gpt2simple.evaluation.report.language_models import CompareResult, CompareRow
from gpt2simple.settings import CompareSettings
from tests.helpers.pair_runs import pairs
from tests.helpers.small_runs import as_options, work_in, write_model_and_text

QUICK: dict[str, Any] = {
    "tokens": 1024, "window": 16, "evaluations": 4, "nsamples": 2, "length": 12, "learning_rate": 1e-2,
    "precision": "float32", "lora_rank": 4,
}  # fmt: skip
BOTH: dict[str, Any] = {"methods": ["full", "lora"], **QUICK}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_model_and_text(tmp_path_factory.mktemp("methods"), "models/one")
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs()]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    labelled = [f"{'abc'[n % 3] * 3} {n},{'xyz'[n % 3]}" for n in range(90)]
    (folder / "classes.csv").write_text("\n".join(["text,label", *labelled]), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


@pytest.fixture(scope="module")
def result(place: Path) -> CompareResult:
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, place)
        found = gpt2simple.compare("text.txt", ["one"], **BOTH)
    assert isinstance(found, CompareResult)
    return found


def test_a_model_is_trained_by_each_method_with_the_same_text_and_budget(place: Path, result: CompareResult) -> None:
    assert [(row.model_name, row.method, row.label, row.run_name) for row in result.rows] == [
        ("one", "full", "one", "compare-one"),
        ("one", "lora", "one, LoRA", "compare-one-lora"),
    ]
    assert [row.steps for row in result.rows] == [32, 32]
    runs = [json.loads((place / "checkpoint" / row.run_name / "run.json").read_text()) for row in result.rows]
    assert [run["settings"]["lora_rank"] for run in runs] == [0, 4]
    assert runs[0]["data"]["fingerprint"] == runs[1]["data"]["fingerprint"]
    assert not (place / "checkpoint/compare-one/adapter_config.json").exists()
    assert (place / "checkpoint/compare-one-lora/adapter_config.json").is_file()
    assert result.rows[0].bits_per_byte != result.rows[1].bits_per_byte
    for row in result.rows:
        tokens = sum(count for _, count in row.windows)
        assert sum(nats for nats, _ in row.windows) / tokens == pytest.approx(row.loss)


def test_both_are_on_the_page_with_what_they_copied(result: CompareResult) -> None:
    page, values = result.path.read_text(), json.loads(result.json_path.read_text())
    for text in (page, result.summary(), result._repr_html_()):
        assert "one, LoRA" in text
        assert "Whether one, LoRA copies less of the training text than one cannot be told: " in text
    assert "learning rate 0.01, with LoRA 0.01. LoRA: rank 4." in result.summary()
    assert [row["method"] for row in values["rows"]] == ["full", "lora"]
    assert values["lora_beside_full"][0]["model"] == "one, LoRA"
    assert values["lora_beside_full"][0]["difference"] == pytest.approx(result.rows[1].loss - result.rows[0].loss)
    assert len(values["notes"]) == 2


@pytest.mark.slow
def test_a_method_can_be_added_and_what_is_done_is_not_done_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = gpt2simple.compare("text.txt", ["one"], name="grows", **{**BOTH, "methods": ["lora", "full"]})
    measured: list[str] = []
    monkeypatch.setattr(compare, "_measured", lambda candidate, *_: measured.append(candidate.label))
    again = gpt2simple.compare("text.txt", ["one"], name="grows", **BOTH)
    assert measured == []
    assert again.rows == alone.rows[::-1]
    with pytest.raises(RunError, match=r"was started with lora_rank=4, and this call gives lora_rank=8: "):
        gpt2simple.compare("text.txt", ["one"], name="grows", **{**BOTH, "lora_rank": 8})


def row(method: str, nats: float, *, windows: int = 40, **about: Any) -> CompareRow:
    facts: dict[str, Any] = {
        "model_name": "124M", "run_name": f"compare-{method}", "method": method, "parameters": 10,
        "tokens_per_parameter": 1.0, "steps": 2, "best_step": 1, "bits_per_byte": nats, "loss": nats,
        "standard_error": None, "base_bits_per_byte": 3.0, "gap": None, "verdict": "fine", "copied_share": 0.5,
        "natural_share": None, "longest_copy": 9, "seconds": 1.0, "memory_bytes": 1000, "samples": ("text",),
        "copied_spans": ((),), "evaluations": ((0.0, 3.0), (10.0, nats)),
        "windows": tuple((nats * 10 + n % 3, 10) for n in range(windows)), "copied_interval": (0.4, 0.6),
    }  # fmt: skip
    return CompareRow(**{**facts, **about})


def compared(*rows: CompareRow) -> CompareResult:
    return CompareResult(
        rows=rows, text="A text.", budget="2 steps.", path=Path("compare.html"), json_path=Path("compare.json"),
        picture=Path("compare.png"), asked={},
    )  # fmt: skip


def test_a_clear_difference_is_told_both_of_loss_and_of_copies() -> None:
    found = compared(row("full", 2.0), row("lora", 2.1, copied_share=0.1, copied_interval=(0.05, 0.2)))
    assert found.notes() == (
        "124M predicts the held-out text better than 124M, LoRA: 124M, LoRA has +0.100 nats/token (95% interval: "
        "+0.100 to +0.100); approximate randomisation test over 40 windows, p < 0.0001.",
        "124M, LoRA copies less of the training text than 124M: 10.0% (5.0% to 20.0%) of its samples, and 50.0% (40.0% "
        "to 60.0%) of the other's.",
    )
    assert "LoRA copies less of the training text than 124M: 10.0% (5.0% to 20.0%)" in comparison_page(found, "")
    more = compared(row("lora", 2.0, copied_share=0.9, copied_interval=(0.8, 1.0)), row("full", 2.1))
    assert more.notes()[0].startswith("124M, LoRA predicts the held-out text better than 124M: -0.100 nats/token")
    assert more.notes()[1].startswith("124M copies less of the training text than 124M, LoRA: 50.0% ")


def test_little_evidence_is_no_judgement() -> None:
    few = compared(row("full", 2.0, windows=9), row("lora", 2.1, windows=9, copied_interval=None))
    assert few.notes() == (
        "Whether 124M, LoRA predicts the held-out text better than 124M cannot be told: their values differ on 9 of 9 "
        "windows, and a judgement needs 10.",
        "Whether 124M, LoRA copies less of the training text than 124M cannot be told: samples have fewer than eight "
        "words. Write more or longer samples (nsamples, length).",
    )
    overlapping = compared(row("full", 2.0), row("lora", 2.0, copied_share=0.3, copied_interval=(0.1, 0.4)))
    assert overlapping.notes()[1] == (
        "Whether 124M, LoRA copies less of the training text than 124M cannot be told: 30.0% (10.0% to 40.0%) and "
        "50.0% (40.0% to 60.0%) of the samples are copied, and these intervals overlap. Write more or longer samples "
        "(nsamples, length)."
    )


def test_of_several_models_each_is_judged_by_itself_and_p_is_multiplied() -> None:
    one = (row("full", 2.0), row("lora", 2.1))
    two = tuple(replace(row, model_name="355M") for row in one)
    assert compared(*one, two[0]).notes() == compared(*one).notes(), "355M has no adapter to stand beside"
    both = compared(*one, *two)
    assert len(both.notes()) == 5
    assert both.notes()[-1] == "As there are 2 tests, p is multiplied by 2 (Bonferroni)."
    assert both.lora_beside_full[0].p_value == pytest.approx(2 * compared(*one).lora_beside_full[0].p_value)
    assert compared(row("full", 2.0), replace(row("full", 2.1), model_name="355M")).notes() == ()


def test_the_command_takes_a_list_of_methods(result: CompareResult) -> None:
    words = ["compare", "text.txt", "one", "--methods", "full", "--methods", "lora", *as_options(QUICK), "--json"]
    found = CliRunner().invoke(cli, words)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["rows"] == json.loads(result.json_path.read_text())["rows"]


@pytest.mark.parametrize("methods", [["full", "qlora"], ["lora", "lora"], []])
def test_other_methods_are_refused(methods: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"^methods is \[.*\]; expected 'full', 'lora' or both\.$"):
        gpt2simple.compare("text.txt", ["one"], name="other", methods=methods)


def test_one_model_by_one_method_is_no_comparison() -> None:
    with pytest.raises(
        SettingsError, match=r'two or more different models, such as .*, or one with methods=\["full", "lora"\]\.$'
    ):
        gpt2simple.compare("text.txt", ["one"], name="other", methods="lora")
    with pytest.raises(SettingsError, match=r"expected two or more different models"):
        gpt2simple.compare("text.txt", ["one", "one"], name="other", methods=["full", "lora"])


def test_the_default_is_to_train_all_weights() -> None:
    assert CompareSettings().methods == ("full",)


@pytest.mark.slow
def test_pairs_and_classes_too() -> None:
    asked: dict[str, Any] = {"methods": ["full", "lora"], "lora_rank": 4, "epochs": 1}
    on_pairs = gpt2simple.compare("pairs.jsonl", ["one"], name="pairs", separator="=", **asked)
    classes = gpt2simple.compare_classifiers("classes.csv", ["one"], **asked)
    for found in (on_pairs, classes):
        assert [row.label for row in found.rows] == ["one", "one, LoRA"]
        assert found.rows[1].run_name.endswith("-one-lora")
        assert Path("checkpoint", found.rows[1].run_name, "adapter_config.json").is_file()
        assert "LoRA: rank 4." in found.summary()
        assert "<svg" in found.path.read_text()
    assert "learning rate 0.0001, with LoRA 0.001, seed 0. LoRA: rank 4. Outputs" in on_pairs.budget
    assert [row.learning_rate for row in classes.rows] == [2e-4, pytest.approx(2e-3)]
