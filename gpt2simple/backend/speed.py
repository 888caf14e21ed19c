"""How fast matrix products are on this device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from gpt2simple.backend.tensorflow import tf

_PRODUCT_SIZE = 1024  # of the square matrices that are multiplied to measure: 2 GFLOP, milliseconds
_OPERATIONS = 2.0 * _PRODUCT_SIZE**3
_TRIALS = 5
_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 15
_SECONDS_TO_COMPARE = 1.0  # where products are slow, fewer rounds must do
Product = Callable[[], float]  # computes one product, and returns the seconds it took


@lru_cache(maxsize=8)
def product_rate(dtype: str) -> float:
    """Floating-point operations per second of a large matrix product here, the best of several."""
    product = timed_product(dtype)
    return max(_OPERATIONS / product() for _ in range(_TRIALS))


def best_in_turns(products: Sequence[Product]) -> list[float]:
    """The shortest seconds of each product, measured in alternating rounds.

    Another program may slow the machine down for a while. In alternation that affects all products alike, and the
    shortest of several rounds escapes it; measured one after the other, one product could seem slower by chance.
    """
    times: list[list[float]] = [[] for _ in products]
    spent = 0.0
    for number in range(_MOST_ROUNDS):
        if number >= _FEWEST_ROUNDS and spent > _SECONDS_TO_COMPARE:
            break
        for product, taken in zip(products, times, strict=True):
            taken.append(product())
            spent += taken[-1]
    return [min(taken) for taken in times]


def timed_product(dtype: str) -> Product:
    """A product of two large matrices of this dtype, ready to run."""
    matrix = tf.cast(tf.fill([_PRODUCT_SIZE, _PRODUCT_SIZE], 0.5), dtype)
    multiply = tf.function(lambda a: tf.reduce_sum(tf.cast(tf.matmul(a, a)[0], tf.float32)))
    float(multiply(matrix))  # the first call compiles

    def run() -> float:
        started = time.perf_counter()
        float(multiply(matrix))  # reading the result waits for it, on a GPU too
        return time.perf_counter() - started

    return run
