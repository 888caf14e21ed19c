"""Several runs in one figure: it says in words when each began to memorise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.evaluation.memorisation import TrainingText
from gpt2simple.evaluation.report.data import RunReport, run_report
from gpt2simple.evaluation.report.side_by_side import in_words, runs_figure, turning_point
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.figure import to_png, to_svg
from tests.helpers.records import HEALTHY, OVERTRAINED, make_run

WORDS = " ".join(f"word{number * number % 97}" for number in range(400))


def reported(folder: Path, held_out: list[float], written: list[str] | None = None) -> RunReport:
    """The report on a run that wrote these samples, or a copy of its text and something new."""
    text = folder.parent / "text.txt"
    text.write_text(WORDS, encoding="utf-8")
    samples = ["nothing of this was ever seen in any text before, truly", WORDS] if written is None else written
    run = make_run(folder, text, held_out, samples)
    known = TrainingText([WORDS], ["held out words that nobody has read at all, not even once"])
    return run_report(run, RunInfo.read(run), known)


def panels(runs: list[RunReport]) -> list[Any]:
    return [axes for axes in runs_figure(runs).axes if axes.get_visible()]


def test_the_step_from_which_a_run_memorises_is_written_over_it_and_marked(tmp_path: Path) -> None:
    runs = [reported(tmp_path / "over", OVERTRAINED), reported(tmp_path / "healthy", HEALTHY)]
    over, healthy, over_copies, healthy_copies = panels(runs)
    assert over.get_title() == "over\nmemorises after step 30"
    assert healthy.get_title() == "healthy\nstill learning at step 60"
    (zone,) = over.patches
    assert (zone.get_x(), zone.get_width()) == (30, 30)
    assert zone.get_label() == "memorising: held-out loss rises, the other falls"
    assert not healthy.patches
    (star,) = (line for line in over.lines if line.get_marker() == "*")
    assert (list(star.get_xdata()), list(star.get_ydata())) == ([30], [3.2])
    for copies in (over_copies, healthy_copies):
        shares = copies.lines[0]
        assert (list(shares.get_xdata()), list(shares.get_ydata())) == ([10, 20], [0.0, 1.0])
    assert over_copies.get_xlim() == over.get_xlim()
    assert in_words(runs) == "over: memorises after step 30. healthy: still learning at step 60."


def test_the_size_is_written_over_models_of_several_sizes(tmp_path: Path) -> None:
    """A name may say otherwise: "tiny" is the largest model that the notebook on overfitting trains without a GPU."""
    runs = [reported(tmp_path / "tiny", OVERTRAINED), reported(tmp_path / "middle", HEALTHY)]
    runs[1] = replace(runs[1], verdict=replace(runs[1].verdict, parameters=1_442_240))
    tiny, middle, *_ = panels(runs)
    assert tiny.get_title() == "tiny\n3,000,000 parameters\nmemorises after step 30"
    assert middle.get_title() == "middle\n1,442,240 parameters\nstill learning at step 60"


def test_losses_share_a_scale_where_a_token_is_the_same(tmp_path: Path) -> None:
    runs = [reported(tmp_path / "over", OVERTRAINED), reported(tmp_path / "lower", [2.0, 1.5, 1.2])]
    over, lower, *_ = panels(runs)
    assert over.get_ylim() == lower.get_ylim()
    info = runs[1].info
    description = replace(info.description, tokenizer_fingerprint="another")
    runs[1] = replace(runs[1], info=replace(info, description=description))
    over, lower, *_ = panels(runs)
    assert over.get_ylim() != lower.get_ylim()


@pytest.mark.parametrize(
    ("held_out", "words"),
    [
        ([4.0, 3.5, 3.2, 3.21, 3.205, 3.21], "best at step 30, no clear rise"),
        ([4.0], "too early to tell"),
        ([], "not evaluated"),
    ],
)
def test_other_runs_have_their_own_words(tmp_path: Path, held_out: list[float], words: str) -> None:
    folder = tmp_path / "run"
    if held_out:
        assert turning_point(reported(folder, held_out)) == words
    else:
        run = reported(folder, [4.0, 3.9, 3.8])
        verdict = replace(run.verdict, kind="not_measured", best_step=None)
        assert turning_point(replace(run, verdict=verdict)) == words


def test_a_run_without_samples_says_so_where_others_have_some(tmp_path: Path) -> None:
    runs = [reported(tmp_path / "with", OVERTRAINED), reported(tmp_path / "without", HEALTHY, [])]
    assert [text.get_text() for text in panels(runs)[3].texts] == ["no samples to compare"]
    assert len(panels(runs[1:])) == 1, "nobody has any: there is no place for them"


def test_of_many_runs_the_first_twelve_are_drawn(tmp_path: Path) -> None:
    run = reported(tmp_path / "run", OVERTRAINED, [])
    assert len(panels([run] * 13)) == 12
    assert len(panels([run] * 4)) == 4, "places that are left over are empty"


def test_the_picture_is_small_and_names_stay_text(tmp_path: Path) -> None:
    run = reported(tmp_path / "<b>$x$ & co", OVERTRAINED)
    assert len(to_png(runs_figure([run] * 3))) < 100_000
    assert "&lt;b&gt;$x$ &amp; co" in to_svg(runs_figure([run]))
