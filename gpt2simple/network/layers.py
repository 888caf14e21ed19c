"""The parts of a block that are not attention: layer norm, linear maps, GELU.

Arithmetic other than matrix products is float32 whatever the dtype of the products.
"""

from __future__ import annotations

from typing import Any

from gpt2simple._backend import tf
from gpt2simple.network.fusion import fused

_GELU_SCALE = 0.7978845608028654  # sqrt(2 / pi)
_GELU_CUBIC = 0.044715


def layer_norm(x: Any, scale: Any, offset: Any, epsilon: float, dtype: Any) -> Any:
    """Rows of zero mean and unit variance, scaled and shifted, in ``dtype``.

    Args:
        x: float32 [N, E]. scale, offset: float32 [E].
        epsilon: added to the variance. dtype: of the result, which feeds a matrix product.
    """
    rows, width = x.shape
    # Each row is a "channel" of batch norm, whose fused kernels (forward and backward) are the fastest that TensorFlow
    # has for this; the idea is Keras's.
    normed, *_ = tf.compat.v1.nn.fused_batch_norm(
        tf.reshape(x, [1, rows, width, 1]),
        scale=tf.ones([rows]),
        offset=tf.zeros([rows]),
        epsilon=epsilon,
        data_format="NCHW",
    )
    return tf.cast(tf.reshape(normed, [rows, width]) * scale + offset, dtype)


def linear(x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight + bias, in the dtype of x. x [N, in], weight [in, out] of the same dtype, bias float32 [out]."""
    return tf.nn.bias_add(tf.matmul(x, weight), tf.cast(bias, x.dtype))


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
    inner = tf.tanh(_GELU_SCALE * (u + _GELU_CUBIC * u * u * u))
    return tf.cast(0.5 * u * (1.0 + inner), x.dtype)


@fused
def _bias_gelu_backward(x: Any, bias: Any, upstream: Any) -> tuple[Any, Any]:
    u = tf.cast(x, tf.float32) + bias
    inner = tf.tanh(_GELU_SCALE * (u + _GELU_CUBIC * u * u * u))
    slope = _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * u * u)
    down = tf.cast(upstream, tf.float32) * (0.5 * (1.0 + inner) + 0.5 * u * (1.0 - inner * inner) * slope)
    return tf.cast(down, x.dtype), tf.reduce_sum(down, axis=0)
