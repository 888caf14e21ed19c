"""Free memory and peak memory: of the GPU that computes where there is one, else of the machine and the process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading

import psutil

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import device_memory_limit, tf

_SECONDS_BETWEEN_SAMPLES = 0.2
_GPU = "GPU:0"  # the first that TensorFlow may use, or the first part of one that the program has divided


class PeakMemory:
    """Measures peak memory during a ``with`` block.

    Attributes:
        bytes: the most that was held; on a CPU as seen every fifth of a second, with what the process held before.
            None: the GPU does not report it.
    """

    def __init__(self) -> None:
        self.bytes: int | None = None if has_gpu() else 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        if not has_gpu():
            self._thread.start()
        elif _on_gpu("current") is not None:
            tf.config.experimental.reset_memory_stats(_GPU)
        return self

    def __exit__(self, *error: object) -> None:
        if has_gpu():
            self.bytes = _on_gpu("peak")
        else:
            self._done.set()
            self._thread.join()

    def _measure(self) -> None:
        while True:
            self.bytes = max(self.bytes or 0, self._process.memory_info().rss)
            if self._done.wait(_SECONDS_BETWEEN_SAMPLES):
                return


def free_memory(counted: int) -> int | None:
    """Bytes that a run may hold without pushing others out; None where a GPU does not report them.

    Args:
        counted: bytes of the model, which is in memory when a run is planned, and which the estimates count too.
    """
    if has_gpu():
        limit, held = device_memory_limit(_GPU), _on_gpu("current")
        return None if limit is None or held is None else max(limit - held + counted, 0)
    # Of what the process holds, TensorFlow's allocator reuses what is not the model.
    return int(psutil.virtual_memory().available) + int(psutil.Process().memory_info().rss)


def release() -> None:
    """Return to the system what the C library holds in reserve; does nothing where that is not glibc."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _on_gpu(what: str) -> int | None:
    """The bytes that TensorFlow holds on the GPU, "current" or "peak"; None: not told, as by ROCm's or Metal's."""
    try:
        return int(tf.config.experimental.get_memory_info(_GPU)[what])
    except (ValueError, KeyError, tf.errors.OpError):
        return None
