"""loss.png: training and held-out loss, redrawn during the run, and shown in a notebook as it grows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from gpt2simple.runs import metrics
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.figure import loss_figure, to_png
from gpt2simple.runs.records import EndRecord, EvaluationRecord, RunPlan, StepRecord, TrainingCallback
from gpt2simple.storage.files import atomic_write

FILE_NAME = "loss.png"

# Without a limit, a run that evaluates every second would spend a fifth of its time on drawing.
_LARGEST_SHARE_OF_TIME = 0.02
_USUAL_SECONDS = 0.2  # of a drawing, before the first was timed


class LossPlot(TrainingCallback):
    """Draws the loss curves at every evaluation and checkpoint, and at the end.

    Drawing and showing take at most 2 % of the run's time so far, the plot at the end included; others are skipped.
    Only a run of less than half a minute takes more: for the one at the end and, where it is shown, the first.

    Args:
        run_dir: the run's folder.
        show: is given each picture as PNG, between evaluations too; None: nobody watches.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        show: Callable[[bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_dir, self._show, self._clock = run_dir, show, clock
        self._plan: RunPlan | None = None
        self._curves = Curves()
        self._started = self._spent = 0.0  # when, and for how long plots were drawn, in seconds
        self._next_time = 0.0

    def on_start(self, plan: RunPlan) -> None:
        self._plan, self._started = plan, self._clock()
        self._next_time = self._started
        if self._show is None:  # nobody waits for the first one
            self._next_time += 2 * _USUAL_SECONDS / _LARGEST_SHARE_OF_TIME
        self._curves = metrics.curves_until(self._run_dir, plan.first_step)

    def on_step(self, record: StepRecord) -> None:
        self._curves.add_step(record)
        if self._show is not None:
            self._draw_if_due()

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
        png = to_png(figure)
        atomic_write(self._run_dir / FILE_NAME, png, durable=False)
        if self._show is not None:
            with contextlib.suppress(Exception):  # a browser that went away must not cost the file
                self._show(png)
        seconds = self._clock() - started
        self._spent += seconds
        # The next one takes as long again, and so does the one at the end.
        self._next_time = self._started + (self._spent + 2 * seconds) / _LARGEST_SHARE_OF_TIME
