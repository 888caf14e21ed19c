"""NumPy arrays whose memory TensorFlow can use. Knows nothing of TensorFlow, so that files are read without it."""

from __future__ import annotations

import math

import numpy as np

ALIGNMENT = 64  # bytes: TensorFlow uses no memory that does not begin at a multiple


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array of any values in such memory, see `backend.tensorflow.take_over`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
