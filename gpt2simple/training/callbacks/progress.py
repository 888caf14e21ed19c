"""Progress on a stream: a bar in terminals and notebooks, plain lines elsewhere.

Every line is ASCII, except for generated text, so that any console can show it.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import TqdmWarning

from gpt2simple.runs import metrics, records, samples
from gpt2simple.runs.curves import Curves, HeldOutTrend, call_after_divergence
from gpt2simple.storage.contents import visible
from gpt2simple.storage.disk import LOST

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # a notebook without ipywidgets has no bar, and shows lines
    from tqdm.auto import tqdm

_SAMPLE_LINES = 9  # as many as three prompts take with their outputs and references
_SAMPLE_CHARACTERS = 500


def start_line(plan: records.RunPlan) -> str:
    """The steps that the run will take."""
    run = f"{plan.run_dir.name} ({plan.model_name})"
    if plan.last_step is None:
        return f"{run}: from step {plan.first_step + 1:,} until held-out loss stops improving"
    epochs = plan.last_step / plan.steps_per_epoch
    return f"{run}: steps {plan.first_step + 1:,} to {plan.last_step:,} ({epochs:,.1f} epochs)"


def step_line(
    record: records.StepRecord,
    plan: records.RunPlan,
    held_out: records.EvaluationRecord | None,
    seconds_left: float | None,
) -> str:
    """A step in one line.

    Args:
        held_out: the latest evaluation, if any. seconds_left: None: unknown.
    """
    of = f"/{plan.last_step}" if plan.last_step is not None else ""
    known = "" if held_out is None else f"  held-out {held_out.loss:.3f}"
    left = "" if seconds_left is None else f"  {tqdm.format_interval(seconds_left)} left"
    return (
        f"step {record.step}{of}  epoch {record.epoch:.2f}  loss {record.loss:.3f}  "
        f"smoothed {record.smoothed_loss:.3f}{known}  {record.tokens_per_second:,.0f} {plan.target}s/s{left}"
    )


def bar_note(record: records.StepRecord, held_out: records.EvaluationRecord | None, target: str = "token") -> str:
    """The figures beside a bar, short enough for a terminal of 80 columns; target: as in `RunPlan`."""
    known = "" if held_out is None else f" held-out {held_out.loss:.2f}"
    speed = f"{record.tokens_per_second:,.0f} {target}s/s"
    return f"loss {record.loss:.2f} smoothed {record.smoothed_loss:.2f}{known} {speed}"


def evaluation_line(record: records.EvaluationRecord, trend: HeldOutTrend) -> str:
    """An evaluation compared with the best one. ``trend`` includes the record."""
    if trend.best is None or trend.best.step == record.step:
        comparison = "the best so far"
    else:
        comparison = f"best: {trend.best.figures.criterion()[1]} at step {trend.best.step}"
    return f"step {record.step}: held-out loss {record.figures.text()} ({comparison})"


def stopped_improving_line(kind: str, best: records.EvaluationRecord, plan: records.RunPlan) -> str:
    """The step at which a run stopped improving, and why.

    Args:
        kind: what the curves show (`Curves.kind`).
    """
    name, value = best.figures.criterion()
    never = f"Held-out {name} has not improved on its value before training ({value})"
    since = f"Held-out {name} has not improved since step {best.step} ({value})"
    if kind == "diverged":
        return (
            f"{since if best.step else never}: training diverges. Interrupt it and lower the learning rate: "
            f"{call_after_divergence(best.step, function=plan.function)}."
        )
    if best.step == 0:  # it never improved, and there is no checkpoint of step 0
        return f"{never}: the model is memorising the text, or learning_rate is too high."
    memorising = "; since then the model has been memorising the text" if kind == "overfitted" else ""
    return f"{since}{memorising}. Training continues to step {plan.last_step}; step {best.step} is kept as the best."


def epoch_line(record: records.EpochRecord, target: str) -> str:
    """The mean training loss of an epoch; target: as in `RunPlan`."""
    mean = f"mean training loss {record.train_loss:.3f} nats/{target}"
    return f"epoch {record.epoch} ended at step {record.step}: {mean}"


def sample_lines(record: records.SampleRecord, file: str) -> str:
    """A sample, cut to a few lines.

    Args:
        file: the file with the full sample, relative to the run's folder.
    """
    text = visible(record.text.strip())  # a model may generate escape sequences, which a terminal would execute
    shown = "\n".join(text[:_SAMPLE_CHARACTERS].splitlines()[:_SAMPLE_LINES])
    more = "" if shown == text else f"\n[... full sample: {file}]"
    return f"--- sample at step {record.step} ---\n{shown}{more}\n---"


def end_line(record: records.EndRecord, trend: HeldOutTrend) -> str:
    """How the run ended and, if it was stopped, how to continue it."""
    name, value = trend.best.figures.criterion() if trend.best else ("loss", "")
    best = f" Best held-out {name}: {value} at step {trend.best.step}." if trend.best else ""
    line = {
        "finished": f"Finished at step {record.step}.{best}",
        "patience": f"Stopped at step {record.step}: held-out {name} no longer improves.{best}",
        "callback": f"Stopped by a callback at step {record.step}.{best}",
        "interrupted": f"Interrupted after step {record.step}.{best}",
        "failed": f"Training failed after step {record.step}.{best}",
    }.get(record.reason, f"Ended at step {record.step} ({record.reason}).{best}")
    by_plan = record.reason in ("finished", "patience", "callback")
    return line if by_plan or not record.resume_hint else f"{line} {record.resume_hint}"


_BAR_WITH_END = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining} left{postfix}"
_BAR_WITHOUT_END = "step {n_fmt} {elapsed}{postfix}"


class Progress(records.TrainingCallback):
    """Shows the progress of a run.

    In a terminal or notebook, a bar with loss, smoothed loss, held-out loss, tokens/s and time left; elsewhere, a line
    every ``print_every`` steps (`RunPlan`). Evaluations, samples and messages are always lines.

    Args:
        stream: where to write; None: the current standard error.
        bar: True: a bar; False: lines; None: a bar if the stream is a terminal or a notebook.
        clock: monotonic time in seconds, for the time left.
    """

    def __init__(
        self, stream: TextIO | None = None, *, bar: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given_stream, self._bar_setting, self._clock = stream, bar, clock
        self._plan: records.RunPlan | None = None
        self._bar: Any = None
        self._curves = Curves()
        self._reported_no_improvement = False
        self._first_step_done: tuple[int, float] | None = None  # step and time; the first step is slow, it compiles

    def on_start(self, plan: records.RunPlan) -> None:
        self._plan = plan
        self._curves = metrics.curves_until(plan.run_dir, plan.first_step)
        self._first_step_done = None
        self._write(start_line(plan))
        if self._shows_bar():
            self._bar = tqdm(
                total=plan.last_step,
                initial=plan.first_step,
                file=self._stream,
                bar_format=_BAR_WITHOUT_END if plan.last_step is None else _BAR_WITH_END,
                dynamic_ncols=True,
            )

    def on_step(self, record: records.StepRecord) -> None:
        assert self._plan is not None, "a step before the start"
        self._curves.add_step(record)
        if self._bar is not None:
            self._bar.set_postfix_str(bar_note(record, self._trend.latest, self._plan.target), refresh=False)
            self._bar.update(record.step - self._bar.n)
            return
        seconds_left = self._seconds_left(record.step)
        if record.step % self._plan.print_every == 0 or record.step == self._plan.last_step:
            self._write(step_line(record, self._plan, self._trend.latest, seconds_left))

    def on_epoch(self, record: records.EpochRecord) -> None:
        self._write(epoch_line(record, "token" if self._plan is None else self._plan.target))

    def on_evaluation(self, record: records.EvaluationRecord) -> None:
        self._curves.add_evaluation(record)
        self._write(evaluation_line(record, self._trend))
        self._report_no_improvement(record.step)

    def on_sample(self, record: records.SampleRecord) -> None:
        self._write(sample_lines(record, f"{samples.FOLDER_NAME}/{samples.file_name(record.step)}"))

    def on_message(self, text: str) -> None:
        self._write(text)

    def on_end(self, record: records.EndRecord) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._write(end_line(record, self._trend))

    def _report_no_improvement(self, step: int) -> None:
        """Once per run that continues or diverges; another run that stops by patience reports it at its end."""
        plan, best, kind = self._plan, self._trend.best, self._curves.kind()
        if plan is None or best is None or self._reported_no_improvement:
            return
        continues = plan.last_step is not None and step < plan.last_step
        if kind == "diverged" or (continues and self._trend.has_stopped_falling):
            self._reported_no_improvement = True
            self._write(stopped_improving_line(kind, best, plan))

    @property
    def _trend(self) -> HeldOutTrend:
        return self._curves.trend

    @property
    def _stream(self) -> TextIO | None:
        return self._given_stream if self._given_stream is not None else sys.stderr

    def _shows_bar(self) -> bool:
        if self._bar_setting is not None:
            return self._bar_setting
        isatty = getattr(self._stream, "isatty", None)
        in_notebook = any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)  # Jupyter with ipywidgets
        return (self._given_stream is None and in_notebook) or bool(isatty and isatty())

    def _seconds_left(self, step: int) -> float | None:
        """Estimated from the mean speed since the first step, including evaluations and saving."""
        now = self._clock()
        if self._first_step_done is None:
            self._first_step_done = (step, now)
        since, started = self._first_step_done
        if self._plan is None or self._plan.last_step is None or step == since:
            return None
        return (self._plan.last_step - step) * (now - started) / (step - since)

    def _write(self, text: str) -> None:
        stream = self._stream
        if stream is None:  # a program without a console (pythonw)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        showable = text.encode(encoding, "replace").decode(encoding)
        if self._bar is not None:
            self._bar.write(showable, file=stream)
        else:
            with contextlib.suppress(*LOST):  # no line is worth a run
                stream.write(f"{showable}\n")
                stream.flush()
