"""The highest logits, without reading all of the head: a third of what one token of GPT-2 124M reads from memory.

A rough copy of the head in whole numbers of 16 bits, half the size, gives every logit with a known largest error. What
lies further below the k-th highest than twice that error cannot be among the k highest; the few tokens that remain get
their logits from the float32 rows. So the k highest are those of the whole head, not an approximation.
Knows no caches and no settings.
"""

from __future__ import annotations

import numpy as np

from gpt2simple._backend import tf
from gpt2simple.generation.sampling import Scores, reached_by_highest
from gpt2simple.generation.weights import Matrix

_LARGEST = 32767.0  # of the whole numbers
_ROUNDING = 2.0**-24  # largest relative error of one float32 operation
_ROWS_AT_A_TIME = 8192  # to keep what is needed for a moment small
_WORTH_IT = 1 << 23  # numbers in the head from which the host's work is less than what is saved


class Shortlist:
    """A rough copy of a head, and the head itself to correct it by.

    Args:
        head: [V, E] float32.

    Attributes:
        rough: the copy, to be multiplied in the compiled step.
    """

    def __init__(self, head: tf.Tensor) -> None:
        self._rows = np.asarray(memoryview(head))  # shares the tensor's memory, which .numpy() would copy
        parts = [_rough(head[at : at + _ROWS_AT_A_TIME]) for at in range(0, head.shape[0], _ROWS_AT_A_TIME)]
        values, scales, errors = zip(*parts, strict=True)
        self.rough = Matrix(tf.concat(values, axis=0), tf.concat(scales, axis=0))
        self._error = max(float(error) for error in errors)

    @staticmethod
    def pays(head: tf.Tensor) -> bool:
        """Whether a head is large enough; on a GPU, whose memory is fast, it never is."""
        return int(tf.size(head)) >= _WORTH_IT and not tf.config.list_logical_devices("GPU")

    def highest(self, rough: np.ndarray, vector: np.ndarray, count: int) -> Scores:
        """The highest logits of a vector, exact, and a few that are nearly as high.

        Args:
            rough: [V] float32, the vector times the rough head.
            vector: [E] float32.
            count: how many must be there; 1 or more.
        """
        error = self._error * float(np.linalg.norm(vector))
        lowest = reached_by_highest(rough, count) if count < rough.size else -np.inf
        # The true k-th highest is no lower than that less one error; who reaches it is roughly no lower than less two.
        tokens = np.flatnonzero(rough >= lowest - 2.0 * error)
        return Scores(self._rows[tokens] @ vector, tokens)


def _rough(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows [N, E] as whole numbers [N, E] and scales [N], and the largest error of a product per length of the vector.

    By the Cauchy-Schwarz inequality what rounding the weights does to a product is at most the length of the row's
    error times that of the vector; to this come the roundings of the two products that are compared, each at most E + 2
    operations (Higham 2002, section 3.1).
    """
    largest = tf.reduce_max(tf.abs(rows), axis=1)
    scale = tf.where(largest > 0, largest / _LARGEST, tf.ones_like(largest))
    whole = tf.round(rows / scale[:, None])
    lost = tf.norm(rows - whole * scale[:, None], axis=1)
    summing = 2.0 * (rows.shape[1] + 2) * _ROUNDING * tf.norm(rows, axis=1)
    return tf.cast(whole, tf.int16), scale, 1.01 * tf.reduce_max(lost + summing)  # a hundredth for its own rounding
