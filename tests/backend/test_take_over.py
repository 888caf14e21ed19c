"""Arrays become tensors without being copied, and what cannot be taken over is copied."""

from __future__ import annotations

import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from gpt2simple.backend import tensorflow as backend
from gpt2simple.backend.tensorflow import take_over, tf


def aligned(values: np.ndarray, offset: int = 0) -> np.ndarray:
    """A copy that begins ``offset`` bytes after a multiple of 64."""
    memory = np.empty(values.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    array = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


VALUES = np.arange(60, dtype=np.float32).reshape(3, 20)


def shares_memory(array: np.ndarray) -> bool:
    tensor = take_over(array)
    assert tensor.numpy().tolist() == array.tolist()
    array += 1  # which nobody may do, except to see this
    return bool(tensor.numpy().tolist() == array.tolist())


@pytest.mark.skipif(bool(tf.config.get_visible_devices("GPU")), reason="tensors are on the GPU")
def test_the_memory_of_an_array_is_used() -> None:
    assert shares_memory(aligned(VALUES))
    for dtype in (np.int32, np.int8, ml_dtypes.bfloat16):
        assert shares_memory(aligned(VALUES.astype(dtype)))


def test_it_is_kept_as_long_as_the_tensor_lives() -> None:
    array = aligned(VALUES)
    memory = weakref.ref(array.base)
    tensor = take_over(array)
    del array
    gc.collect()
    assert memory() is not None
    assert tensor.numpy().tolist() == VALUES.tolist()
    del tensor
    gc.collect()
    assert memory() is None


@pytest.mark.parametrize("offset", [4, 16, 32])
def test_what_tensorflow_cannot_read_in_place_is_copied(offset: int) -> None:
    assert not shares_memory(aligned(VALUES, offset))
    assert not shares_memory(aligned(VALUES)[:, ::2])
    assert not shares_memory(aligned(VALUES).T)


def test_what_may_not_be_written_is_copied() -> None:
    array = aligned(VALUES)
    array.flags.writeable = False
    assert take_over(array).numpy().tolist() == VALUES.tolist()


def test_a_gpu_gets_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.tf.config, "get_visible_devices", lambda kind: [kind])
    assert not shares_memory(aligned(VALUES))
