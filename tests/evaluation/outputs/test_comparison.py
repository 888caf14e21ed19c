"""Several models on the same pairs: one is called better only where a test that allows for the others shows it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.evaluation.outputs.comparison import ComparePairsResult, PairsRow, Prompt, shown_prompts
from gpt2simple.evaluation.outputs.metrics import output_figures
from gpt2simple.evaluation.outputs.result import CompletionLoss, PairResult
from gpt2simple.evaluation.report.comparison import comparison_page
from gpt2simple.runs.figure import to_png, to_svg
from gpt2simple.storage.contents import json_text, parse_json

PAIRS = 60
BYTES = 8  # of each completion
HOSTILE = "</pre><script>alert(1)</script>"


def row(name: str, right: int, nats: float, *, numbers: range = range(PAIRS), **about: Any) -> PairsRow:
    """A model that answers so many prompts right, and predicts each completion with about so many nats."""
    references = [f"word{number} of it" for number in range(PAIRS)]
    outputs = [references[number] if number < right else HOSTILE for number in numbers]
    scored = output_figures(
        outputs, [references[number] for number in numbers], model=name, part="the test part",
        completions=[*references[:3], "no"], resamples=50,
    )  # fmt: skip
    losses = tuple(CompletionLoss(number, nats + number % 2, BYTES) for number in numbers)
    total = sum(one.nats for one in losses)
    found = PairResult(
        loss=total / (2 * len(numbers)), perplexity=2.0, tokens=2 * len(numbers), prompt_loss=None, truncated=0,
        left_out=PAIRS - len(numbers), outputs=scored, length=16, precision="float32", seconds=1.0, losses=losses,
        numbers=tuple(numbers),
    )  # fmt: skip
    assert found.bits_per_byte == pytest.approx(total / math.log(2) / (BYTES * len(numbers)))
    facts: dict[str, Any] = {
        "model_name": name, "run_name": f"compare-{name}", "parameters": 10, "steps": 40, "best_step": 20,
        "verdict": "Overfitted", "seconds": 2.0, "memory_bytes": None, "validation_loss": 1.5,
        "validation_bits_per_byte": 0.4, "evaluations": ((0, 2.0, 0.6), (20, 1.5, 0.4)),
    }  # fmt: skip
    return PairsRow.of(found, **{**facts, **about})


def compared(*rows: PairsRow, **about: Any) -> ComparePairsResult:
    facts: dict[str, Any] = {
        "text": "60 pairs.", "budget": "40 steps.", "path": Path("compare.html"), "json_path": Path("compare.json"),
        "picture": Path("compare.png"), "asked": {}, "chosen_by": False, "prompts": (Prompt(0, "first?", "word0"),),
    }  # fmt: skip
    return ComparePairsResult(rows=rows, **{**facts, **about})


def test_a_model_that_is_clearly_better_is_called_so() -> None:
    found = compared(row("small", 10, 4.0), row("large", 40, 3.0))
    assert found.best.model_name == "large"
    assert found.conclusion().startswith(
        "large has the lowest loss on the test part: 0.631 bits/byte (95% interval: 0."
    )
    loss, outputs, tests = found.notes()[:3]
    assert loss.startswith("large predicts completions better than small: -0.180 bits/byte (95% interval: -0.180 to -0")
    assert loss.endswith("; approximate randomisation test over 60 pairs, p = 0.0002.")
    assert outputs.startswith("large writes better outputs than small: +0.500 token F1 (95% interval: +0.")
    assert tests == "As there are 2 tests, p is multiplied by 2 (Bonferroni)."
    assert found.box == ""
    assert found.tables()[1].rows == [
        ["small", "large", "worse (+0.180, p = 0.0002)", "worse (-0.500, p = 0.0002)"],
    ]


def test_the_lower_loss_does_not_make_the_outputs_better() -> None:
    """And what is not shown is not said."""
    found = compared(row("small", 40, 4.0), row("large", 10, 3.9))
    assert found.notes()[1].startswith("small writes better outputs than large: large has -0.500 token F1 (95% inter")
    few = compared(row("small", 12, 4.0), row("large", 20, 3.9))
    assert few.notes()[1] == (
        "Whether large writes better outputs than small cannot be told: their values differ on 8 of 60 pairs, and a "
        "judgement needs 10."
    )
    alike = compared(row("small", 12, 4.0), row("large", 12, 4.0))
    assert alike.box == "cannot_say"
    assert alike.notes()[0].startswith("Whether small predicts completions better than large cannot be told: ")


def test_several_models_are_several_tests() -> None:
    rows = [row(name, 0, 4.0) for name in "abc"]
    assert "As there are 6 tests, p is multiplied by 6 (Bonferroni)." in compared(*rows).notes()
    assert [cells[:2] for cells in compared(*rows).tables()[1].rows] == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_models_are_compared_on_the_pairs_that_fit_both() -> None:
    found = compared(row("short", 10, 3.0, numbers=range(40)), row("long", 10, 3.0))
    assert found.beside(*found.rows).completions.pairs == 40
    assert found.beside(*found.rows).completions.differing == 0
    assert any(
        note.startswith("short: 20 pairs did not fit and had to be left out. Its figures are") for note in found.notes()
    )
    missing = compared(*found.rows, prompts=(Prompt(50, "late?", "word50"),))
    assert [(name, one is None) for name, one in missing.shown()[0][1]] == [("short", True), ("long", False)]


def test_a_completion_that_fits_one_model_alone_is_not_compared() -> None:
    """Of a prompt with several completions: the bytes of both sides are the same."""
    rows = [row(name, 10, nats) for name, nats in (("short", 3.0), ("long", 4.0))]
    fewer = replace(rows[0], completions=rows[0].completions[::2])
    found = compared(fewer, rows[1])
    assert found.beside(*found.rows).completions.pairs == PAIRS // 2
    assert found.beside(*found.rows).completions.difference == pytest.approx(-1.0 / math.log(2) / BYTES)
    assert found.beside(*found.rows).outputs.pairs == PAIRS


def test_what_the_loss_counts_is_named() -> None:
    for loss_on, named in (("completion", "the loss of completions"), ("all", "the loss of prompts and completions")):
        found = compared(row("a", 0, 4.0), row("b", 0, 4.0), asked={"loss_on": loss_on})
        assert named in found.tables()[2].caption


def test_repeated_training_completions_are_told() -> None:
    found = compared(row("small", 3, 4.0), row("large", 40, 3.0))
    cells = {line[0]: line[1:] for line in found.tables()[0].rows}
    assert cells["outputs that equal a training completion"] == ["3 of 60 (references: 3)"] * 2
    assert cells["exact match"][1].startswith("66.7% (")
    assert not any("repeats its training completions" in note for note in found.notes())
    repeating = compared(replace(found.rows[0], memorised="The model repeats its training completions."), found.rows[1])
    assert "small: The model repeats its training completions." in repeating.notes()


def test_without_a_test_part_it_is_said_how_the_steps_were_chosen() -> None:
    found = compared(row("a", 1, 4.0), row("b", 1, 4.0), chosen_by=True)
    assert any(note.startswith("There is no test part. The best step of each") for note in found.notes())


def test_a_row_is_kept_as_json() -> None:
    one = row("small", 10, 4.0)
    assert PairsRow.from_json(parse_json(json_text(asdict(one)))) == one


def test_the_page_the_figure_and_the_numbers() -> None:
    found = compared(row("small", 0, 4.0), row("large", 40, 3.0, evaluations=(), best_step=None, validation_loss=None,
                     validation_bits_per_byte=None))  # fmt: skip
    page = comparison_page(found, to_svg(found.figure()))
    for text in ("Beside each other", "first?", "word0", "token F1 1.000, exact match", "&lt;/pre&gt;&lt;script&gt;"):
        assert text in page, text
    assert page.count("<strong>equals a training completion word for word</strong>") == 1
    assert "<script" not in page
    assert to_png(found.figure()).startswith(b"\x89PNG")
    values = json.loads(json_text(found.to_json()))
    assert values["best"] == "large"
    assert values["beside"][0]["completions"]["outcome"] == "worse"
    assert values["rows"][1]["bits_per_byte"]["value"] == found.rows[1].bits_per_byte.value
    assert "bits/byte of completions" in found.summary()
    assert "<table>" in found._repr_html_()


@pytest.mark.parametrize(("count", "numbers"), [(1, [0]), (3, [0, 1, 2]), (80, [0, 11, 23, 34, 45, 56, 68, 79])])
def test_the_prompts_of_the_page_are_evenly_spaced(count: int, numbers: list[int]) -> None:
    found = shown_prompts([Prompt(number, f"prompt {number}", "reference") for number in range(count)])
    assert [one.number for one in found] == numbers
    assert found[-1].text == f"prompt {count - 1}"
