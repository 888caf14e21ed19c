"""What a run trains on, how often it evaluates, saves and samples, and when it ends: settings as numbers of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

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
        eval_every: from look to look; a fraction where each pass over the text ends in a look, see ``next_look``.
        save_every, sample_every: intervals; save_every None: at looks; sample_every 0: never.
        patience: looks without a better one before a run without an end stops.
        steps_per_epoch: windows of a pass over the windows of a step; not always whole.
    """

    last_step: int | None
    eval_every: int | Fraction
    save_every: int | None
    sample_every: int
    patience: int
    steps_per_epoch: float

    @property
    def endless(self) -> bool:
        """Whether only the user ends the run."""
        return self.last_step is not None and self.last_step >= ENDLESS

    def next_look(self, step: int) -> int:
        """The first step after ``step`` that ends in a look at the held-out text.

        With ``eval_every`` 5/2 (five windows, two in a step) these are 3, 5, 8, 10: where a pass has just ended.
        """
        every = Fraction(self.eval_every)
        return math.ceil((step // every + 1) * every)

    def is_look(self, step: int) -> bool:
        """Whether a step ends in a look."""
        return step > 0 and self.next_look(step - 1) == step

    def looks_until(self, step: int) -> int:
        """How many steps up to this one end in a look."""
        return min(math.floor(step / Fraction(self.eval_every)), step)

    def stretches(self, step: int) -> Iterator[tuple[int, int]]:
        """From ``step`` to the end of the run, the stretches between looks: steps of one, and how many such follow."""
        end = ENDLESS if self.last_step is None else self.last_step
        while step < end:
            length = min(self.next_look(step), end) - step
            count = (end - step) // length if length == self.eval_every else 1
            yield length, count
            step += length * count


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
        eval_every=_eval_every(settings, Fraction(windows_per_epoch, per_step), held_out_windows / per_step),
        save_every=settings.save_every,
        sample_every=_SAMPLE_EVERY if settings.sample_every is None else settings.sample_every,
        patience=settings.early_stopping_patience,
        steps_per_epoch=steps_per_epoch,
    )


def _eval_every(settings: FinetuneSettings, steps_per_epoch: Fraction, steps_per_look: float) -> int | Fraction:
    if settings.eval_every == "epoch":
        return steps_per_epoch
    if settings.eval_every is not None:
        return int(settings.eval_every)
    wanted = min(max(float(steps_per_epoch) / _LOOKS_PER_EPOCH, _FEWEST_STEPS_BETWEEN_LOOKS), _MOST_STEPS_BETWEEN_LOOKS)
    return max(math.ceil(wanted), math.ceil(_LOOK_TO_TRAINING * steps_per_look))


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # inputs, targets, weights, each [B, T]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run trains on.

    Attributes:
        batch: number of a micro-batch since the run began -> arrays [B, T]; a pure function, so that a number is all
            there is to a position in the data.
        epoch_at: number of micro-batches taken -> passes over the text.
        accumulate: micro-batches per step.
        held_out: batches of one look; empty: nothing is held out. target_bytes: bytes that their targets spell.
        sample: step -> what the model writes, or None.
    """

    batch: Callable[[int], Batch]
    epoch_at: Callable[[int], float]
    accumulate: int
    held_out: Sequence[Batch]
    target_bytes: int
    sample: Callable[[int], str] | None
