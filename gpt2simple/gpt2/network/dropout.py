"""Stateless dropout: the mask is a function of (seed, micro-batch, site), cut to the rows that are computed here.

A stateful generator, as in Keras and transformers, cannot be saved and restored exactly, and draws other numbers when
gradient checkpointing runs a layer a second time. Here the same key gives the same mask, so a resumed run and a
recomputed layer are exact. Random numbers: Philox (Salmon et al., 2011), as implemented by tf.random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from gpt2simple.backend.tensorflow import Tensor, tf

_LEVELS = 1 << 16  # masks are drawn with 16 bits an element: half the random numbers of 32, rates exact to 1/65536
_SEEDS = 1 << 31  # seeds that differ by a multiple of it share their masks: seed and site fill one int64


class RowsOf(NamedTuple):
    """Rows of a micro-batch of which others compute the rest: the first one, how many, and of how many; static."""

    first: int
    taken: int
    whole: int


@dataclass(frozen=True)
class DropoutKey:
    """Which masks to draw.

    Attributes:
        rate: share of activations dropped, 0 to 0.9.
        seed: int64 scalar, from ``dropout_seed``; a tensor, so that runs with other seeds share a compiled step.
        position: int32 scalar, number of the micro-batch since the run began.
        rows: which rows of it there are; None: all. Each has the mask that it has where all are computed together.
    """

    rate: float
    seed: Tensor
    position: Tensor
    rows: RowsOf | None = None


def dropout_seed(seed: int) -> Tensor:
    """The seed of a run as a ``DropoutKey`` takes it."""
    return tf.constant(seed % _SEEDS << 32, tf.int64)


def dropout_mask(key: DropoutKey, site: int, shape: tuple[int, ...]) -> Tensor:
    """Boolean mask of a static shape, true (kept) with probability 1 - rate.

    Args:
        key: rate, seed and position.
        site: a different number for each dropout in the network, and for each block of queries in attention.
        shape: static shape, of which the elements of one row of the micro-batch follow those of the row before.
    """
    count = math.prod(shape)
    if key.rows is not None:
        count = count // key.rows.taken * key.rows.whole
    words = (count + 1) // 2  # of 32 bits, two elements each
    seed = tf.stack([key.seed + site, tf.cast(key.position, tf.int64)])  # (2,)
    drawn = tf.random.stateless_uniform([words], seed=seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    halves = tf.reshape(tf.bitcast(drawn, tf.uint16), [2 * words])[:count]  # (count,)
    if key.rows is not None:
        of_row = count // key.rows.whole
        halves = halves[key.rows.first * of_row : (key.rows.first + key.rows.taken) * of_row]
    return tf.reshape(tf.cast(halves, tf.int32) >= round(key.rate * _LEVELS), shape)  # shape


def dropout_scale(key: DropoutKey) -> float:
    """The factor for kept activations that preserves their expectation."""
    return _LEVELS / (_LEVELS - round(key.rate * _LEVELS))


def apply_dropout(x: Tensor, key: DropoutKey | None, site: int) -> Tensor:
    """The activations with a share of them zeroed and the others scaled up; unchanged without a key."""
    if key is None or key.rate == 0.0:
        return x
    with tf.control_dependencies([x]):  # else the mask may be drawn, and held, long before it is needed
        mask = dropout_mask(key, site, tuple(x.shape))
    return x * tf.cast(mask, x.dtype) * tf.cast(dropout_scale(key), x.dtype)
