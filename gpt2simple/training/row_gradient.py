"""The gradient of an embedding of which a step uses few rows, kept as those rows.

A classifier does not use GPT-2's embedding a second time, as its head. So of 50,257 rows (154 MB) a step changes those
of the tokens it read; the others only follow their moments.
"""

from __future__ import annotations

from typing import NamedTuple

from gpt2simple.backend.tensorflow import Tensor, in_xla, tf

_FEW = 8  # rows are kept apart where the embedding has so many times more


class RowGradient(NamedTuple):
    """A gradient [V, E] as its rows that are not zero.

    Attributes:
        rows: float32 (N + 1, E); the last one is zero.
        places: int32 (V,), of each row of the gradient among ``rows``.
    """

    rows: Tensor
    places: Tensor


def dense(gradient: Tensor | RowGradient) -> Tensor:
    """The gradient as an array (V, E), if it is not one."""
    return tf.gather(*gradient) if isinstance(gradient, RowGradient) else gradient


def row_gradient(slices: tf.IndexedSlices) -> Tensor | RowGradient:
    """The sum of slices, by row if it has few; within XLA always as an array (V, E): XLA has no `unique`."""
    count, (size, width) = slices.indices.shape.num_elements(), slices.shape
    if in_xla() or count * _FEW > size:
        return tf.convert_to_tensor(slices)
    indices = tf.reshape(slices.indices, [-1])  # (N,)
    values = tf.reshape(slices.values, [count, width])  # (N, E)
    _, places = tf.unique(indices)  # (N,)
    sums = tf.math.unsorted_segment_sum(tf.cast(values, tf.float32), places, count + 1)  # (N + 1, E)
    of_all = tf.tensor_scatter_nd_update(tf.fill([size], count), indices[:, None], places)  # (V,)
    return RowGradient(sums, of_all)
