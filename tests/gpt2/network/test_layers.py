"""The parts of a block beside their formulas, over values larger than a small model's."""

import functools

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network.attention import split_heads
from gpt2simple.gpt2.network.layers import add_bias, bias_gelu, layer_norm, matmul

X = np.linspace(-6.0, 6.0, 48, dtype=np.float32).reshape(6, 8)
BIAS = np.linspace(-0.5, 0.5, 8, dtype=np.float32)


def results_and_gradients(function, *arguments):
    """What a function of tensors gives, and the gradients of all arguments for an upstream of many values."""
    inputs = [tf.constant(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = function(*inputs)
    results = result if isinstance(result, list | tuple) else [result]
    upstream = [tf.reshape(tf.cos(tf.range(tf.size(r), dtype=tf.float32)), r.shape) for r in results]
    return [*results, *tape.gradient(results, inputs, output_gradients=upstream)]


def assert_all_close(ours, theirs, tolerance):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance)


def of_products(function, count, frozen, *, inputs=(X, BIAS)):
    """Results and gradients of a function of products and a bias: of one product, or of two whose sum it is."""
    x, bias = inputs
    products = [x] if count == 1 else [0.25 * x, 0.75 * x]
    if frozen:
        return results_and_gradients(lambda *xs: function(list(xs), tf.constant(bias), frozen=True), *products)
    return results_and_gradients(lambda bias, *xs: function(list(xs), bias), bias, *products)


def assert_as_plain(function, plain, count, frozen, tolerance, *, inputs=(X, BIAS)):
    """Every product gets the gradient that ``plain`` has for their sum."""
    *results, d_x, d_bias = results_and_gradients(plain, *inputs)
    expected = [*results, *([] if frozen else [d_bias]), *[d_x] * count]
    assert_all_close(of_products(function, count, frozen, inputs=inputs), expected, tolerance)


SUMS = pytest.mark.parametrize(("count", "frozen"), [(1, False), (2, False), (1, True), (2, True)])


@SUMS
def test_gelu_is_the_tanh_form_and_its_gradients_are_those_of_tensorflow(count, frozen):
    """2e-6: the exact form with erf differs by 5e-4, the constant 0.0448 by 3e-5."""
    assert_as_plain(bias_gelu, lambda x, bias: tf.nn.gelu(x + bias, approximate=True), count, frozen, 2e-6)


@SUMS
def test_in_16_bits_sums_of_products_are_those_of_float32_rounded(count, frozen):
    def narrow(function, dtype):
        return lambda products, bias, **how: function([tf.cast(each, dtype) for each in products], bias, **how)

    for function in (bias_gelu, add_bias):
        exact = of_products(function, count, frozen)
        for ours, theirs in zip(of_products(narrow(function, tf.bfloat16), count, frozen), exact, strict=True):
            np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, rtol=2**-6, atol=2**-5)


@pytest.mark.parametrize("far", [-1e4, -100.0, -12.0, -8.0, 8.0, 100.0, 1e4])
def test_gelu_and_its_slope_are_finite_however_far(far):
    value, slope = of_products(bias_gelu, 1, True, inputs=(np.full((1, 1), far, np.float32), np.zeros(1, np.float32)))
    assert float(value[0, 0]) == pytest.approx(max(far, 0.0), abs=1e-6)
    assert float(slope[0, 0]) == pytest.approx(1.0 if far > 0 else 0.0, abs=1e-6)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_layer_norm_is_its_formula(epsilon):
    scale, offset = np.linspace(0.5, 2.0, 8, dtype=np.float32), BIAS
    rows = X * np.linspace(0.1, 10.0, 6, dtype=np.float32)[:, None] + 3.0
    normed = (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + epsilon)
    ours = layer_norm(tf.constant(rows), tf.constant(scale), tf.constant(offset), epsilon, tf.float32)
    np.testing.assert_allclose(ours, normed * scale + offset, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_the_gradients_of_layer_norm_are_those_of_its_formula(epsilon):
    def plain(x, scale, offset):
        mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + epsilon) * scale + offset

    arguments = X * np.linspace(0.5, 2.0, 6, dtype=np.float32)[:, None] + 3.0, np.cos(BIAS), BIAS
    ours = results_and_gradients(lambda *parts: layer_norm(*parts, epsilon, tf.float32), *arguments)
    assert_all_close(ours, results_and_gradients(plain, *arguments), 1e-5)


@SUMS
def test_the_gradients_of_a_bias_are_sums_over_rows(count, frozen):
    assert_as_plain(add_bias, tf.add, count, frozen, 1e-6)


@SUMS
def test_heads_are_split_and_their_gradients_joined(count, frozen):
    """Beside reshape and transpose, for two texts of three tokens, two heads of width 4."""

    def plain(x, bias):
        parts = tf.reshape(x + bias, [2, 3, 3, 2, 4])  # (B, T, 3, H, D)
        queries, keys, values = (tf.transpose(parts[:, :, i], [0, 2, 1, 3]) for i in range(3))
        return queries, keys, values

    x, bias = np.sin(np.arange(144, dtype=np.float32)).reshape(6, 24), np.cos(np.arange(24, dtype=np.float32))
    split = functools.partial(split_heads, batch=2, heads=2)
    assert_as_plain(split, plain, count, frozen, 1e-6, inputs=(x, bias))


def test_a_product_in_16_bits_rounds_the_weight_and_keeps_its_gradient_small():
    weight = np.linspace(-1.0, 1.0, 32, dtype=np.float32).reshape(8, 4)
    rounded = tf.cast(tf.cast(weight, tf.bfloat16), tf.float32)
    x = tf.cast(X, tf.bfloat16)
    with tf.GradientTape() as tape:
        variable = tf.constant(weight)
        tape.watch([x, variable])
        result = matmul(x, variable)
    d_x, d_weight = tape.gradient(result, [x, variable], output_gradients=tf.ones([6, 4], tf.bfloat16))
    assert {result.dtype, d_x.dtype, d_weight.dtype} == {tf.bfloat16}
    exact = tf.cast(x, tf.float32)
    np.testing.assert_allclose(tf.cast(result, tf.float32), exact @ rounded, rtol=2**-8, atol=2**-8)
    np.testing.assert_allclose(
        tf.cast(d_x, tf.float32), tf.ones([6, 4]) @ tf.transpose(rounded), rtol=2**-8, atol=2**-8
    )
    np.testing.assert_allclose(
        tf.cast(d_weight, tf.float32), tf.transpose(exact) @ tf.ones([6, 4]), rtol=2**-8, atol=2**-7
    )


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_parts_return_the_requested_dtype(dtype):
    normed = layer_norm(tf.constant(X), tf.ones([8]), tf.constant(BIAS), 1e-5, dtype)
    mapped = matmul(normed, tf.eye(8))
    assert normed.dtype == mapped.dtype == bias_gelu([mapped], tf.constant(BIAS)).dtype == dtype
    assert add_bias([mapped], tf.constant(BIAS)).dtype == tf.float32
    np.testing.assert_allclose(tf.cast(mapped, tf.float32), tf.cast(normed, tf.float32), rtol=0.01, atol=0.01)
