"""Progress on a stream: a bar in terminals and notebooks, plain lines elsewhere.

Every line is ASCII, except for what the model wrote, so that any console can show it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm.auto import tqdm

from gpt2simple.runs import metrics, samples
from gpt2simple.runs.curves import HeldOutTrend
from gpt2simple.runs.records import (
    EndRecord,
    EpochRecord,
    EvaluationRecord,
    Observer,
    RunPlan,
    SampleRecord,
    StepRecord,
)

_SAMPLE_LINES = 8

_SAMPLE_CHARACTERS = 500


def start_line(plan: RunPlan) -> str:
    """Which steps the run is about to take."""
    run = f"{plan.run_dir.name} ({plan.model_name})"
    if plan.last_step is None:
        return f"{run}: from step {plan.first_step + 1:,} until held-out loss stops falling"
    epochs = plan.last_step / plan.steps_per_epoch
    return f"{run}: steps {plan.first_step + 1:,} to {plan.last_step:,} ({epochs:,.1f} epochs)"


def step_line(record: StepRecord, plan: RunPlan, held_out: EvaluationRecord | None, seconds_left: float | None) -> str:
    """A step in one line.

    Args:
        held_out: the latest look at the held-out text, if any.
        seconds_left: None where it is not known.
    """
    of = f"/{plan.last_step}" if plan.last_step is not None else ""
    known = "" if held_out is None else f"  held-out {held_out.loss:.3f}"
    left = "" if seconds_left is None else f"  {tqdm.format_interval(seconds_left)} left"
    return (
        f"step {record.step}{of}  epoch {record.epoch:.2f}  loss {record.loss:.3f}  "
        f"smoothed {record.smoothed_loss:.3f}{known}  {record.tokens_per_second:,.0f} tokens/s{left}"
    )


def bar_note(record: StepRecord, held_out: EvaluationRecord | None) -> str:
    """The same beside a bar, short enough for a terminal of 80 columns."""
    known = "" if held_out is None else f" held-out {held_out.loss:.2f}"
    return f"loss {record.loss:.2f} smoothed {record.smoothed_loss:.2f}{known} {record.tokens_per_second:,.0f} tokens/s"


def evaluation_line(record: EvaluationRecord, trend: HeldOutTrend) -> str:
    """A look at the held-out text, beside the best one. ``trend`` has taken the record into account."""
    if trend.best is None or trend.best.step == record.step:
        standing = "the best so far"
    else:
        standing = f"best: {trend.best.loss:.3f} at step {trend.best.step}"
    return f"step {record.step}: held-out loss {record.figures.text()} ({standing})"


def stopped_falling_line(best: EvaluationRecord, plan: RunPlan) -> str:
    """For a run that goes to its end: where it stopped learning and began to memorise."""
    if best.step == 0:  # nothing was learned at all, and there is no checkpoint of before the first step
        return (
            f"Held-out loss has not fallen below that of the model before training ({best.loss:.3f}): the text is "
            "learned by heart, or the learning_rate is too high."
        )
    return (
        f"Held-out loss has not fallen since step {best.step} ({best.loss:.3f}): from there on the model learns the "
        f"text by heart. Training goes on to step {plan.last_step}, as asked; step {best.step} is kept as the best."
    )


def epoch_line(record: EpochRecord) -> str:
    """The mean loss of a pass over the text."""
    return f"epoch {record.epoch} ended at step {record.step}: mean training loss {record.train_loss:.3f} nats/token"


def sample_lines(record: SampleRecord, file: str) -> str:
    """What the model wrote, cut to a few lines.

    Args:
        file: where the whole sample stands, from the run's folder.
    """
    text = _without_controls(record.text.strip())
    shown = "\n".join(text[:_SAMPLE_CHARACTERS].splitlines()[:_SAMPLE_LINES])
    more = "" if shown == text else f"\n[... the whole sample: {file}]"
    return f"--- sample at step {record.step} ---\n{shown}{more}\n---"


def end_line(record: EndRecord, trend: HeldOutTrend) -> str:
    """How the run ended, and how to go on where it did not end by itself."""
    best = f" Best held-out loss: {trend.best.loss:.3f} at step {trend.best.step}." if trend.best else ""
    told = {
        "finished": f"Finished at step {record.step}.{best}",
        "patience": f"Stopped at step {record.step}: held-out loss no longer falls.{best}",
        "callback": f"Stopped by a callback at step {record.step}.{best}",
        "interrupted": f"Interrupted after step {record.step}.{best}",
        "failed": f"Training failed after step {record.step}.{best}",
    }.get(record.reason, f"Ended at step {record.step} ({record.reason}).{best}")
    by_plan = record.reason in ("finished", "patience", "callback")
    return told if by_plan or not record.resume_hint else f"{told} {record.resume_hint}"


def _without_controls(text: str) -> str:
    """The text without what a terminal would obey: a model can write escape sequences too."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)


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
        self._say(start_line(plan))
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
            self._bar.set_postfix_str(bar_note(record, self._trend.latest), refresh=False)
            self._bar.update(record.step - self._bar.n)
            return
        seconds_left = self._seconds_left(record.step)
        if record.step % self._plan.print_every == 0 or record.step == self._plan.last_step:
            self._say(step_line(record, self._plan, self._trend.latest, seconds_left))

    def on_epoch(self, record: EpochRecord) -> None:
        self._say(epoch_line(record))

    def on_evaluation(self, record: EvaluationRecord) -> None:
        self._trend.add(record)
        self._say(evaluation_line(record, self._trend))
        self._say_once_that_it_stopped_falling(record.step)

    def on_sample(self, record: SampleRecord) -> None:
        self._say(sample_lines(record, f"{samples.FOLDER_NAME}/{samples.file_name(record.step)}"))

    def on_notice(self, text: str) -> None:
        self._say(text)

    def on_end(self, record: EndRecord) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._say(end_line(record, self._trend))

    def _say_once_that_it_stopped_falling(self, step: int) -> None:
        """A run that stops by patience says so at its end; only one that goes on needs the remark."""
        plan, best = self._plan, self._trend.best
        goes_on = plan is not None and plan.last_step is not None and step < plan.last_step
        if plan is None or best is None or not goes_on or not self._trend.has_stopped_falling:
            return
        if not self._said_stopped_falling:
            self._said_stopped_falling = True
            self._say(stopped_falling_line(best, plan))

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
