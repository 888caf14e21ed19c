"""How often a run looks, saves and samples, and when it ends: settings turned into numbers of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpt2simple.settings import FinetuneSettings

_MOST_STEPS_BETWEEN_LOOKS = 200
_FEWEST_STEPS_BETWEEN_LOOKS = 10
_LOOKS_PER_EPOCH = 4
_LOOK_TO_TRAINING = 4  # windows trained per window looked at, at least: a look costs a third of a step's window
_STEPS_WITHOUT_HELD_OUT = 100
_SAMPLE_EVERY = 100

ENDLESS = 1_000_000_000  # steps: more than anybody waits for


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Numbers of optimizer steps.

    Attributes:
        last_step: where the run ends; None: when held-out loss has stopped falling.
        eval_every, save_every, sample_every: intervals; save_every None: at looks; sample_every 0: never.
        patience: looks without a better one before a run without an end stops.
        steps_per_epoch: windows of a pass over the windows of a step; not always whole.
    """

    last_step: int | None
    eval_every: int
    save_every: int | None
    sample_every: int
    patience: int
    steps_per_epoch: float

    @property
    def endless(self) -> bool:
        """Whether only the user ends the run."""
        return self.last_step is not None and self.last_step >= ENDLESS


def plan_steps(settings: FinetuneSettings, windows_per_epoch: int, held_out_windows: int) -> StepPlan:
    """The plan of a run over a text of so many windows.

    Args:
        settings: of the run.
        windows_per_epoch: training windows of one pass.
        held_out_windows: windows of one look at the held-out text; 0: nothing is held out.
    """
    per_step = settings.batch_size * settings.accumulate_gradients
    steps_per_epoch = windows_per_epoch / per_step
    last_step = settings.steps
    if settings.epochs is not None:
        last_step = max(round(settings.epochs * steps_per_epoch), 1)
    if last_step is None and not held_out_windows:
        last_step = _STEPS_WITHOUT_HELD_OUT
    return StepPlan(
        last_step=last_step,
        eval_every=_eval_every(settings, steps_per_epoch, held_out_windows / per_step),
        save_every=settings.save_every,
        sample_every=_SAMPLE_EVERY if settings.sample_every is None else settings.sample_every,
        patience=settings.early_stopping_patience,
        steps_per_epoch=steps_per_epoch,
    )


def _eval_every(settings: FinetuneSettings, steps_per_epoch: float, steps_per_look: float) -> int:
    if settings.eval_every == "epoch":
        return max(math.ceil(steps_per_epoch), 1)
    if settings.eval_every is not None:
        return int(settings.eval_every)
    wanted = min(max(steps_per_epoch / _LOOKS_PER_EPOCH, _FEWEST_STEPS_BETWEEN_LOOKS), _MOST_STEPS_BETWEEN_LOOKS)
    return max(math.ceil(wanted), math.ceil(_LOOK_TO_TRAINING * steps_per_look))
