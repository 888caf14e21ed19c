"""Adam, AdamW and SGD over variables by canonical name, in few passes over memory, and the learning rate's schedule.

For 124 M parameters the update is limited by memory. Gradients arrive in the dtype that the products gave, and XLA does
the rest in one pass, in place: unscale, clip, decay, moments, weight. The arithmetic, epsilon's place included, is that
of PyTorch's AdamW (Kingma and Ba, 2015; Loshchilov and Hutter, 2019), with which losses agree step by step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpt2simple.backend.tensorflow import keras, tf
from gpt2simple.gpt2.network.transformer import is_matrix
from gpt2simple.gpt2.network.xla import fused


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


_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8

_MOMENTS = {"adamw": ("m", "v"), "adam": ("m", "v"), "sgd": ()}


class FusedOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer over variables by canonical name.

    Args:
        variables: the variables to train.
        kind: "adamw", "adam" or "sgd".
        rate: the learning rate, by steps.
        weight_decay: for adamw, per unit of learning rate, on matrices only.
        clip_norm: longest gradient over all variables; 0 does not clip.
    """

    def __init__(
        self, variables: Mapping[str, Any], *, kind: str, rate: LearningRate, weight_decay: float, clip_norm: float
    ) -> None:
        super().__init__(name=kind)
        self.rate = rate
        self._kind = kind
        self._decay = weight_decay if kind == "adamw" else 0.0
        self._clip_norm = clip_norm
        self._trained = dict(variables)
        self.build(list(self._trained.values()))
        self._slots = {
            name: tuple(
                tf.Variable(tf.zeros_like(v), trainable=False, name=f"{slot}/{name}") for slot in _MOMENTS[kind]
            )
            for name, v in self._trained.items()
        }

    @property
    def learning_rate(self) -> Any:
        """What callbacks read and assign, a variable; see `LearningRate`."""
        return self.rate.shown

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        self.rate.shown.assign(rate)

    def state(self) -> dict[str, Any]:
        """The moments by name, such as ``m/wte.weight``: what a checkpoint holds beside ``iterations``."""
        return {
            f"{slot}/{name}": variable
            for name, slots in self._slots.items()
            for slot, variable in zip(_MOMENTS[self._kind], slots, strict=True)
        }

    def step(self, gradients: Mapping[str, Any], scale: Any) -> tuple[Any, Any]:
        """Update every variable once, unless a gradient is not finite.

        Args:
            gradients: by canonical name, flat biases allowed.
            scale: float32 scalar that the gradients were multiplied by.

        Returns:
            Euclidean norm of all gradients before clipping, and whether it was finite (so the update was made).
        """
        norm = tf.sqrt(tf.add_n([_sum_of_squares(g) for g in gradients.values()])) / scale
        finite = tf.math.is_finite(norm)
        factor = 1.0 / scale
        if self._clip_norm > 0.0:
            factor *= tf.minimum(self._clip_norm / (norm + 1e-6), 1.0)
        rate = self.rate.take(self.iterations)
        tf.cond(finite, lambda: self._update_all(gradients, factor, rate), lambda: tf.no_op())
        return norm, finite

    def rate_of_next_step(self) -> Any:
        """The learning rate, float32 scalar, that the next step will have."""
        return self.rate.after(self.iterations)

    def _update_all(self, gradients: Mapping[str, Any], factor: Any, rate: Any) -> Any:
        count = tf.cast(self.iterations, tf.float32) + 1.0
        # expm1 keeps the digits that 1 - 0.999 ** 1 loses in float32.
        correction_1 = -tf.math.expm1(count * math.log(_BETA_1))
        correction_2 = -tf.math.expm1(count * math.log(_BETA_2))
        previous: list[Any] = []
        for name, gradient in gradients.items():
            # One variable after the other: at once the executor would hold new values of all before it stores any.
            with tf.control_dependencies(previous):
                gradient = tf.reshape(gradient, self._trained[name].shape)
            previous = [self._update(name, gradient, factor, rate, correction_1, correction_2)]
        self.iterations.assign_add(1, read_value=False)
        return tf.no_op()

    def _update(self, name: str, gradient: Any, factor: Any, rate: Any, *corrections: Any) -> Any:
        """Store a variable's new values in place and give back the operation that does it."""
        variable, slots = self._trained[name], self._slots[name]
        if not slots:
            return variable.assign_sub(rate * _scaled(gradient, factor), read_value=False)
        decay = self._decay if is_matrix(name) else 0.0
        return _update_adam(variable, *slots, gradient, factor, rate, rate * decay, *corrections)


@fused
def _sum_of_squares(gradient: Any) -> Any:
    # Rows first, as products with ones: XLA's plain sum over everything takes five times as long on a CPU.
    rows = tf.reshape(tf.square(tf.cast(gradient, tf.float32)), [-1, gradient.shape[-1]])
    return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([rows.shape[-1]])))


@fused
def _scaled(gradient: Any, factor: Any) -> Any:
    return tf.cast(gradient, tf.float32) * factor


@fused
def _update_adam(
    variable: Any,
    m: Any,
    v: Any,
    gradient: Any,
    factor: Any,
    rate: Any,
    shrinking: Any,
    correction_1: Any,
    correction_2: Any,
) -> Any:
    """Adam's step, and the share `shrinking` taken off first: by variables, whose memory XLA writes to directly."""
    g = tf.cast(gradient, tf.float32) * factor
    new_m = _BETA_1 * m + (1.0 - _BETA_1) * g
    new_v = _BETA_2 * v + (1.0 - _BETA_2) * g * g
    step = (rate / correction_1) * new_m / (tf.sqrt(new_v) * tf.math.rsqrt(correction_2) + _EPSILON)
    m.assign(new_m)
    v.assign(new_v)
    variable.assign(variable * (1.0 - shrinking) - step)
    return tf.zeros([])
