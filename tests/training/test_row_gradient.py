"""The gradient of an embedding of which a step uses few rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gpt2simple.training.optimizer import FusedOptimizer, LearningRate, WarmUpSchedule
from gpt2simple.training.row_gradient import RowGradient, dense, row_gradient

ROWS, WIDTH, NAME = 100, 6, "wte.weight"


def slices(count: int, dtype: tf.DType = tf.float32) -> tf.IndexedSlices:
    """Gradients of tokens that repeat, as a gather's."""
    generator = np.random.default_rng(count)
    values = tf.constant(generator.standard_normal((count, WIDTH)), dtype)
    indices = tf.constant(generator.integers(0, ROWS // 3, count), tf.int32)
    return tf.IndexedSlices(values, indices, tf.constant([ROWS, WIDTH]))


def expected(given: tf.IndexedSlices) -> np.ndarray:
    total = np.zeros((ROWS, WIDTH))
    np.add.at(total, given.indices.numpy(), tf.cast(given.values, tf.float64).numpy())
    return total


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_the_rows_of_a_token_that_repeats_are_summed(dtype):
    given = slices(12, dtype)
    found = tf.function(lambda: row_gradient(slices(12, dtype)))()
    assert isinstance(found, RowGradient)
    assert found.rows.shape == (13, WIDTH)
    np.testing.assert_allclose(dense(found), expected(given), atol=1e-6)
    assert float(tf.reduce_sum(found.rows**2)) == pytest.approx((expected(given) ** 2).sum(), rel=1e-6)


def test_where_most_rows_have_a_gradient_it_is_an_array():
    given = slices(50)
    found = row_gradient(given)
    assert tf.is_tensor(found)
    np.testing.assert_allclose(found, expected(given), atol=1e-6)


def test_it_is_an_array_where_xla_compiles_the_whole_step():
    given = slices(12)
    found = tf.function(lambda: row_gradient(slices(12)), jit_compile=True)()
    assert tf.is_tensor(found)
    np.testing.assert_allclose(found, expected(given), atol=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_steps_by_rows_equal_those_of_whole_arrays(kind, clip_norm):
    """Rows without a gradient too: they follow their moments, and decay."""
    start = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    results = []
    for of_slices in (row_gradient, tf.convert_to_tensor):
        variable = tf.Variable(start)
        rate = LearningRate(WarmUpSchedule(0.1, 0, "constant", None))
        optimizer = FusedOptimizer({NAME: variable}, kind=kind, rate=rate, weight_decay=0.1, clip_norm=clip_norm)
        for count in (12, 9, 11):
            norm, _ = optimizer.step({NAME: of_slices(slices(count))}, tf.constant(2.0))
        results.append([variable.numpy(), norm.numpy(), *(slot.numpy() for slot in optimizer.state().values())])
    for by_rows, whole in zip(*results, strict=True):
        np.testing.assert_allclose(by_rows, whole, rtol=1e-6, atol=1e-7)
