"""The figures of outputs: one call, intervals where there is enough for them, and sentences that say no more."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from gpt2simple.errors import BackendError, DataError
from gpt2simple.evaluation.intervals import wilson
from gpt2simple.evaluation.outputs.metrics import OutputFigures, output_figures
from tests.helpers.outputs import pairs


def figures(outputs: Any, references: Any, **about: Any) -> OutputFigures:
    return output_figures(outputs, references, **{"model": "small", "part": "the test part", "resamples": 200, **about})


def test_every_figure_has_its_value_and_an_interval_around_it() -> None:
    outputs, references = pairs(120)
    found = figures(outputs, references)
    assert list(found.figures()) == ["exact match", "token F1", "BLEU", "chrF", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    for name, figure in found.figures().items():
        assert figure.interval is not None
        assert figure.interval.low < figure.value < figure.interval.high, name
    matched = sum(one.exact_match for one in found.scored)
    assert matched >= 30
    assert found.exact_match.value == matched / 120
    assert found.exact_match.interval == wilson(matched, 120)
    assert found.f1.value == pytest.approx(sum(one.f1 for one in found.scored) / 120, abs=1e-12)
    assert (found.notes, found.copies, found.empty) == ((), None, 0)


def test_the_same_seed_gives_the_same_intervals() -> None:
    outputs, references = pairs(40)
    one, again, other = (figures(outputs, references, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.bleu != other.bleu
    assert one.exact_match == other.exact_match


def test_the_table_names_what_was_computed_and_how() -> None:
    outputs, references = pairs(60)
    outputs[5] = " \n"
    found = figures(outputs, references, completions=references[:10])
    lines = found.summary().splitlines()
    assert lines[0] == "small on the test part: 60 outputs, 1 of them empty"
    bleu = next(line for line in lines if line.startswith("  BLEU"))
    assert found.bleu is not None
    assert found.bleu.interval is not None
    assert bleu.split() == [
        "BLEU", f"{found.bleu.value:.2f}", f"{found.bleu.interval.low:.2f}", "to", f"{found.bleu.interval.high:.2f}",
    ]  # fmt: skip
    assert f"BLEU: {found.signatures['bleu']}" in lines
    assert "Intervals: exact match Wilson; the others bootstrap, 200 resamples, seed 0." in lines
    assert sum(line.startswith("ROUGE-1, ROUGE-2, ROUGE-L: rouge-score") for line in lines) == 1
    assert found.copies is not None
    assert lines[-1] == found.copies.sentence()
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(("count", "withheld"), [(1, True), (29, True), (30, False)])
def test_intervals_by_resampling_are_withheld_of_few_outputs(count: int, withheld: bool) -> None:
    outputs, references = pairs(count)
    found = figures(outputs, references)
    assert [figure.interval is None for figure in found.figures().values()] == [False, *[withheld] * 6]
    assert ("withheld" in found.summary()) is withheld
    assert any("Intervals are withheld" in note for note in found.notes) is withheld
    assert ("Interval of exact match: Wilson." in found.methods()) is withheld


def test_one_pair_is_judged() -> None:
    found = figures(["A cat sat on the mat."], ["the cat sat on a mat"])
    assert found.exact_match.value == 1.0
    assert found.exact_match.interval == wilson(1, 1)
    assert found.notes[0] == (
        "Intervals are withheld: resampling 1 output would make them too narrow, and it takes 30. So few say little of "
        "a model."
    )


def test_intervals_are_withheld_where_nearly_all_outputs_score_alike() -> None:
    references = [f"the number of the day is {number}, again" for number in range(100)]
    found = figures(["wrong"] * 4 + references[4:], references)
    assert [figure.interval is None for figure in found.figures().values()] == [False, *[True] * 6]
    assert found.notes[0].startswith("No interval of token F1, BLEU, chrF, ROUGE-1, ROUGE-2, ROUGE-L: fewer than 5 out")
    enough = figures(["wrong"] * 5 + references[5:], references)
    assert enough.f1.interval is not None
    assert enough.notes == ()


def test_several_references_and_a_text_in_place_of_a_list() -> None:
    found = figures(["Paris", "London", "Rome"], [["Lyon", "paris!"], "london", ("Rome", "Roma", "Rom")])
    assert found.exact_match.value == found.f1.value == 1.0
    assert found.signatures["bleu"].startswith("nrefs:var|")
    assert found.scored[1].references == ("london",)
    assert found.headline() == "small on the test part: 3 outputs, beside 6 references"
    assert found.to_json()["references"] == 6


def test_empty_outputs_count_as_wrong() -> None:
    found = figures(["", "  ", "Paris"], ["Paris", "Paris", "Paris"])
    assert (found.empty, found.exact_match.value, found.f1.value) == (2, 1 / 3, 1 / 3)
    assert found.chrf is not None
    assert 0 < found.chrf.value < 100
    nothing = figures([""] * 3, ["Paris"] * 3)
    assert {figure.value for figure in nothing.figures().values()} == {0.0}


def test_what_figures_cannot_see_is_said() -> None:
    chinese = figures(["巴黎是法国的首都。"] * 3, ["巴黎是法国的首都。"] * 3).notes
    assert any(
        note.startswith("ROUGE knows the letters a to z and digits alone, 0% of those in the r") for note in chinese
    )
    assert chinese[-1] == (
        "Token F1 takes what stands between spaces and ASCII punctuation for a word, and these texts put few spaces "
        "between words. BLEU (tok:zh) and chrF count characters."
    )
    mixed = figures(["The capital is 巴黎"] * 3, ["The capital is 巴黎"] * 3).notes
    assert mixed[-1].startswith("Token F1 and BLEU (tok:13a) take what stands between spaces and ASCII punctuation for")
    assert mixed[-1].endswith("between words. chrF counts characters.")
    short = figures(["巴黎"] * 3, ["巴黎"] * 3).notes
    assert any(note.startswith("BLEU counts sequences of up to four tokens, and 3 of 3") for note in short)
    russian = figures(["Париж, столица Франции, стоит на Сене"], ["Париж, столица Франции, стоит на Сене"]).notes
    assert any(note.startswith("ROUGE knows") for note in russian)
    assert not any("few spaces" in note for note in russian)
    short = figures(["Paris"] * 2 + ["It is a rather large city"], ["Paris"] * 3).notes
    assert short[-1] == (
        "BLEU counts sequences of up to four words, and 2 of 3 outputs are shorter: it says little of these, and is 0 "
        "where all are."
    )
    assert len(figures(["Is it a rather large city?"], ["It is a fairly large city."]).notes) == 1


def test_the_worst_and_the_best_are_by_token_f1_then_chrf() -> None:
    found = figures(["aaa", "bXb", "Paris", "zzz"], ["Lyon", "bbb", "Paris", "Rome"], prompts=list("1234"))
    assert [one.prompt for one in found.worst(4)] == ["1", "4", "2", "3"], "of equal ones the earlier"
    assert [one.prompt for one in found.best(2)] == ["3", "2"]


def test_exact_match_and_f1_need_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"sacrebleu", "rouge_score", *sys.modules}:
        if name.partition(".")[0] in ("sacrebleu", "rouge_score"):
            monkeypatch.setitem(sys.modules, name, None)
    found = figures(["Paris", "x"], ["Paris", "y"], text_metrics=False)
    assert list(found.figures()) == ["exact match", "token F1"]
    assert found.notes[-1] == "BLEU, chrF and ROUGE were not computed."
    assert found.scored[0].chrf is None
    assert [one.output for one in found.worst(1)] == ["x"]
    with pytest.raises(BackendError, match="sacrebleu and rouge-score are not installed"):
        figures(["Paris"], ["Paris"])


def test_json_is_plain_and_has_no_outputs() -> None:
    outputs, references = pairs(40)
    found = figures(outputs, references, completions=["x"])
    values = found.to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert "scored" not in values
    assert found.bleu is not None
    assert found.bleu.interval is not None
    assert values["bleu"] == {
        "value": found.bleu.value, "interval": {"low": found.bleu.interval.low, "high": found.bleu.interval.high},
    }  # fmt: skip
    assert values["copies"]["is_memorised"] is None
    assert values["copies"]["conclusion"].startswith("Of 40 outputs, 0 equal")
    assert values["signatures"].keys() == {"exact_match", "f1", "bleu", "chrf", "rouge1", "rouge2", "rouge_l"}
    assert figures(outputs, references).to_json()["copies"] is None
    assert len(found.scored) == 40, "the result keeps them"


def test_a_notebook_gets_a_table_with_escaped_names() -> None:
    html = figures(["a"], ["a"], model="<b>")._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "Intervals are withheld" in html


@pytest.mark.parametrize(
    ("outputs", "references", "about", "error", "message"),
    [
        ([], [], {}, DataError, "There is no output to judge. Hold out more pairs"),
        (["a", "b"], ["a", []], {}, DataError, "Output 2 has no reference to compare it with. Give at least one"),
        (["a"], ["a", "b"], {}, ValueError, "1 outputs, 2 lists of references do not fit"),
        (["a"], ["a"], {"prompts": []}, ValueError, "1 outputs, 1 lists of references and 0 prompts do not fit"),
        (["a"], ["a"], {"completions": []}, DataError, "There is no training text to compare with"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    outputs: Any, references: Any, about: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        figures(outputs, references, **about)
