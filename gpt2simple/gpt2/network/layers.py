"""The parts of a block that are not attention: layer norm, linear maps, GELU; with hand-written gradients.

Arithmetic other than matrix products is float32 whatever the dtype of the products. `cached` has forms of its own for
decoding; both share `gelu_exponent`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpt2simple.backend.tensorflow import DType, Tensor, tf
from gpt2simple.gpt2.network.xla import WithGradient, run_after, xla_compiled

_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715
_FEW_ROWS = 512
_FLOAT16_UNIT = 128.0


def layer_norm(
    x: Tensor, scale: Tensor, offset: Tensor, epsilon: float, dtype: DType, *, frozen: bool = False
) -> Tensor:
    """Rows of zero mean and unit variance, scaled and shifted.

    Args:
        x: float32 [N, E].
        scale, offset: float32 [E].
        epsilon: added to the variance.
        dtype: of the result, which feeds a matrix product.
        frozen: whether scale and offset get no gradients.

    Returns:
        [N, E].

    The backward pass starts from x and two numbers per row; the plain form keeps the normalised rows too. Twin:
    `cached._deviation`; there all but the division is folded into the weights.
    """

    @tf.custom_gradient
    def norm(x: Tensor, scale: Tensor, offset: Tensor) -> WithGradient:
        y, means, deviations = _layer_norm_forward(x, scale, offset, tf.constant(epsilon), tf.zeros([], dtype))
        return y, lambda upstream: _layer_norm_backward(x, scale, means, deviations, upstream)

    @tf.custom_gradient
    def frozen_norm(x: Tensor) -> WithGradient:
        y, means, deviations = _layer_norm_forward(x, scale, offset, tf.constant(epsilon), tf.zeros([], dtype))
        return y, lambda upstream: _frozen_layer_norm_backward(x, scale, means, deviations, upstream)

    return frozen_norm(x) if frozen else norm(x, scale, offset)


@xla_compiled
def _layer_norm_forward(
    x: Tensor, scale: Tensor, offset: Tensor, epsilon: Tensor, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised rows in the dtype of ``like``; their means and standard deviations, [N, 1]."""
    width = x.shape[-1]
    average = tf.fill([width], 1.0 / width)  # (E,)
    means = tf.linalg.matvec(x, average)[:, None]  # (N, 1)
    centred = x - means  # (N, E)
    deviations = tf.sqrt(tf.linalg.matvec(tf.square(centred), average)[:, None] + epsilon)  # (N, 1)
    return tf.cast(centred / deviations * scale + offset, like.dtype), means, deviations


@xla_compiled
def _layer_norm_backward(
    x: Tensor, scale: Tensor, means: Tensor, deviations: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x [N, E], scale [E] and offset [E]."""
    d_x, up_normed, up_scaled = _norm_gradient(x, scale, means, deviations, upstream)  # (N, E) each
    d_offset = tf.linalg.matvec(up_scaled, deviations[:, 0], transpose_a=True)  # (E,)
    return d_x, _column_sums(up_normed), d_offset


@xla_compiled
def _frozen_layer_norm_backward(
    x: Tensor, scale: Tensor, means: Tensor, deviations: Tensor, upstream: Tensor
) -> Tensor:
    """The gradient of x [N, E] alone."""
    return _norm_gradient(x, scale, means, deviations, upstream)[0]


def _norm_gradient(
    x: Tensor, scale: Tensor, means: Tensor, deviations: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of x, and what arrives times the normalised rows and divided by the deviations: [N, E] each."""
    up, centred = tf.cast(upstream, tf.float32), x - means  # (N, E)
    up_normed = up * centred / deviations  # (N, E)
    up_scaled = up / deviations  # (N, E)
    share = scale / x.shape[-1]  # (E,)
    row_dot = tf.linalg.matvec(up_normed, share)[:, None] / tf.square(deviations)  # (N, 1)
    row_mean = tf.linalg.matvec(up_scaled, share)[:, None]  # (N, 1)
    return up_scaled * scale - row_mean - centred * row_dot, up_normed, up_scaled


def _column_sums(x: Tensor) -> Tensor:
    """[N, E] -> [E], as a product: XLA's plain sums take several times as long on a CPU.

    Only for arguments of a compiled function and results of a division, which XLA stores before the product. It would
    recompute sums and multiplications inside the product, one element at a time.
    """
    return tf.linalg.matvec(x, tf.ones([x.shape[0]]), transpose_a=True)


def matmul(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight in the dtype of x, as is the gradient of the weight.

    Args:
        x: [N, in].
        weight: float32 [in, out].

    Returns:
        [N, out].

    In 16 bits the weight is rounded for the forward pass and once more for the backward pass: a copy of the smaller
    dtype that was kept between the two would be the largest activation of the network. With few rows it is kept: memory
    is at its highest elsewhere then, and rounding takes a considerable part of the time. Twin: `cached.product`; there
    the matrix is [out, in] and comes first, which reads memory in order when there are few rows.
    """
    if x.dtype == weight.dtype:
        return tf.matmul(x, weight)

    @tf.custom_gradient
    def multiply(x: Tensor, weight: Tensor) -> WithGradient:
        rounded = tf.cast(weight, x.dtype)  # (in, out)

        def backward(upstream: Tensor) -> tuple[Tensor, Tensor]:
            again = rounded
            if x.shape[0] > _FEW_ROWS:
                again = _round(*run_after(upstream, [weight]), tf.zeros([], x.dtype))  # (in, out)
            return tf.matmul(upstream, again, transpose_b=True), tf.matmul(x, upstream, transpose_a=True)

        return tf.matmul(x, rounded), backward

    return multiply(x, weight)


def frozen_matmul(x: Tensor, weight: Tensor, scale: Tensor | None) -> Tensor:
    """x @ weight in the dtype of x; the weight gets no gradient.

    Args:
        x: [N, in].
        weight: [in, out] in any dtype. scale: of each output, float32 [out], where the weight is int8; else None.

    Returns:
        [N, out].

    A weight of another dtype is converted when it is needed, twice: a copy would take the memory that its own dtype
    saves. Sums of whole numbers exceed float16: there they are divided by a power of two, and their scale multiplied.
    """
    unit = _FLOAT16_UNIT if scale is not None and x.dtype == tf.float16 else None
    factor = None if scale is None else tf.cast(scale if unit is None else scale * unit, x.dtype)  # (out,)

    def in_units(whole: Tensor) -> Tensor:
        return whole if unit is None else whole / tf.cast(unit, whole.dtype)  # (in, out)

    @tf.custom_gradient
    def multiply(x: Tensor) -> WithGradient:
        def backward(upstream: Tensor) -> Tensor:
            again = weight
            if x.dtype != weight.dtype:
                again = in_units(_round(*run_after(upstream, [weight]), tf.zeros([], x.dtype)))  # (in, out)
            scaled = upstream if factor is None else upstream * factor  # (N, out)
            return tf.matmul(scaled, again, transpose_b=True)

        y = tf.matmul(x, in_units(tf.cast(weight, x.dtype)))  # (N, out)
        return y if factor is None else y * factor, backward

    return multiply(x)


@xla_compiled
def _round(weight: Tensor, like: Tensor) -> Tensor:
    # Compiled: TensorFlow's optimizer would take a plain cast for the one of the forward pass, and keep its result.
    return tf.cast(weight, like.dtype)


def of_sum(
    function: Callable[[Sequence[Tensor], Tensor], WithGradient], products: Sequence[Tensor], bias: Tensor, *,
    frozen: bool,
) -> Any:  # fmt: skip
    """What a function gives of the sum of matrix products and a bias: all products get the same gradient.

    Args:
        function: (products, bias) -> the result, and a function of its gradients to that of a product and of the bias;
            where the bias is frozen, to that of a product alone.
        products: [N, F] each; what a projection and its adapter give. bias: float32 [F].
    """

    @tf.custom_gradient
    def run(bias: Tensor, *products: Tensor) -> WithGradient:
        result, backward = function(products, bias)

        def gradients(*upstream: Tensor) -> list[Tensor]:
            d_product, d_bias = backward(*upstream)  # (N, F), (F,)
            return [d_bias, *[d_product] * len(products)]

        return result, gradients

    @tf.custom_gradient
    def run_frozen(*products: Tensor) -> WithGradient:
        result, backward = function(products, bias)
        return result, lambda *upstream: [backward(*upstream)] * len(products)

    return run_frozen(*products) if frozen else run(bias, *products)


def add_bias(products: Sequence[Tensor], bias: Tensor, *, frozen: bool = False) -> Tensor:
    """The sum of matrix products [N, F] and a bias, float32 [N, F].

    Args:
        products: what a projection and its adapter give; summed here, where it costs no pass over memory.
        bias: float32 [F]. frozen: whether it gets no gradient.
    """

    def add(products: Sequence[Tensor], bias: Tensor) -> WithGradient:
        dtype = products[0].dtype

        def backward(upstream: Tensor) -> Any:
            return tf.cast(upstream, dtype) if frozen else _add_bias_backward(upstream, tf.zeros([], dtype))

        return _add_bias_forward(products, bias), backward

    return of_sum(add, products, bias, frozen=frozen)


@xla_compiled
def _add_bias_forward(products: Sequence[Tensor], bias: Tensor) -> Tensor:
    return wide_sum(products) + bias  # (N, F)


def wide_sum(products: Sequence[Tensor]) -> Tensor:
    """The sum of matrix products in float32."""
    return tf.add_n([tf.cast(product, tf.float32) for product in products])


@xla_compiled
def _add_bias_backward(upstream: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    return tf.cast(upstream, like.dtype), _column_sums(upstream)  # (N, F), (F,)


def bias_gelu(products: Sequence[Tensor], bias: Tensor, *, frozen: bool = False) -> Tensor:
    """GELU (the tanh form of Hendrycks and Gimpel, 2016, that GPT-2 uses) of the sum that ``add_bias`` gives.

    Arguments as there; [N, F] in the products' dtype. The backward pass starts from the sum of the products, so that
    one array per layer is kept instead of the eight of the plain form.
    """

    def activate(products: Sequence[Tensor], bias: Tensor) -> WithGradient:
        y, x = _gelu_and_sum(products, bias)  # (N, F)
        backward = _frozen_bias_gelu_backward if frozen else _bias_gelu_backward
        return y, lambda upstream: backward(x, bias, upstream)

    return of_sum(activate, products, bias, frozen=frozen)


def _gelu_and_sum(products: Sequence[Tensor], bias: Tensor) -> tuple[Tensor, Tensor]:
    """The activations, and the sum of the products in their dtype, which is no new array where there is but one."""
    y, *x = _bias_gelu_forward(products, bias)  # (N, F) each
    return y, x[0] if x else products[0]


@xla_compiled
def _bias_gelu_forward(products: Sequence[Tensor], bias: Tensor) -> list[Tensor]:
    dtype = products[0].dtype
    x = wide_sum(products)  # (N, F)
    u = x + bias  # (N, F)
    y = tf.cast(u / (1.0 + _bounded_power(u)), dtype)  # (N, F)
    return [y] if len(products) == 1 else [y, tf.cast(x, dtype)]


@xla_compiled
def _bias_gelu_backward(x: Tensor, bias: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    d_u = _gelu_gradient(x, bias, upstream)  # (N, F)
    return tf.cast(d_u, x.dtype), _column_sums(d_u)


@xla_compiled
def _frozen_bias_gelu_backward(x: Tensor, bias: Tensor, upstream: Tensor) -> Tensor:
    return tf.cast(_gelu_gradient(x, bias, upstream), x.dtype)


def _gelu_gradient(x: Tensor, bias: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of x + bias, float32 [N, F]."""
    u = tf.cast(x, tf.float32) + bias  # (N, F)
    power = _bounded_power(u)  # (N, F)
    slope = 2.0 * _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * u * u)  # of the negative exponent, (N, F)
    denominator = 1.0 + power  # (N, F)
    return tf.cast(upstream, tf.float32) * (denominator + u * power * slope) / (denominator * denominator)


def gelu_exponent(u: Tensor) -> Tensor:
    """-2z of GELU(u) = u (1 + tanh z) / 2 = u / (1 + e^-2z), with z = sqrt(2 / pi) (u + 0.044715 u^3)."""
    return -2.0 * _GELU_SCALE * (u + _GELU_CUBIC * u * u * u)


def _bounded_power(u: Tensor) -> Tensor:
    """e^-2z, cut off where GELU is 0, before its square overflows in the backward pass."""
    return tf.exp(tf.minimum(gelu_exponent(u), 40.0))
