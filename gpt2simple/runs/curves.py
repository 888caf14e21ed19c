"""The curves of a run, small in memory however long it runs and thinned out for drawing, and the held-out trend.

What the curves show is judged here, once for console, picture and report. When a run stops is not decided here: that is
the training loop's patience. Knows records; draws nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from gpt2simple.runs.records import EvaluationRecord, StepRecord

# The default of `early_stopping_patience`, so that a run with a fixed number of steps gets the same message as one that
# would have stopped there.
EVALUATIONS_WITHOUT_GAIN = 3


def call_after_divergence(best_step: int | None, learning_rate: str = "...", *, function: str = "finetune") -> str:
    """The call with a lower rate that goes on from the best step of a run that diverged, or starts it again.

    Args:
        function: of the API, which trains such a run.
    """
    again = 'restore_from="best"' if best_step else 'restore_from="fresh", overwrite=True'
    return f"{function}(..., {again}, learning_rate={learning_rate})"


class HeldOutTrend:
    """The best evaluation so far, and how many came after it.

    Args:
        evaluations: those of earlier sessions, in order of steps.
    """

    def __init__(self, evaluations: Iterable[EvaluationRecord] = ()) -> None:
        self.best: EvaluationRecord | None = None
        self.latest: EvaluationRecord | None = None
        self.evaluations_since_best = 0
        for record in evaluations:
            self.add(record)

    def add(self, record: EvaluationRecord) -> None:
        """Take the next evaluation into account; the record itself says whether it is the best, as checkpoints do."""
        self.latest = record
        if self.best is None or record.is_best:
            self.best = record
            self.evaluations_since_best = 0
        else:
            self.evaluations_since_best += 1

    @property
    def has_stopped_falling(self) -> bool:
        """Whether held-out loss has stopped falling, for a run with a fixed number of steps."""
        return self.has_stopped_after(EVALUATIONS_WITHOUT_GAIN)

    def has_stopped_after(self, patience: int) -> bool:
        """Whether held-out loss has stopped falling, for a run with this patience.

        With a patience below ``EVALUATIONS_WITHOUT_GAIN`` the run ends before that many evaluations without gain.
        """
        return self.evaluations_since_best >= min(patience, EVALUATIONS_WITHOUT_GAIN)


# Held-out loss has risen if it ends this share above its best. All evaluations use the same text, so their differences
# are far more certain than the loss.
_CLEAR_RISE = 0.01

# Training loss rises if the mean of the last tenth of the steps is above that of the lowest tenth by this share of the
# first step's loss, or by half of what held-out loss rose; and by four standard errors: batches differ, and the lowest
# of ten means is low by chance.
_TENTHS, _CLEAR_TRAINING_RISE, _STANDARD_ERRORS = 10, 0.1, 4.0


def is_ruined(loss: float, before: float) -> bool:
    """Whether training has ruined a model: its loss is nan, or three times what it was and at least 10.

    Args:
        loss: now, nats per token; 10 is as bad as a guess among 22,000 tokens. before: when the model was sound.
    """
    return not loss <= max(10.0, 3.0 * before)  # `not`, for nan


_POINTS_DRAWN = 2000  # more points than a picture has columns cost time and show nothing
_SMOOTHED_SHARE = 0.05  # share of the steps that each point of the smooth curve averages


@dataclass
class Curves:
    """Training and held-out loss by step; 16 bytes a step."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    train: array[float] = field(default_factory=lambda: array("d"))  # nats per token, each step's batch
    held_out: list[EvaluationRecord] = field(default_factory=list)
    trend: HeldOutTrend = field(default_factory=HeldOutTrend)

    @classmethod
    def of(cls, steps: Iterable[StepRecord], evaluations: Iterable[EvaluationRecord]) -> Curves:
        """The curves of what was recorded, each in order of steps."""
        curves = cls()
        for step in steps:
            curves.add_step(step)
        for evaluation in evaluations:
            curves.add_evaluation(evaluation)
        return curves

    def add_step(self, record: StepRecord) -> None:
        self.steps.append(record.step)
        self.train.append(record.loss)

    def add_evaluation(self, record: EvaluationRecord) -> None:
        self.held_out.append(record)
        self.trend.add(record)

    def kind(self, patience: int = EVALUATIONS_WITHOUT_GAIN) -> str:
        """What the curves show of the run.

        Args:
            patience: evaluations without gain after which the run ends by itself.

        Returns:
            "diverged": training loss has risen, and held-out loss with it where there is any; or the model is ruined.
            "not_measured": there was no evaluation.
            "cannot_say": there were too few evaluations to judge.
            "learned_nothing": held-out loss was lowest before training.
            "still_learning": held-out loss falls, or has not stopped falling for long enough to say so.
            "overfitted": held-out loss has risen and training loss has not.
            "at_its_best": held-out loss has stopped falling, but has not clearly risen.
        """
        best, last = self.trend.best, self.trend.latest
        clear = _CLEAR_TRAINING_RISE * self.train[0] if self.train else 0.0
        if best is None or last is None:
            return "diverged" if self._training_loss_rise() > clear else "not_measured"
        risen = last.loss > best.loss * (1.0 + _CLEAR_RISE)
        rises_too = risen and self._training_loss_rise() > min(clear, (last.loss - best.loss) / 2)
        if rises_too or self.is_ruined:
            return "diverged"
        stopped = self.trend.has_stopped_after(patience)
        if not stopped and (len(self.held_out) < EVALUATIONS_WITHOUT_GAIN or best.step == 0):
            return "cannot_say"
        if best.step == 0:
            return "learned_nothing"
        if not stopped:
            return "still_learning"
        return "overfitted" if risen else "at_its_best"

    @property
    def is_ruined(self) -> bool:
        """Whether the model was ruined between the last two evaluations: memorising raises held-out loss slowly."""
        return bool(self.held_out) and is_ruined(self.held_out[-1].loss, self.held_out[-2:][0].loss)

    def _training_loss_rise(self) -> float:
        """How far the last tenth of the steps is above the lowest one, in nats per token; 0.0 if it may be noise."""
        size = len(self.train) // _TENTHS
        if size < 3:  # whose variance is hardly known
            return 0.0
        tenths = np.array(self.train)[-size * _TENTHS :].reshape(_TENTHS, size)
        means, variances = tenths.mean(axis=1), np.sort(tenths.var(axis=1, ddof=1))
        noise = _STANDARD_ERRORS * np.sqrt(2 * variances[:-1].mean() / size)  # without the tenth in which it rose
        rise = float(means[-1] - means.min())
        return rise if rise > noise else 0.0

    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps, losses and smoothed losses [N], thinned out evenly; the last point always stays.

        The smooth curve is the mean over the neighbours on both sides. The running average that the console shows lags
        behind, so that a model that learns fast would seem worse on what it has read than on what it has not.
        """
        steps, train = np.array(self.steps), np.array(self.train)
        reach = int(len(steps) * _SMOOTHED_SHARE / 2)
        kept = np.arange(len(steps))[:: -max(1, -(-len(steps) // _POINTS_DRAWN))][::-1]
        return steps[kept], train[kept], _centred_means(train, reach)[kept]


def _centred_means(values: np.ndarray, reach: int) -> np.ndarray:
    """For each of ``values`` [N] the mean [N] of it and up to ``reach`` neighbours on each side.

    Near the ends the window shrinks, so that the curve does not flatten there, but not below ``reach // 2`` on a side,
    so that it does not end in the last value's noise. Values that are not finite are left out.
    """
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    places = np.arange(len(values))
    reaches = np.maximum(np.minimum(reach, np.minimum(places, places[::-1])), reach // 2)
    first, after = np.maximum(places - reaches, 0), np.minimum(places + reaches + 1, len(values))
    taken = counts[after] - counts[first]
    return np.where(taken > 0, (sums[after] - sums[first]) / np.maximum(taken, 1), np.nan)
