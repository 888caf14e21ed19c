"""Adam, AdamW and SGD over variables by canonical name, and the learning-rate schedule.

The update is limited by memory bandwidth. Gradients arrive in the dtype of the matrix products, and XLA does the rest
in place, in one pass: unscale, clip, decay, moments, weight. The arithmetic, including where epsilon is added, is that
of PyTorch's AdamW (Kingma and Ba, 2015; Loshchilov and Hutter, 2019); losses agree with it step by step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.keras import keras
from gpt2simple.backend.tensorflow import Tensor, Variable, tf
from gpt2simple.gpt2.network.transformer import is_matrix
from gpt2simple.gpt2.network.xla import xla_compiled
from gpt2simple.training.row_gradient import RowGradient, dense


class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a constant rate or a decay to 0 at the last step.

    Args:
        peak: highest rate.
        warmup_steps: steps of warm-up; the first step has ``peak / warmup_steps``.
        shape: "constant", or the shape of the decay: "linear" or "cosine".
        last_step: where linear and cosine reach 0; None for constant.
    """

    def __init__(self, peak: float, warmup_steps: int, shape: str, last_step: int | None) -> None:
        self.peak, self.warmup_steps, self.shape, self.last_step = peak, warmup_steps, shape, last_step
        self.decay_shape = "constant" if last_step is None else shape
        span = max((last_step or 0) - warmup_steps, 1)
        # Reciprocals in float32, which TensorFlow's optimizer makes of divisions by a constant too.
        per_step = [float(np.float32(1.0) / np.float32(steps)) for steps in (max(warmup_steps, 1), span)]
        self.numbers: Sequence[Any] = [peak, float(warmup_steps), *per_step]

    def with_numbers(self, numbers: Sequence[Tensor]) -> WarmUpSchedule:
        """A schedule of this shape with other ``numbers``, float32 scalars: those of any schedule of the same shape."""
        other = copy.copy(self)
        other.numbers = numbers
        return other

    def __call__(self, step: Tensor) -> Tensor:
        """The rate, float32 scalar, of the step that follows ``step`` completed ones."""
        return self.without_warm_up(step) * self.warm_up(step)

    def without_warm_up(self, step: Tensor) -> Tensor:
        """The rate without warm-up, which callbacks see and change."""
        return self.numbers[0] * self._decay(tf.cast(step, tf.float32))

    def warm_up(self, step: Tensor) -> Tensor:
        """The factor of the warm-up, up to 1."""
        return tf.minimum((tf.cast(step, tf.float32) + 1.0) * self.numbers[2], 1.0)

    def _decay(self, done: Tensor) -> Tensor:
        if self.decay_shape == "constant":
            return tf.ones([])
        progress = tf.clip_by_value((done - self.numbers[1]) * self.numbers[3], 0.0, 1.0)  # ()
        return 1.0 - progress if self.decay_shape == "linear" else 0.5 * (1.0 + tf.cos(math.pi * progress))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "shape": self.shape, "last_step": self.last_step}


class RateVariables(NamedTuple):
    """The state of a `LearningRate`, float32 scalars."""

    factor: Variable
    visible: Variable
    expected: Variable  # the last value of `visible` that was not set by a callback


class LearningRate:
    """A schedule times a factor that callbacks change by assigning another rate.

    Callbacks read and assign ``variable``, the rate of the last step without warm-up. The factor is multiplied by the
    ratio of the assigned value to the previous one, so that the schedule keeps its shape. Warm-up is excluded because a
    rate assigned during it would otherwise be compared with the much lower rate of that step.

    Args:
        schedule: the rate without callbacks.
        variables: the state; None: made here, for step 0.
    """

    def __init__(self, schedule: WarmUpSchedule, variables: RateVariables | None = None) -> None:
        self.schedule = schedule
        if variables is None:
            start = {"factor": 1.0, "visible": schedule.without_warm_up(0), "expected": schedule.without_warm_up(0)}
            names = {"factor": "rate_factor", "visible": "learning_rate", "expected": "expected_rate"}
            variables = RateVariables(**{k: tf.Variable(v, trainable=False, name=names[k]) for k, v in start.items()})
        self.variables = variables
        self._factor, self.variable, self._expected = variables

    def factor(self) -> Tensor:
        """The factor by which callbacks have changed the schedule, float32 scalar; part of a checkpoint."""
        return self._factor * tf.where(self._expected > 0.0, self.variable / self._expected, 1.0)

    def at(self, step: Tensor) -> Tensor:
        """The rate, float32 scalar, of the step that follows ``step`` completed ones."""
        return self._without_warm_up(step) * self.schedule.warm_up(step)

    def advance(self, step: Tensor) -> Tensor:
        """As ``at``, for the step in progress: rates assigned by callbacks before it become part of the factor."""
        rate, visible = self.at(step), self._without_warm_up(step)  # (), ()
        self._factor.assign(self.factor())
        self._set(visible)
        return rate

    def restore(self, step: int, factor: float) -> None:
        """Set the state after ``step`` completed steps with this factor."""
        self._factor.assign(factor)
        self._set(self.schedule.without_warm_up(tf.maximum(step - 1, 0)) * factor)

    def _set(self, visible: Tensor) -> None:
        self.variable.assign(visible)
        self._expected.assign(visible)

    def _without_warm_up(self, step: Tensor) -> Tensor:
        return self.schedule.without_warm_up(step) * self.factor()


_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_MOMENTS = {"adamw": ("m", "v"), "adam": ("m", "v"), "sgd": ()}


class OptimizerVariables(NamedTuple):
    """The state of an optimizer: of each trained weight by name its moments; steps done; the learning rate's."""

    slots: dict[str, tuple[Variable, ...]]
    iterations: Variable
    rate: RateVariables


class Update:
    """One step of an optimizer on the variables it is given: those of a run, or the arguments of a compiled step.

    Args:
        trained: the variables to train, by canonical name. state: the optimizer's.
        schedule: of the learning rate.
        weight_decay: times the learning rate, on matrices only.
        clip_norm: largest global gradient norm (L2); None: no clipping.
    """

    def __init__(
        self,
        trained: Mapping[str, Variable],
        state: OptimizerVariables,
        schedule: WarmUpSchedule,
        *,
        weight_decay: float | Tensor,
        clip_norm: float | Tensor | None,
    ) -> None:
        self.state = state
        self._trained, self._slots, self.iterations = dict(trained), state.slots, state.iterations
        self._rate = LearningRate(schedule, state.rate)
        self._decay, self._clip_norm = weight_decay, clip_norm

    def step(self, gradients: Mapping[str, Tensor | RowGradient], scale: Tensor) -> tuple[Tensor, Tensor]:
        """Update every variable once, unless a gradient is not finite.

        Args:
            gradients: by canonical name, in the shape of the variable; biases may be [F] if the variable is [1, F].
            scale: float32 scalar by which the gradients were multiplied.

        Returns:
            Global norm (L2) of the gradients before clipping, and whether it was finite (so the update was made).
        """
        values = [g.rows if isinstance(g, RowGradient) else g for g in gradients.values()]
        norm = tf.sqrt(tf.add_n([_sum_of_squares(array) for array in values])) / scale  # ()
        finite = tf.math.is_finite(norm)  # ()
        factor = 1.0 / scale  # ()
        if self._clip_norm is not None:
            factor *= tf.minimum(self._clip_norm / (norm + 1e-6), 1.0)
        rate = self._rate.advance(self.iterations)  # ()
        tf.cond(finite, lambda: self._update_all(gradients, factor, rate), lambda: tf.no_op())
        return norm, finite

    def rate_of_next_step(self) -> Tensor:
        """The learning rate, float32 scalar, of the next step."""
        return self._rate.at(self.iterations)

    def _update_all(self, gradients: Mapping[str, Tensor | RowGradient], factor: Tensor, rate: Tensor) -> tf.Operation:
        count = tf.cast(self.iterations, tf.float32) + 1.0  # ()
        # expm1 keeps the digits that 1 - 0.999 ** 1 loses in float32.
        correction_1 = -tf.math.expm1(count * math.log(_BETA_1))  # ()
        correction_2 = -tf.math.expm1(count * math.log(_BETA_2))  # ()
        previous: list[Tensor] = []
        for name, gradient in gradients.items():
            # One variable after another; otherwise the executor would hold the new values of all at once.
            with tf.control_dependencies(previous):
                if isinstance(gradient, RowGradient):
                    gradient = RowGradient(*map(tf.identity, gradient))
                else:
                    gradient = tf.reshape(gradient, self._trained[name].shape)
            previous = [self._update(name, gradient, factor, rate, correction_1, correction_2)]
        self.iterations.assign_add(1, read_value=False)
        return tf.no_op()

    def _update(
        self, name: str, gradient: Tensor | RowGradient, factor: Tensor, rate: Tensor, *corrections: Tensor
    ) -> Tensor | tf.Operation:
        """The operation that updates a variable in place."""
        variable, slots = self._trained[name], self._slots[name]
        if not slots:
            return variable.assign_sub(rate * _scaled(gradient, factor), read_value=False)
        decay = self._decay if is_matrix(name) else 0.0
        return _update_adam(variable, *slots, gradient, factor, rate, rate * decay, *corrections)


class FusedOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer over variables by canonical name.

    Args:
        variables: the variables to train.
        kind: "adamw", "adam" or "sgd".
        rate: the learning rate.
        weight_decay: for adamw, times the learning rate, on matrices only.
        clip_norm: largest global gradient norm (L2); 0: no clipping.
    """

    def __init__(
        self, variables: Mapping[str, Variable], *, kind: str, rate: LearningRate, weight_decay: float, clip_norm: float
    ) -> None:
        super().__init__(name=kind)
        self.rate = rate
        self._kind = kind
        self.build(list(variables.values()))
        slots = {
            name: tuple(
                tf.Variable(tf.zeros_like(v), trainable=False, name=f"{slot}/{name}") for slot in _MOMENTS[kind]
            )
            for name, v in variables.items()
        }
        decay = weight_decay if kind == "adamw" else 0.0
        state = OptimizerVariables(slots, self.iterations, rate.variables)
        self.update = Update(variables, state, rate.schedule, weight_decay=decay, clip_norm=clip_norm or None)
        self.numbers = tf.constant([*rate.schedule.numbers, decay, clip_norm], tf.float32)  # (6,), of a compiled step

    @property
    def learning_rate(self) -> Variable:
        """The variable that callbacks read and assign; see `LearningRate`."""
        return self.rate.variable

    @learning_rate.setter
    def learning_rate(self, rate: float | Tensor) -> None:
        self.rate.variable.assign(rate)

    def state(self) -> dict[str, Variable]:
        """The moments by name, such as ``m/wte.weight``; with ``iterations``, the optimizer state of a checkpoint."""
        return {
            f"{slot}/{name}": variable
            for name, slots in self.update.state.slots.items()
            for slot, variable in zip(_MOMENTS[self._kind], slots, strict=True)
        }

    def step(self, gradients: Mapping[str, Tensor | RowGradient], scale: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Update.step``, on the variables of this optimizer."""
        return self.update.step(gradients, scale)

    def rate_of_next_step(self) -> Tensor:
        """The learning rate, float32 scalar, of the next step."""
        return self.update.rate_of_next_step()


@xla_compiled
def _sum_of_squares(gradient: Tensor) -> Tensor:
    # Rows first, as products with ones: a plain sum in XLA takes five times as long on a CPU.
    rows = tf.reshape(tf.square(tf.cast(gradient, tf.float32)), [-1, gradient.shape[-1]])  # (in, out) or (1, F)
    return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([rows.shape[-1]])))


@xla_compiled
def _scaled(gradient: Tensor | RowGradient, factor: Tensor) -> Tensor:
    return tf.cast(dense(gradient), tf.float32) * factor


@xla_compiled
def _update_adam(
    variable: Variable,
    m: Variable,
    v: Variable,
    gradient: Tensor | RowGradient,
    factor: Tensor,
    rate: Tensor,
    decay: Tensor,
    correction_1: Tensor,
    correction_2: Tensor,
) -> Tensor:
    """A step of Adam after weight decay by the fraction ``decay``; XLA updates the variables in place.

    Variables and gradient have the same shape; everything else is a float32 scalar. XLA looks up the row of each
    element of a `RowGradient`, and makes no array of its shape.
    """
    g = tf.cast(dense(gradient), tf.float32) * factor  # (in, out), (E,) or (1, F), as are the rest
    new_m = _BETA_1 * m + (1.0 - _BETA_1) * g
    new_v = _BETA_2 * v + (1.0 - _BETA_2) * g * g
    step = (rate / correction_1) * new_m / (tf.sqrt(new_v) * tf.math.rsqrt(correction_2) + _EPSILON)
    m.assign(new_m)
    v.assign(new_v)
    variable.assign(variable * (1.0 - decay) - step)
    return tf.zeros([])
