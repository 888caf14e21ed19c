"""loss.png: training and held-out loss, the best step, and where overfitting begins.

Draws through matplotlib's objects, never pyplot, so that the user's own figures and backend stay as they are. Knows
curves; not how they came about.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.records import EndRecord, EvaluationRecord, Observer, RunPlan, StepRecord
from gpt2simple.storage.files import atomic_write

FILE_NAME = "loss.png"

_TRAIN, _HELD_OUT, _OVERFITTING = "#4c78a8", "#e4572e", "#f6c6b5"

# Drawing takes about 0.2 s: a run that looks at its held-out text every second must not spend a fifth of its time here.
_LARGEST_SHARE_OF_TIME = 0.02


class LossPlot(Observer):
    """Draws the picture at every look at the held-out text, at every checkpoint, and at the end.

    Pictures in between are left out where drawing them would take more than 2 % of the time; the last never is.

    Args:
        run_dir: the run's folder.
        clock: seconds that only grow.
    """

    def __init__(self, run_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_dir = run_dir
        self._clock = clock
        self._plan: RunPlan | None = None
        self._curves = Curves()
        self._next_time = float("-inf")

    def on_start(self, plan: RunPlan) -> None:
        self._plan = plan
        self._curves = Curves()
        if plan.first_step:
            earlier = metrics.read(self._run_dir)
            self._curves = Curves.of(
                (record for record in earlier.steps if record.step <= plan.first_step),
                (record for record in earlier.evaluations if record.step <= plan.first_step),
            )

    def on_step(self, record: StepRecord) -> None:
        self._curves.add_step(record)

    def on_evaluation(self, record: EvaluationRecord) -> None:
        self._curves.add_evaluation(record)
        self._draw_if_due()

    def on_save(self, step: int, path: Path) -> None:
        self._draw_if_due()

    def on_end(self, record: EndRecord) -> None:
        self._draw()

    def _draw_if_due(self) -> None:
        if self._clock() >= self._next_time:
            self._draw()

    def _draw(self) -> None:
        if self._plan is None or not (self._curves.steps or self._curves.held_out):
            return
        started = self._clock()
        title = f"{self._run_dir.name}: {Path(self._plan.model_name).name}"  # a model can be named by its folder
        draw(self._curves, self._run_dir / FILE_NAME, title=title, steps_per_epoch=self._plan.steps_per_epoch)
        ended = self._clock()
        self._next_time = ended + (ended - started) / _LARGEST_SHARE_OF_TIME


def draw(curves: Curves, path: Path, *, title: str, steps_per_epoch: float) -> None:
    """Write the picture of these curves as a PNG file, in one piece.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_train(axes, curves)
    if curves.held_out:
        _draw_held_out(axes, curves)
    _finish(axes, curves, title, steps_per_epoch)
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a run named in letters that the font lacks shows as boxes
        canvas.print_png(png)
    atomic_write(path, png.getvalue(), durable=False)


def _draw_train(axes: Any, curves: Curves) -> None:
    steps, losses, means = curves.drawn()
    marker = "o" if len(steps) < 10 else None  # a line through two points shows nothing
    style = {"color": _TRAIN, "marker": marker}
    axes.plot(steps, losses, linewidth=0.8, alpha=0.3, markersize=3, label="training, each step", **style)
    axes.plot(steps, means, linewidth=2, markersize=4, label="training, smoothed", **style)


def _draw_held_out(axes: Any, curves: Curves) -> None:
    steps = [record.step for record in curves.held_out]
    losses = [record.loss for record in curves.held_out]
    axes.plot(steps, losses, color=_HELD_OUT, linewidth=2, marker="o", markersize=4, label="held-out")
    best = curves.trend.best
    assert best is not None, "held-out losses without a best one"
    axes.plot(
        [best.step], [best.loss], "*", color=_HELD_OUT, markeredgecolor="black", markersize=15, zorder=5,
        label=f"best: step {best.step}, {best.figures.text()}",
    )  # fmt: skip
    if curves.trend.has_stopped_falling:
        axes.axvline(best.step, color=_HELD_OUT, linewidth=1, linestyle="--")
        axes.axvspan(
            best.step,
            steps[-1],
            color=_OVERFITTING,
            alpha=0.4,
            linewidth=0,
            label="overfitting: held-out loss no longer falls",
        )  # fmt: skip


def _finish(axes: Any, curves: Curves, title: str, steps_per_epoch: float) -> None:
    axes.set_title(title, parse_math=False)  # a $ in a run's name is no formula
    axes.set_xlabel("steps")
    axes.set_ylabel("loss (nats per token)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    epochs = axes.secondary_xaxis(
        "top", functions=(lambda step: step / steps_per_epoch, lambda epoch: epoch * steps_per_epoch)
    )
    epochs.set_xlabel("epochs (passes over the text)")
