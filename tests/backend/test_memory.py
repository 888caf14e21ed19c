"""What is told of memory on a GPU, with the calls to TensorFlow replaced: none is needed."""

from __future__ import annotations

from typing import Any

import pytest

from gpt2simple.backend import memory, speed
from gpt2simple.backend.memory import PeakMemory, free_memory
from gpt2simple.backend.tensorflow import device_memory_limit, tf

GB = 10**9


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes TensorFlow tell of a GPU with this limit and memory in use (an error: it does not)."""

    def tell(limit: int | None, info: Any) -> list[str]:
        reset: list[str] = []

        def get_memory_info(device: str) -> dict[str, int]:
            if isinstance(info, Exception):
                raise info
            return dict(info)

        monkeypatch.setattr(memory, "has_gpu", lambda: True)
        monkeypatch.setattr(memory, "device_memory_limit", lambda device: limit if device == "GPU:0" else None)
        monkeypatch.setattr(tf.config.experimental, "get_memory_info", get_memory_info)
        monkeypatch.setattr(tf.config.experimental, "reset_memory_stats", reset.append)
        return reset

    return tell


def test_what_is_free_is_the_limit_without_what_is_held_beside_the_model(tell: Any) -> None:
    tell(16 * GB, {"current": 3 * GB, "peak": 5 * GB})
    assert free_memory(2 * GB) == 15 * GB
    tell(2 * GB, {"current": 3 * GB, "peak": 5 * GB})
    assert free_memory(0) == 0


UNTOLD = [
    (None, {"current": 1, "peak": 1}),
    (16 * GB, ValueError("Allocator stats not available for device 'GPU:0'")),
    (16 * GB, tf.errors.UnimplementedError(None, None, "")),
    (16 * GB, {}),
]


@pytest.mark.parametrize(("limit", "info"), UNTOLD)
def test_what_a_gpu_does_not_tell_is_unknown(tell: Any, limit: int | None, info: Any) -> None:
    """As with ROCm's and Metal's plug-ins."""
    tell(limit, info)
    assert free_memory(GB) is None


def test_the_peak_is_the_gpus(tell: Any) -> None:
    reset = tell(16 * GB, {"current": 3 * GB, "peak": 5 * GB})
    with PeakMemory() as peak:
        pass
    assert (peak.bytes, reset) == (5 * GB, ["GPU:0"])


def test_a_peak_that_is_not_told_is_unknown(tell: Any) -> None:
    reset = tell(16 * GB, UNTOLD[1][1])
    with PeakMemory() as peak:
        pass
    assert (peak.bytes, reset) == (None, [])


def test_the_limit_of_a_device_is_asked_of_tensorflow() -> None:
    assert device_memory_limit("CPU:0") == 1 << 28  # what TensorFlow says of any processor
    assert device_memory_limit("GPU:7") is None


def test_a_fast_device_is_measured_by_several_products_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes 0.2 ms: one product in each made every GPU seem to have 11 TFLOP/s."""
    monkeypatch.setattr(speed, "_SIZE_ON_CPU", 4)
    clock = iter([number * speed._SECONDS_OF_PRODUCTS / 4 for number in range(1000)])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    assert speed.timed_product("float32")() == pytest.approx(speed._SECONDS_OF_PRODUCTS / 4 / speed._MOST_PRODUCTS)
