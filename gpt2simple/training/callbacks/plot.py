"""loss.png: training and held-out loss, redrawn during the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.figure import loss_figure, to_png
from gpt2simple.runs.records import EndRecord, EvaluationRecord, RunPlan, StepRecord, TrainingCallback
from gpt2simple.storage.files import atomic_write

FILE_NAME = "loss.png"

# Drawing takes about 0.2 s; without a limit, a run that evaluates every second would spend a fifth of its time on it.
_LARGEST_SHARE_OF_TIME = 0.02


class LossPlot(TrainingCallback):
    """Draws the loss curves at every evaluation and checkpoint, and at the end.

    Drawing takes at most 2 % of the run's time; plots beyond that are skipped, except the last one.

    Args:
        run_dir: the run's folder.
        clock: monotonic time in seconds.
    """

    def __init__(self, run_dir: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_dir, self._clock = run_dir, clock
        self._plan: RunPlan | None = None
        self._curves = Curves()
        self._next_time = float("-inf")

    def on_start(self, plan: RunPlan) -> None:
        self._plan = plan
        self._curves = metrics.curves_until(self._run_dir, plan.first_step)

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
        if self._curves.steps and self._clock() >= self._next_time:  # the evaluation before them is but a point
            self._draw()

    def _draw(self) -> None:
        if self._plan is None or not (self._curves.steps or self._curves.held_out):
            return
        started = self._clock()
        title = f"{self._run_dir.name}: {Path(self._plan.model_name).name}"  # model_name may be a folder
        figure = loss_figure(
            self._curves, title=title, steps_per_epoch=self._plan.steps_per_epoch, target=self._plan.target
        )
        atomic_write(self._run_dir / FILE_NAME, to_png(figure), durable=False)
        ended = self._clock()
        self._next_time = ended + (ended - started) / _LARGEST_SHARE_OF_TIME
