"""What the user is told before the first step: what the text amounts to and how long training will take.

Knows no device and prints nothing; `finetuning` hands over the speed and passes the lines on.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpt2simple.data.summary import DataSummary
from gpt2simple.training.plan import StepPlan


def before_start(text: DataSummary, plan: StepPlan, seconds_per_step: float) -> Iterator[str]:
    """The remarks, one after the other.

    Args:
        text: the summary of the text. plan: where the run ends.
        seconds_per_step: estimated, on this device.
    """
    yield text.text()
    step, epoch = duration(seconds_per_step), duration(seconds_per_step * plan.steps_per_epoch)
    if plan.endless:
        yield f"A step takes about {step} here, a pass over the text about {epoch}; the run ends when you stop it."
    elif plan.last_step is None:
        yield (
            f"A step takes about {step} here, a pass over the text about {epoch}; the run ends when held-out loss "
            "stops falling, often after 2 to 6 passes."
        )
    else:
        yield (
            f"{plan.last_step} steps are {plan.last_step / plan.steps_per_epoch:.1f} passes over the text and take "
            f"about {duration(seconds_per_step * plan.last_step)} here."
        )


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    if seconds < 5400.0:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
