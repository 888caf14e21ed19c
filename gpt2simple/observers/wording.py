"""The lines that tell a user how a run goes: records in, text out.

Knows no terminal and no progress bar. Every line is ASCII but for what the model wrote, so that any console shows it.
"""

from __future__ import annotations

from gpt2simple.observers.trend import HeldOutTrend
from gpt2simple.records import EndRecord, EpochRecord, EvaluationRecord, RunPlan, SampleRecord, StepRecord

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
    left = "" if seconds_left is None else f"  {duration(seconds_left)} left"
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
    return (
        f"step {record.step}: held-out loss {record.loss:.3f} nats/token, perplexity {record.perplexity:.4g}, "
        f"{record.bits_per_byte:.3f} bits/byte ({standing})"
    )


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


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _without_controls(text: str) -> str:
    """The text without what a terminal would obey: a model can write escape sequences too."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
