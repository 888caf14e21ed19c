"""The learning rate of a run: its schedule, and what callbacks have made of it."""

from __future__ import annotations

from typing import Any

from gpt2simple._backend import tf
from gpt2simple.training.schedule import WarmUpSchedule


class LearningRate:
    """A schedule times a factor that callbacks change by assigning another rate.

    ``shown`` is the variable that callbacks read and assign: the rate of the last step as if there were no warm-up.
    What one assigns, over what stood there, is a factor from then on, so that a schedule goes on in its shape; and a
    rate assigned during the warm-up is not taken for several times that of so early a step.

    Args:
        schedule: the rate without callbacks.
    """

    def __init__(self, schedule: WarmUpSchedule) -> None:
        self._schedule = schedule
        self._factor = tf.Variable(1.0, trainable=False, name="rate_factor")
        self.shown = tf.Variable(schedule.without_warm_up(0), trainable=False, name="learning_rate")
        self._expected = tf.Variable(self.shown, trainable=False, name="expected_rate")  # what stood there

    def factor(self) -> Any:
        """What callbacks have multiplied the schedule by so far, float32 scalar: part of a checkpoint."""
        return self._factor * tf.where(self._expected > 0.0, self.shown / self._expected, 1.0)

    def after(self, step: Any) -> Any:
        """The rate, float32 scalar, of the step after ``step`` done ones."""
        return self._without_warm_up(step) * self._schedule.rise(step)

    def take(self, step: Any) -> Any:
        """The same for a step that is being made: what callbacks assigned before it becomes the factor."""
        rate, shown = self.after(step), self._without_warm_up(step)
        self._factor.assign(self.factor())
        self.shown.assign(shown)
        self._expected.assign(shown)
        return rate

    def go_on(self, step: Any, factor: float) -> None:
        """Be as after ``step`` done ones, with the factor of then."""
        self._factor.assign(factor)
        shown = self._schedule.without_warm_up(tf.maximum(step - 1, 0)) * factor
        self.shown.assign(shown)
        self._expected.assign(shown)

    def _without_warm_up(self, step: Any) -> Any:
        return self._schedule.without_warm_up(step) * self.factor()
