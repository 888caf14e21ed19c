"""How fast matrix products and element-wise operations are on this device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import Tensor, tf

# Of the square matrices that are multiplied to measure: on a CPU 2 GFLOP, milliseconds; on a GPU 137 GFLOP, as smaller
# ones leave a part of it idle.
_SIZE_ON_CPU, _SIZE_ON_GPU = 1024, 4096
# Seconds of products in one call. A call takes 0.2 ms by itself, in which a GPU could multiply 50 matrices.
_SECONDS_OF_PRODUCTS = 0.02
_MOST_PRODUCTS = 1024
_TRIALS = 5
_EXPONENTIALS = 8  # one after the other
_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 15
_SECONDS_TO_COMPARE = 1.0  # where products are slow, fewer rounds must do
Product = Callable[[], float]  # computes some products, and returns the seconds that each of them took


@lru_cache(maxsize=8)
def product_rate(dtype: str) -> float:
    """Floating-point operations per second of a large matrix product here, the best of several."""
    product = timed_product(dtype)
    return max(2.0 * _size() ** 3 / product() for _ in range(_TRIALS))


@lru_cache(maxsize=1)
def element_rate() -> float:
    """Exponentials of float32 numbers per second on all cores of the CPU, the best of several trials."""

    @tf.function(autograph=False)
    def exponentials(x: Tensor) -> Tensor:
        for _ in range(_EXPONENTIALS):
            x = tf.exp(x * 0.5 - 1.0)  # stays between 0 and 1
        return tf.reduce_sum(x)

    x = tf.zeros([4 * _SIZE_ON_CPU, _SIZE_ON_CPU])  # larger than caches, as activations are
    float(exponentials(x))  # the first call traces
    best = 0.0
    for _ in range(_TRIALS):
        started = time.perf_counter()
        float(exponentials(x))
        best = max(best, _EXPONENTIALS * int(tf.size(x)) / (time.perf_counter() - started))
    return best


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
    """Products of two large matrices of this dtype, ready to run: as many in a call as make its own time small."""
    size = _size()
    start = tf.cast(tf.fill([size, size], 0.5), dtype)
    factor = tf.cast(tf.fill([size, size], 1.0 / size), dtype)  # a product is as large as what it starts from

    @tf.function(autograph=False)
    def multiply(count: Tensor) -> Tensor:
        (last,) = tf.while_loop(lambda x: True, lambda x: (tf.matmul(x, factor),), (start,), maximum_iterations=count)
        return tf.reduce_sum(tf.cast(last[0], tf.float32))

    def seconds(count: int) -> float:
        started = time.perf_counter()
        float(multiply(tf.constant(count)))  # reading the result waits for it, on a GPU too
        return time.perf_counter() - started

    count = 1
    seconds(count)  # the first call compiles
    while count < _MOST_PRODUCTS and seconds(count) < _SECONDS_OF_PRODUCTS:
        count *= 2
    return lambda: seconds(count) / count


def _size() -> int:
    return _SIZE_ON_GPU if has_gpu() else _SIZE_ON_CPU
