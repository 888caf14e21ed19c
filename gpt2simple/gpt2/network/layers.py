"""The parts of a block that are not attention: layer norm, linear maps, GELU.

Arithmetic other than matrix products is float32 whatever the dtype of the products.
"""

from __future__ import annotations

from typing import Any

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network.xla import after, fused

_GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)

_GELU_CUBIC = 0.044715


def layer_norm(x: Any, scale: Any, offset: Any, epsilon: float, dtype: Any) -> Any:
    """Rows of zero mean and unit variance, scaled and shifted, in ``dtype``.

    Args:
        x: float32 [N, E]. scale, offset: float32 [E].
        epsilon: added to the variance. dtype: of the result, which feeds a matrix product.

    Its backward pass starts again from x and two numbers a row; the plain form keeps the normed rows too.
    """

    @tf.custom_gradient
    def norm(x: Any, scale: Any, offset: Any) -> Any:
        y, means, deviations = _layer_norm_forward(x, scale, offset, tf.constant(epsilon), tf.zeros([], dtype))

        def backward(upstream: Any) -> tuple[Any, Any, Any]:
            return _layer_norm_backward(x, scale, means, deviations, upstream)

        return y, backward

    return norm(x, scale, offset)


@fused
def _layer_norm_forward(x: Any, scale: Any, offset: Any, epsilon: Any, like: Any) -> tuple[Any, Any, Any]:
    width = x.shape[-1]
    means = tf.linalg.matvec(x, tf.fill([width], 1.0 / width))[:, None]  # (N, 1)
    centred = x - means
    deviations = tf.sqrt(tf.linalg.matvec(tf.square(centred), tf.fill([width], 1.0 / width))[:, None] + epsilon)
    return tf.cast(centred / deviations * scale + offset, like.dtype), means, deviations


@fused
def _layer_norm_backward(x: Any, scale: Any, means: Any, deviations: Any, upstream: Any) -> tuple[Any, Any, Any]:
    up, centred = tf.cast(upstream, tf.float32), x - means
    up_normed = up * centred / deviations
    up_scaled = up / deviations
    share = scale / x.shape[-1]
    along = tf.linalg.matvec(up_normed, share)[:, None] / tf.square(deviations)  # (N, 1)
    level = tf.linalg.matvec(up_scaled, share)[:, None]
    d_offset = tf.linalg.matvec(up_scaled, deviations[:, 0], transpose_a=True)
    return up_scaled * scale - level - centred * along, _column_sums(up_normed), d_offset


def _column_sums(x: Any) -> Any:
    """[N, E] -> [E], as a product: XLA's plain sums take several times as long on a CPU.

    What it is given here is an argument or ends in a division: those XLA stores first. Sums and multiplications it
    would compute anew inside the product, one number at a time.
    """
    return tf.linalg.matvec(x, tf.ones([x.shape[0]]), transpose_a=True)


def product(x: Any, weight: Any) -> Any:
    """x @ weight in the dtype of x. x [N, in], weight float32 [in, out]; the weight's gradient has the dtype of x too.

    In 16 bits the weight is rounded for the forward pass and once more for the backward pass: a copy of the smaller
    dtype that was kept between the two would be the network's largest.
    """
    if x.dtype == weight.dtype:
        return tf.matmul(x, weight)

    @tf.custom_gradient
    def multiply(x: Any, weight: Any) -> Any:
        def backward(upstream: Any) -> tuple[Any, Any]:
            (again,) = after(upstream, [weight])
            d_x = tf.matmul(upstream, _rounded(again, tf.zeros([], x.dtype)), transpose_b=True)
            return d_x, tf.matmul(x, upstream, transpose_a=True)

        return tf.matmul(x, tf.cast(weight, x.dtype)), backward

    return multiply(x, weight)


@fused
def _rounded(weight: Any, like: Any) -> Any:
    # Compiled, because TensorFlow's optimizer would take a plain cast for the one of the forward pass, and keep that.
    return tf.cast(weight, like.dtype)


@tf.custom_gradient
def biased(x: Any, bias: Any) -> Any:
    """x + bias in float32. x [N, F], a matrix product's result; bias float32 [F]."""

    def backward(upstream: Any) -> tuple[Any, Any]:
        return _biased_backward(upstream, tf.zeros([], x.dtype))

    return _biased_forward(x, bias), backward


@fused
def _biased_forward(x: Any, bias: Any) -> Any:
    return tf.cast(x, tf.float32) + bias


@fused
def _biased_backward(upstream: Any, like: Any) -> tuple[Any, Any]:
    return tf.cast(upstream, like.dtype), _column_sums(upstream)


@tf.custom_gradient
def bias_gelu(x: Any, bias: Any) -> Any:
    """GELU (the tanh form of Hendrycks and Gimpel, 2016, that GPT-2 uses) of x + bias.

    Args:
        x: [N, F], a matrix product's result. bias: float32 [F].

    Its backward pass starts again from x, so that one array per layer is kept instead of the eight of the plain form.
    """

    def backward(upstream: Any) -> tuple[Any, Any]:
        return _bias_gelu_backward(x, bias, upstream)

    return _bias_gelu_forward(x, bias), backward


@fused
def _bias_gelu_forward(x: Any, bias: Any) -> Any:
    u = tf.cast(x, tf.float32) + bias
    return tf.cast(u / (1.0 + _power(u)), x.dtype)


@fused
def _bias_gelu_backward(x: Any, bias: Any, upstream: Any) -> tuple[Any, Any]:
    u = tf.cast(x, tf.float32) + bias
    power = _power(u)
    slope = 2.0 * _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * u * u)
    below = 1.0 + power
    down = tf.cast(upstream, tf.float32) * (below + u * power * slope) / (below * below)
    return tf.cast(down, x.dtype), _column_sums(down)


def _power(u: Any) -> Any:
    """e^-2z of GELU(u) = u (1 + tanh z) / 2 = u / (1 + e^-2z), cut off where GELU is 0, before its square overflows."""
    return tf.exp(tf.minimum(-2.0 * _GELU_SCALE * (u + _GELU_CUBIC * u * u * u), 40.0))
