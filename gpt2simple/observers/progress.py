"""Progress on a stream: a bar in terminals and notebooks, plain lines elsewhere.

Knows where text goes; `wording` knows what it says.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm.auto import tqdm

from gpt2simple.observers import metrics, samples, wording
from gpt2simple.observers.trend import HeldOutTrend
from gpt2simple.records import (
    EndRecord,
    EpochRecord,
    EvaluationRecord,
    Observer,
    RunPlan,
    SampleRecord,
    StepRecord,
)

_BAR_WITH_END = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining} left{postfix}"
_BAR_WITHOUT_END = "step {n_fmt} {elapsed}{postfix}"


class Progress(Observer):
    """Shows a run as it goes.

    In a terminal or notebook, a bar with loss, smoothed loss, held-out loss, tokens/s and time left. Elsewhere a line
    every ``print_every`` steps (`RunPlan`). Held-out losses, samples and notices are lines in both.

    Args:
        stream: where it is shown; None: standard error, as it is when the run starts.
        bar: True shows a bar, False lines; None: a bar where the stream is a terminal or a notebook.
        clock: seconds that only grow, for the time left.
    """

    def __init__(
        self, stream: TextIO | None = None, *, bar: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given_stream = stream
        self._wants_bar = bar
        self._clock = clock
        self._plan: RunPlan | None = None
        self._bar: Any = None
        self._trend = HeldOutTrend()
        self._said_stopped_falling = False
        self._first_step_done: tuple[int, float] | None = None  # step and time: the first step compiles and is slow

    def on_start(self, plan: RunPlan) -> None:
        self._plan = plan
        earlier = metrics.read(plan.run_dir).evaluations if plan.first_step else []
        self._trend = HeldOutTrend(record for record in earlier if record.step <= plan.first_step)
        self._first_step_done = None
        self._say(wording.start_line(plan))
        if self._shows_bar():
            self._bar = tqdm(
                total=plan.last_step,
                initial=plan.first_step,
                file=self._stream,
                bar_format=_BAR_WITHOUT_END if plan.last_step is None else _BAR_WITH_END,
                dynamic_ncols=True,
            )

    def on_step(self, record: StepRecord) -> None:
        assert self._plan is not None, "a step before the start"
        if self._bar is not None:
            self._bar.set_postfix_str(wording.bar_note(record, self._trend.latest), refresh=False)
            self._bar.update(record.step - self._bar.n)
            return
        seconds_left = self._seconds_left(record.step)
        if record.step % self._plan.print_every == 0 or record.step == self._plan.last_step:
            self._say(wording.step_line(record, self._plan, self._trend.latest, seconds_left))

    def on_epoch(self, record: EpochRecord) -> None:
        self._say(wording.epoch_line(record))

    def on_evaluation(self, record: EvaluationRecord) -> None:
        self._trend.add(record)
        self._say(wording.evaluation_line(record, self._trend))
        self._say_once_that_it_stopped_falling(record.step)

    def on_sample(self, record: SampleRecord) -> None:
        self._say(wording.sample_lines(record, f"{samples.FOLDER_NAME}/{samples.file_name(record.step)}"))

    def on_notice(self, text: str) -> None:
        self._say(text)

    def on_end(self, record: EndRecord) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._say(wording.end_line(record, self._trend))

    def _say_once_that_it_stopped_falling(self, step: int) -> None:
        """A run that stops by patience says so at its end; only one that goes on needs the remark."""
        plan, best = self._plan, self._trend.best
        goes_on = plan is not None and plan.last_step is not None and step < plan.last_step
        if plan is None or best is None or not goes_on or not self._trend.has_stopped_falling:
            return
        if not self._said_stopped_falling:
            self._said_stopped_falling = True
            self._say(wording.stopped_falling_line(best, plan))

    @property
    def _stream(self) -> TextIO | None:
        return self._given_stream if self._given_stream is not None else sys.stderr

    def _shows_bar(self) -> bool:
        if self._wants_bar is not None:
            return self._wants_bar
        isatty = getattr(self._stream, "isatty", None)
        return (self._given_stream is None and _in_notebook()) or bool(isatty and isatty())

    def _seconds_left(self, step: int) -> float | None:
        """From the mean pace since the first step, looks at the held-out text and saving included."""
        now = self._clock()
        if self._first_step_done is None:
            self._first_step_done = (step, now)
        since, started = self._first_step_done
        if self._plan is None or self._plan.last_step is None or step == since:
            return None
        return (self._plan.last_step - step) * (now - started) / (step - since)

    def _say(self, text: str) -> None:
        stream = self._stream
        if stream is None:  # a program without a console (pythonw)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        showable = text.encode(encoding, "replace").decode(encoding)
        if self._bar is not None:
            self._bar.write(showable, file=stream)
        else:
            stream.write(f"{showable}\n")
            stream.flush()


def _in_notebook() -> bool:
    """Whether tqdm chose its notebook bar: a Jupyter kernel runs and ipywidgets are there."""
    return any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)
