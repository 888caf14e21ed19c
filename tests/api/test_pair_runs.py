"""Runs on pairs in folders, with files of one's own and with other settings; and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.runs import metrics
from tests.helpers.small_runs import work_in, write_small_model, write_text
from tests.helpers.texts import write

SETTINGS: dict[str, Any] = {"model_name": "small", "seed": 3, "steps": 2, "print_every": 1000, "batch_size": 8}
LONG = "x" * 40


def lines(number: int, begin: int = 0, names: tuple[str, str] = ("prompt", "completion")) -> str:
    texts = range(begin, begin + number)
    return "".join(json.dumps(dict(zip(names, (f"q{text}", f"a{text}"), strict=True))) + "\n" for text in texts)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a text, pairs, and a folder of three parts."""
    folder = tmp_path_factory.mktemp("runs")
    write_small_model(folder / "small")
    write_text(folder / "text.txt")
    too_long = json.dumps({"prompt": "q", "completion": LONG}) + "\n"
    long_prompt, blank = json.dumps({"prompt": LONG, "completion": "a"}), json.dumps({"prompt": "", "completion": " "})
    write(folder / "fold/train.jsonl", lines(20) + too_long)
    write(folder / "fold/valid.jsonl", lines(5, 50) + long_prompt)
    write(folder / "fold/test.jsonl", f"{lines(3, 70)}{long_prompt}\n{too_long}{blank}")
    write(folder / "fold/more.jsonl", lines(3, 90))
    write(folder / "columns.jsonl", lines(30, names=("question", "answer")))
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune("columns.jsonl", run_name="columns", prompt_column="question", completion_column="answer",
                            **SETTINGS)  # fmt: skip
        gpt2simple.finetune("text.txt", run_name="plain", window=16, **SETTINGS)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def test_a_folder_of_parts_from_training_to_report(messages: list[str]) -> None:
    """With the loss on prompts too, which counts what is held out in the same way."""
    how = {**SETTINGS, "loss_on": "all", "max_length": 14, "validation_split": 0, "test_split": 0}
    gpt2simple.finetune("fold", run_name="folder", **how)
    said = next(message for message in messages if message.startswith("Pairs: ")).split("\n")
    assert said[2:-1] == [
        "Parts from train.jsonl, valid.jsonl, test.jsonl; not read: more.jsonl.",
        "Test: Left out: 1 record of nothing but white space.",
        "Training: Left out: 1 pair whose completion is too long for 15 tokens, the first at fold/train.jsonl, line "
        "21.",
        "Validation: Of 1 prompt only the end is read: with the completion, a pair has at most 15 tokens.",
        "Test: Of 1 prompt only the end is read: with the completion, a pair has at most 15 tokens.",
        "Test: Left out: 1 pair whose completion is too long for 15 tokens, the first at fold/test.jsonl, line 5.",
    ]
    recorded = metrics.read(Path("checkpoint/folder"))
    trained, held_out = recorded.starts[0].train_tokens, recorded.starts[0].held_out_tokens
    # A pair is 2 or 3 bytes, the separator's 5, 2 or 3 and the end; the first is not predicted.
    assert (trained, held_out) == (10 * 9 + 10 * 11, 5 * 11 + 14)
    assert said[0] == (
        "Pairs: 21 pairs in the format prompt-completion; the loss is on 200 tokens of prompts and completions, as is "
        "the held-out loss"
    )
    result: Any = gpt2simple.evaluate("fold", run_name="folder", part="held_out", checkpoint="latest")
    both = result.loss * result.tokens + result.prompt_loss * (held_out - result.tokens)
    assert recorded.evaluations[-1].loss == pytest.approx(both / held_out, rel=0.02)
    lines_of_summary = result.summary().split("\n")
    assert lines_of_summary[0].endswith(f" tokens. Prompts: {result.prompt_loss:.4f} nats per token.")
    assert "Too long: of 1 prompt only the end was read, and 0 pairs left out." in lines_of_summary

    described = json.loads(Path("checkpoint/folder/run.json").read_text(encoding="utf-8"))
    assert described["data"]["summary"]["sources"] == ["fold"]
    report: Any = gpt2simple.report("folder")
    assert report.result.outputs.part == "the test part"


@pytest.mark.slow
def test_a_file_that_comes_into_a_folder_is_not_passed_over(messages: list[str]) -> None:
    for number in range(2):
        write(Path(f"grow/train-0000{number}-of-00002.jsonl"), lines(10, 10 * number))
    gpt2simple.finetune("grow", run_name="grow", **SETTINGS)
    assert any(said.startswith("Pairs: 20 pairs in the format prompt-completion from 2 files; ") for said in messages)
    write(Path("grow/valid.jsonl"), lines(5, 50))
    with pytest.raises(RunError, match="grow measured its held-out loss on another text than this call holds out"):
        gpt2simple.finetune("grow", run_name="grow", steps=4)


def test_settings_of_the_other_task_are_refused_when_a_run_goes_on() -> None:
    with pytest.raises(
        SettingsError,
        match=r"^loss_on was given, which is for pairs, and checkpoint.plain is no run on pairs\. Leave it out, or "
        r"give another run_name for a run of its own\.$",
    ):
        gpt2simple.finetune("text.txt", run_name="plain", steps=4, loss_on="all")
    with pytest.raises(
        SettingsError,
        match=r"^window was given, which is for plain texts, and checkpoint.columns is a run on pairs\. Leave it out",
    ):
        gpt2simple.finetune("columns.jsonl", run_name="columns", steps=4, window=16)


@pytest.mark.parametrize(
    ("dataset", "how"),
    [
        ([{"prompt": "q1", "completion": "a1"}], {"pair_format": "prompt-completion"}),
        ([("q1", "a1")], {}),
        ([{"question": "q1", "answer": "a1"}], {}),
    ],
)
def test_a_run_on_columns_is_evaluated_on_pairs_of_other_forms(dataset: Any, how: dict[str, Any]) -> None:
    result: Any = gpt2simple.evaluate(dataset, run_name="columns", **how)
    assert result.tokens == 3


def test_a_conversation_is_no_prompt_for_a_template_without_roles() -> None:
    turns = [{"role": role, "content": "a"} for role in ("system", "user")]
    with pytest.raises(
        SettingsError,
        match=r"^A prompt is .*: the template of the model has no marks for roles, so that it writes one message of "
        r"the user, and this is a conversation\. Give a text, or use a run on conversations\.$",
    ):
        gpt2simple.answer([turns], run_name="columns", length=2)
    with pytest.raises(DataError, match=r"message 2: the template of the model has no marks for roles"):
        gpt2simple.evaluate(
            [{"messages": [*turns, {"role": "assistant", "content": "a"}]}], run_name="columns", pair_format="messages"
        )
