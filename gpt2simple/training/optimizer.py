"""Adam, AdamW and SGD with each variable's whole update in one pass over memory.

For 124 M parameters the update is limited by memory: a chain of separate operations (unscale, clip, decay, moments,
step) would read and write the same gigabytes several times. Here XLA fuses them per variable, straight from gradients
in the dtype that the products gave. The arithmetic, epsilon's place included, is that of PyTorch's AdamW (Kingma and
Ba, 2015; Loshchilov and Hutter, 2019), with which losses agree step by step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpt2simple._backend import keras, tf
from gpt2simple.network import is_matrix
from gpt2simple.network.fusion import fused

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_MOMENTS = {"adamw": ("m", "v"), "adam": ("m", "v"), "sgd": ()}


class FusedOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer over variables by canonical name.

    Args:
        variables: the variables to train.
        kind: "adamw", "adam" or "sgd".
        learning_rate: a number or a Keras schedule.
        weight_decay: for adamw, per unit of learning rate, on matrices only.
        clip_norm: longest gradient over all variables; 0 does not clip.
    """

    def __init__(
        self, variables: Mapping[str, Any], *, kind: str, learning_rate: Any, weight_decay: float, clip_norm: float
    ) -> None:
        super().__init__(name=kind)
        self._learning_rate = self._build_learning_rate(learning_rate)
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
        rate = self.rate_of_next_step()
        tf.cond(finite, lambda: self._update_all(gradients, factor, rate), lambda: tf.no_op())
        return norm, finite

    def rate_of_next_step(self) -> Any:
        """The learning rate, float32 scalar, that the next step will have."""
        rate = self._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return rate(self.iterations)
        return tf.cast(rate, tf.float32)

    def _update_all(self, gradients: Mapping[str, Any], factor: Any, rate: Any) -> Any:
        count = tf.cast(self.iterations, tf.float32) + 1.0
        # expm1 keeps the digits that 1 - 0.999 ** 1 loses in float32.
        correction_1 = -tf.math.expm1(count * math.log(_BETA_1))
        correction_2 = -tf.math.expm1(count * math.log(_BETA_2))
        for name, gradient in gradients.items():
            variable, slots = self._trained[name], self._slots[name]
            gradient = tf.reshape(gradient, variable.shape)
            shrink = 1.0 - rate * (self._decay if is_matrix(name) else 0.0)
            if slots:
                new = _adam(variable, *slots, gradient, factor, rate, shrink, correction_1, correction_2)
                for target, value in zip((variable, *slots), new, strict=True):
                    target.assign(value, read_value=False)
            else:
                variable.assign_sub(rate * factor * tf.cast(gradient, tf.float32), read_value=False)
        self.iterations.assign_add(1, read_value=False)
        return tf.no_op()


@fused
def _sum_of_squares(gradient: Any) -> Any:
    return tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32)))


@fused
def _adam(
    weight: Any,
    m: Any,
    v: Any,
    gradient: Any,
    factor: Any,
    rate: Any,
    shrink: Any,
    correct_1: Any,
    correct_2: Any,
) -> tuple[Any, Any, Any]:
    g = tf.cast(gradient, tf.float32) * factor
    m = _BETA_1 * m + (1.0 - _BETA_1) * g
    v = _BETA_2 * v + (1.0 - _BETA_2) * tf.square(g)
    denominator = tf.sqrt(v) / tf.sqrt(correct_2) + _EPSILON
    return weight * shrink - rate / correct_1 * m / denominator, m, v
