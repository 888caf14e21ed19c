"""Dropout without state: the mask is a function of (seed, micro-batch, layer, place).

A stateful generator, as in Keras and transformers, cannot be saved and restored exactly, and draws other numbers when
gradient checkpointing runs a layer a second time. Here the same key gives the same mask, so a resumed run and a
recomputed layer are exact. Numbers: Philox (Salmon et al., 2011), as implemented by tf.random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpt2simple.backend.tensorflow import tf

_LEVELS = 1 << 16  # masks are drawn with 16 bits an element: half the random numbers of 32, rates exact to 1/65536

_SEEDS = 1 << 31  # seeds that differ by a multiple of it share their masks: seed and place fill one int64


@dataclass(frozen=True)
class DropoutKey:
    """Which masks to draw.

    Attributes:
        rate: share of activations dropped, 0 to 0.9.
        seed: int, the run's.
        position: int32 scalar tensor, number of the micro-batch since the run began.
    """

    rate: float
    seed: Any
    position: Any


def keep_mask(key: DropoutKey, place: int, shape: tuple[int, ...]) -> Any:
    """Boolean mask of a static shape, true with probability 1 - rate.

    Args:
        key: rate, seed and position.
        place: a number of its own for each dropout in the network (four a layer).
        shape: static shape; its last dimension must be even or the mask is drawn one element wider and cut.
    """
    count = 1
    for size in shape:
        count *= size
    words = (count + 1) // 2
    stream = tf.constant(key.seed % _SEEDS << 32 | place, tf.int64)
    seed = tf.stack([stream, tf.cast(key.position, tf.int64)])
    drawn = tf.random.stateless_uniform([words], seed=seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    halves = tf.reshape(tf.bitcast(drawn, tf.uint16), [2 * words])[:count]
    return tf.reshape(tf.cast(halves, tf.int32) >= round(key.rate * _LEVELS), shape)


def keep_scale(key: DropoutKey) -> float:
    """Factor for kept activations, so that their expectation stays the same."""
    return _LEVELS / (_LEVELS - round(key.rate * _LEVELS))


def drop(x: Any, key: DropoutKey | None, place: int) -> Any:
    """The activations with a share of them zeroed and the others scaled up; unchanged where there is no key."""
    if key is None or key.rate == 0.0:
        return x
    mask = tf.cast(keep_mask(key, place, tuple(x.shape)), x.dtype)
    return x * mask * tf.cast(keep_scale(key), x.dtype)
