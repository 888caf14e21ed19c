"""The curves of a run, kept small in memory however long it runs, and thinned out for drawing.

Knows records; draws nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gpt2simple.observers.trend import HeldOutTrend
from gpt2simple.records import EvaluationRecord, StepRecord

# More points than a picture has columns cost time and show nothing.
_POINTS_DRAWN = 2000


@dataclass
class Curves:
    """Training and held-out loss by step; 24 bytes a step."""

    steps: array[int] = field(default_factory=lambda: array("q"))
    train: array[float] = field(default_factory=lambda: array("d"))  # nats per token, each step's batch
    smoothed: array[float] = field(default_factory=lambda: array("d"))  # nats per token
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
        self.smoothed.append(record.smoothed_loss)

    def add_evaluation(self, record: EvaluationRecord) -> None:
        self.held_out.append(record)
        self.trend.add(record)

    def drawn(self, values: Sequence[float]) -> tuple[list[int], list[float]]:
        """Steps and one of the step curves, thinned out evenly; the last point always stays."""
        stride = max(1, math.ceil(len(self.steps) / _POINTS_DRAWN))
        last = len(self.steps) - 1
        kept = [i for i in range(len(self.steps)) if i % stride == last % stride]
        return [self.steps[i] for i in kept], [values[i] for i in kept]
