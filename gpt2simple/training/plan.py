"""How often a run evaluates, saves and samples, and when it ends, in steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from gpt2simple.errors import SettingsError
from gpt2simple.settings import TrainingSettings

HELD_OUT_ROWS = 64  # at most, per evaluation during training; more would cost more time than they are worth
_EVALUATIONS_PER_EPOCH = 4
_FEWEST_STEPS_BETWEEN_EVALUATIONS = 10
_MOST_STEPS_BETWEEN_EVALUATIONS = 200
# Rows trained per row evaluated, at least: evaluating a row costs a third of training on it.
_TRAINED_PER_EVALUATED = 4
_STEPS_WITHOUT_HELD_OUT = 100
ENDLESS = 1_000_000_000  # steps: more than any run takes


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """Numbers of optimizer steps.

    Attributes:
        last_step: where the run ends; None: when held-out loss stops falling.
        eval_every: steps between evaluations; a fraction if each epoch ends in one, see ``next_evaluation``.
        save_every, sample_every: intervals; save_every None: at evaluations; sample_every 0: never.
        patience: evaluations without improvement before the run stops; None: it does not.
        steps_per_epoch: rows of an epoch divided by the rows of a step; may be fractional.
    """

    last_step: int | None
    eval_every: int | Fraction
    save_every: int | None
    sample_every: int
    patience: int | None
    steps_per_epoch: float

    @property
    def endless(self) -> bool:
        """Whether the run continues until the user stops it."""
        return self.last_step is not None and self.last_step >= ENDLESS

    def next_evaluation(self, step: int) -> int:
        """The first step after ``step`` that ends in an evaluation.

        With ``eval_every`` 5/2 (five rows, two per step) these are 3, 5, 8, 10: each just after an epoch ended.
        """
        every = Fraction(self.eval_every)
        return math.ceil((step // every + 1) * every)

    def evaluates_at(self, step: int) -> bool:
        """Whether a step ends in an evaluation."""
        return step > 0 and self.next_evaluation(step - 1) == step

    def evaluations_until(self, step: int) -> int:
        """How many steps up to this one end in an evaluation."""
        return min(math.floor(step / Fraction(self.eval_every)), step)

    def keras_epochs(self, step: int) -> Iterator[tuple[int, int]]:
        """The Keras epochs from ``step`` to the end of the run, as (steps per epoch, number of such epochs)."""
        end = ENDLESS if self.last_step is None else self.last_step
        while step < end:
            length = min(self.next_evaluation(step), end) - step
            count = (end - step) // length if length == self.eval_every else 1
            yield length, count
            step += length * count


def plan_steps(
    settings: TrainingSettings, rows_per_epoch: int, held_out_rows: int, *, sample_every: int = 0
) -> StepPlan:
    """The plan of a run.

    Args:
        settings: of the run.
        rows_per_epoch: rows of batches (windows of a text) per epoch.
        held_out_rows: rows of one evaluation; 0: nothing is held out.
        sample_every: steps between samples; 0: none.

    Raises:
        SettingsError: the learning rate is to fall to 0 at the last step, and there is none.
    """
    per_step = settings.batch_size * settings.accumulate_gradients
    steps_per_epoch = rows_per_epoch / per_step
    last_step = settings.steps
    if settings.epochs is not None:
        # Rounded up: a pass reads every window. As a decimal, since 1.1 * 100 is a little more than 110 as a float.
        last_step = math.ceil(Fraction(str(settings.epochs)) * Fraction(rows_per_epoch, per_step))
    if last_step is None and not held_out_rows:
        last_step = _STEPS_WITHOUT_HELD_OUT
    if settings.schedule != "constant" and (last_step is None or last_step >= ENDLESS):
        raise SettingsError(
            f"schedule is {settings.schedule!r}: the learning rate falls to 0 at the last step, but this run has "
            'no last step. Give steps or epochs, or schedule="constant".'
        )
    return StepPlan(
        last_step=last_step,
        eval_every=_eval_every(settings, Fraction(rows_per_epoch, per_step), held_out_rows / per_step),
        save_every=settings.save_every,
        sample_every=sample_every,
        patience=settings.patience_until(last_step),
        steps_per_epoch=steps_per_epoch,
    )


def _eval_every(settings: TrainingSettings, steps_per_epoch: Fraction, steps_per_evaluation: float) -> int | Fraction:
    if settings.eval_every == "epoch":
        return steps_per_epoch
    if settings.eval_every is not None:
        return int(settings.eval_every)
    wanted = max(float(steps_per_epoch) / _EVALUATIONS_PER_EPOCH, _FEWEST_STEPS_BETWEEN_EVALUATIONS)
    wanted = min(wanted, _MOST_STEPS_BETWEEN_EVALUATIONS)
    return max(math.ceil(wanted), math.ceil(_TRAINED_PER_EVALUATED * steps_per_evaluation))
