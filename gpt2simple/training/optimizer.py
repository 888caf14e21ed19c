"""Adam, AdamW and SGD over variables by canonical name, in as few passes over memory as there can be.

For 124 M parameters the update is limited by memory. Gradients arrive in the dtype that the products gave, and XLA does
the rest in one pass, in place: unscale, clip, decay, moments, weight. The arithmetic, epsilon's place included, is that
of PyTorch's AdamW (Kingma and Ba, 2015; Loshchilov and Hutter, 2019), with which losses agree step by step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpt2simple._backend import keras, tf
from gpt2simple.network import is_matrix
from gpt2simple.network.fusion import fused
from gpt2simple.training.rate import LearningRate

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
