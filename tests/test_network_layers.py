"""GELU, layer norm and linear maps beside their formulas, over values larger than a small model's."""

import numpy as np
import pytest

from gpt2simple._backend import tf
from gpt2simple.network.layers import bias_gelu, layer_norm, linear

X = np.linspace(-6.0, 6.0, 48, dtype=np.float32).reshape(6, 8)
BIAS = np.linspace(-0.5, 0.5, 8, dtype=np.float32)


def test_gelu_is_the_tanh_form_and_its_gradients_are_those_of_tensorflow():
    """1e-6: the exact form with erf differs by 5e-4, the constant 0.0448 by 3e-5."""
    found = []
    for function in (bias_gelu, lambda x, bias: tf.nn.gelu(x + bias, approximate=True)):
        x, bias = tf.constant(X), tf.constant(BIAS)
        with tf.GradientTape() as tape:
            tape.watch((x, bias))
            result = function(x, bias)
        found.append((result, *tape.gradient(result, (x, bias), output_gradients=tf.constant(np.cos(X)))))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_layer_norm_is_its_formula(epsilon):
    scale, offset = np.linspace(0.5, 2.0, 8, dtype=np.float32), BIAS
    rows = X * np.linspace(0.1, 10.0, 6, dtype=np.float32)[:, None] + 3.0
    normed = (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + epsilon)
    ours = layer_norm(tf.constant(rows), tf.constant(scale), tf.constant(offset), epsilon, tf.float32)
    np.testing.assert_allclose(ours, normed * scale + offset, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_parts_give_the_dtype_that_is_asked_for(dtype):
    normed = layer_norm(tf.constant(X), tf.ones([8]), tf.constant(BIAS), 1e-5, dtype)
    mapped = linear(normed, tf.cast(tf.eye(8), dtype), tf.constant(BIAS))
    assert normed.dtype == mapped.dtype == bias_gelu(mapped, tf.constant(BIAS)).dtype == dtype
    np.testing.assert_allclose(tf.cast(mapped, tf.float32), tf.cast(normed, tf.float32) + BIAS, rtol=0.01, atol=0.01)
