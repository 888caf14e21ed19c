"""The speed of a large matrix product, the ceiling of a training step. Argument: the dtype's name.

In a process of its own, so that its matrices do not count as the trainer's memory.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from worker import Job, serve

_SIZE = 4096


def load() -> Job:
    from gpt2simple.backend.tensorflow import tf

    matrix = tf.cast(tf.random.stateless_normal([_SIZE, _SIZE], seed=[0, 1]), sys.argv[1])
    multiply = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(matrix, matrix)[0], tf.float32)))

    def work(products: int) -> dict[str, Any]:
        """The speed of some products: on the whole, as steps are timed, and of the fastest."""
        seconds = []
        for _ in range(products):
            started = time.perf_counter()
            float(multiply())
            seconds.append(time.perf_counter() - started)
        operations = 2.0 * _SIZE**3
        return {
            "operations_per_second": operations * products / sum(seconds),
            "fastest_operations_per_second": operations / min(seconds),
        }

    return work


serve(load)
