"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Any

from gpt2simple._backend import keras, tf


class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then a constant, linearly falling or cosine-shaped rate (to 0 at the last step).

    Args:
        peak: highest rate.
        warmup_steps: steps over which it rises; the first step already has ``peak / warmup_steps``.
        shape: "constant", "linear" or "cosine".
        last_step: where linear and cosine reach 0; None for constant.
    """

    def __init__(self, peak: float, warmup_steps: int, shape: str, last_step: int | None) -> None:
        self.peak, self.warmup_steps, self.shape, self.last_step = peak, warmup_steps, shape, last_step

    def __call__(self, step: Any) -> Any:
        """The rate, float32 scalar, of the step after ``step`` done ones."""
        return self.without_warm_up(step) * self.rise(step)

    def without_warm_up(self, step: Any) -> Any:
        """The rate as if there were no warm-up: what callbacks see and change."""
        return self.peak * self._fall(tf.cast(step, tf.float32))

    def rise(self, step: Any) -> Any:
        """The share of it that the warm-up allows, up to 1."""
        return tf.minimum((tf.cast(step, tf.float32) + 1.0) / max(self.warmup_steps, 1), 1.0)

    def _fall(self, done: Any) -> Any:
        if self.shape == "constant" or self.last_step is None:
            return tf.ones([])
        span = max(self.last_step - self.warmup_steps, 1)
        progress = tf.clip_by_value((done - self.warmup_steps) / span, 0.0, 1.0)
        return 1.0 - progress if self.shape == "linear" else 0.5 * (1.0 + tf.cos(math.pi * progress))

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
            "last_step": self.last_step,
        }
