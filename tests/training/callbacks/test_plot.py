"""loss.png: what it shows, and that it leaves the user's matplotlib alone."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from gpt2simple.runs import curves, figure
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.training.callbacks.plot import LossPlot
from tests.helpers.records import end, evaluation, overfitted_run, plan, step

PNG_START = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures drawn during the test."""
    figures: list[Figure] = []

    class Remembered(Figure):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr(figure, "Figure", Remembered)
    return figures


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def watch(run_dir: Path, steps: list, evaluations: list, **kwargs: object) -> LossPlot:
    callback = LossPlot(run_dir, **kwargs)
    callback.on_start(plan(run_dir, last_step=600))
    for record in steps:
        callback.on_step(record)
    for record in evaluations:
        callback.on_evaluation(record)
    return callback


def test_an_overfitted_run_shows_both_curves_the_best_step_and_where_overfitting_begins(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    watch(tmp_path / "my$run$", *overfitted_run()).on_end(end(600))
    assert (tmp_path / "my$run$" / "loss.png").read_bytes().startswith(PNG_START)
    assert labels(drawn[-1]) == [
        "training, each step",
        "training, smoothed",
        "held-out",
        "best: step 200, 2.726 nats/token, 0.983 bits/byte",
        "overfitting: held-out loss no longer improves",
    ]
    axes = drawn[-1].axes[0]
    assert axes.get_title() == "my$run$: tiny"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "loss (nats per token)")
    assert axes.child_axes[0].get_xlabel() == "epochs (passes over the text)"
    zone = axes.patches[0]
    assert (zone.get_x(), zone.get_width()) == (200, 400)


def test_a_healthy_run_has_no_such_zone(tmp_path: Path, drawn: list[Figure]) -> None:
    evaluations = [evaluation(n, 4 - n / 100, is_best=True) for n in (10, 20, 30)]
    watch(tmp_path, [step(n) for n in range(1, 31)], evaluations).on_end(end(30))
    assert "overfitting: held-out loss no longer improves" not in labels(drawn[-1])
    assert not drawn[-1].axes[0].patches


@pytest.mark.parametrize(
    ("change", "held_out", "label"),
    [
        (+0.05, 6.0, "diverging"),
        (-0.01, 4.01, "held-out loss no longer improves"),
        (-0.01, 6.0, "overfitting: held-out loss no longer improves"),
    ],
)
def test_what_came_after_the_best_step_is_named_as_in_the_report(
    change: float, held_out: float, label: str, tmp_path: Path, drawn: list[Figure]
) -> None:
    steps = [step(n, 4.0 + change * n) for n in range(1, 81)]
    evaluations = [evaluation(n, 4.0 if n == 20 else held_out, is_best=n == 20) for n in (20, 40, 60, 80)]
    watch(tmp_path, steps, evaluations).on_end(end(80))
    assert labels(drawn[-1])[-1] == label
    assert drawn[-1].axes[0].patches[0].get_x() == 20


def test_a_run_with_nothing_held_out_shows_its_training_loss(tmp_path: Path, drawn: list[Figure]) -> None:
    watch(tmp_path, [step(1), step(2), step(3)], []).on_end(end(3))
    assert labels(drawn[-1]) == ["training, each step", "training, smoothed"]


def test_a_run_that_took_no_step_draws_nothing(tmp_path: Path) -> None:
    watch(tmp_path, [], []).on_end(end(0))
    LossPlot(tmp_path).on_end(end(0, "failed"))
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_shows_what_went_before(tmp_path: Path, drawn: list[Figure]) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    for number in range(1, 31):
        files.on_step(step(number))
    files.on_evaluation(evaluation(20, 3.0, is_best=True))
    callback = LossPlot(tmp_path)
    callback.on_start(plan(tmp_path, first_step=20))
    callback.on_step(step(21))
    callback.on_end(end(21))
    raw, _, held_out, _ = drawn[-1].axes[0].lines
    assert list(raw.get_xdata()) == list(range(1, 22))
    assert list(held_out.get_xdata()) == [20]


def test_the_picture_is_drawn_as_the_run_goes_but_takes_at_most_a_fiftieth_of_the_time(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    # Each picture takes a second: the second one is due when three, with that at the end, are a fiftieth of the time.
    ticks = iter([0.0, 19.9, 20.1, 20.1, 21.1, 100.0, 149.9, 150.1, 150.1, 151.1, 152.0, 153.0])
    callback = watch(tmp_path, [step(1)], [], clock=lambda: next(ticks))
    callback.on_evaluation(evaluation(1, 3.0, is_best=True))  # at 19.9: two of a fifth of a second would be too much
    assert not drawn
    callback.on_save(1, tmp_path / "step-1")  # at 20.1
    assert len(drawn) == 1
    callback.on_save(2, tmp_path / "step-2")  # at 100: too early
    callback.on_evaluation(evaluation(2, 3.0, is_best=False))  # at 149.9: too early
    assert len(drawn) == 1
    callback.on_save(3, tmp_path / "step-3")  # at 150.1
    assert len(drawn) == 2
    callback.on_end(end(3))
    assert len(drawn) == 3


def test_where_it_is_shown_the_first_picture_is_drawn_at_once(tmp_path: Path, drawn: list[Figure]) -> None:
    shown: list[bytes] = []
    watch(tmp_path, [step(1)], [], show=shown.append, clock=lambda: 0.0)
    assert len(shown) == 1


def test_a_loss_that_is_not_finite_leaves_a_gap(tmp_path: Path) -> None:
    steps = [step(1), step(2, loss=math.nan), step(3, loss=math.inf)]
    watch(tmp_path, steps, [evaluation(3, math.nan, is_best=False)]).on_end(end(3, "failed"))
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG_START)


def test_drawing_changes_neither_the_users_backend_nor_their_figures(tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()
    watch(tmp_path, [step(1)], [evaluation(1, 3.0, is_best=True)]).on_end(end(1))
    assert (mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()) == before


def test_a_long_run_is_thinned_out_and_keeps_its_last_point() -> None:
    curves = Curves.of((step(number) for number in range(1, 100_001)), [])
    steps, losses, means = curves.drawn()
    assert len(steps) == len(losses) == len(means) == 2_000
    assert steps[-1] == 100_000
    assert {later - earlier for earlier, later in itertools.pairwise(steps)} == {50}


def test_the_smooth_curve_is_the_mean_of_both_sides_and_leaves_out_what_is_not_finite() -> None:
    values = np.array([1.0, 2.0, 6.0, math.nan, 5.0, 4.0])
    # In the middle: (2 + 6) / 2, (6 + 5) / 2, (5 + 4) / 2; at the ends, where one side is missing, the value itself.
    expected = [1.0, 3.0, 4.0, 5.5, 4.5, 4.0]
    assert curves._centred_means(values, reach=1) == pytest.approx(expected)
    assert np.isnan(curves._centred_means(values, reach=0)[3])


def test_the_smooth_curve_does_not_lag_behind_a_model_that_learns_fast() -> None:
    curves = Curves.of((step(number, loss=8.0 - number / 100) for number in range(1, 401)), [])
    _, losses, means = curves.drawn()
    assert means == pytest.approx(losses, abs=0.03)  # the running average is 0.97 above at the end


def test_the_smooth_curve_does_not_end_in_the_noise_of_the_last_step() -> None:
    curves = Curves.of([*(step(number, loss=3.0) for number in range(1, 400)), step(400, loss=9.0)], [])
    assert curves.drawn()[2][-1] < 5.0
