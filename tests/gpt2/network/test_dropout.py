"""Masks that are a function of their key."""

import dataclasses

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network.dropout import DropoutKey, RowsOf, apply_dropout, dropout_mask, dropout_scale, dropout_seed
from tests.helpers.network import dropout_key

SHAPE = (40, 250)


def mask(rate=0.1, seed=1, position=0, site=5, shape=SHAPE):
    return dropout_mask(dropout_key(rate, seed, position), site, shape).numpy()


def test_the_same_key_gives_the_same_mask_whatever_was_drawn_before():
    first = mask()
    tf.random.set_seed(7)
    tf.random.normal([3])
    np.testing.assert_array_equal(first, mask())


@pytest.mark.parametrize("change", [{"seed": 2}, {"position": 1}, {"site": 6}, {"site": 1 << 16}])
def test_another_seed_position_or_site_gives_an_independent_mask(change):
    """Independent: both keep what one of them would keep by chance."""
    both = (mask(0.5) & mask(0.5, **change)).mean()
    assert both == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("seed", [0, 1, 2**21, 2**31 - 1, 2**40 + 3, 2**70])
def test_every_seed_that_a_run_may_have_is_taken(seed):
    """In a graph, as a step is: there TensorFlow refuses what it lets pass outside of one."""
    key = dropout_seed(seed)
    drawn = tf.function(lambda position: dropout_mask(DropoutKey(0.1, key, position), 5, SHAPE))(tf.constant(3))
    assert drawn.numpy().mean() == pytest.approx(0.9, abs=0.02)


def test_neighbouring_seeds_share_no_mask_at_another_site():
    """Seed and site must not run into one number."""
    found = {mask(0.5, seed, 0, site, (64,)).tobytes() for seed in range(3) for site in (0, 1, 5, 1009, 193 << 16)}
    assert len(found) == 3 * 5


def test_rows_that_are_computed_apart_have_the_masks_that_they_have_together():
    key = dropout_key(0.5, 1, 2)
    whole = dropout_mask(key, 3, (1, 3 * 7, 5)).numpy()  # three rows of seven

    def of(first, taken):
        rows = RowsOf(first, taken, 3)
        return dropout_mask(dataclasses.replace(key, rows=rows), 3, (1, taken * 7, 5)).numpy()

    np.testing.assert_array_equal(np.concatenate([of(0, 1), of(1, 2)], axis=1), whole)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_share_kept_is_near_the_rate(rate):
    kept = mask(rate, shape=(100, 1000)).mean()
    assert kept == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / 100_000) + 1e-9)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 2, 7, 7)])
def test_any_static_shape(shape):
    assert mask(shape=shape).shape == shape


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_dropped_activations_keep_their_expectation(dtype):
    kept = tf.cast(apply_dropout(tf.ones([200, 500], dtype), dropout_key(0.1), 3), tf.float32).numpy()
    assert kept.dtype == np.float32
    assert kept.mean() == pytest.approx(1.0, abs=0.006)
    assert np.unique(kept).tolist() == pytest.approx([0.0, 1 / 0.9], rel=4e-3)


def test_the_scale_makes_up_for_the_exact_share():
    assert dropout_scale(dropout_key(0.1)) == pytest.approx(1 / 0.9, rel=1e-5)
    assert dropout_scale(dropout_key(0.5)) == 2.0


def test_without_a_key_or_with_rate_0_nothing_is_drawn():
    x = tf.ones([2, 2])
    assert apply_dropout(x, None, 0) is x
    assert apply_dropout(x, dropout_key(0.0), 0) is x
