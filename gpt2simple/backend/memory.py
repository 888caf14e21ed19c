"""Peak memory: of the process, or of the GPU where there is one."""

from __future__ import annotations

import threading

import psutil

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import tf

_SECONDS_BETWEEN_SAMPLES = 0.2


class PeakMemory:
    """Measures peak memory during a ``with`` block.

    Attributes:
        bytes: the most that was held; on a CPU as seen every fifth of a second, with what the process held before.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        if has_gpu():
            tf.config.experimental.reset_memory_stats("GPU:0")
        else:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if has_gpu():
            self.bytes = int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
        else:
            self._done.set()
            self._thread.join()

    def _measure(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            if self._done.wait(_SECONDS_BETWEEN_SAMPLES):
                return


def free_memory() -> int:
    """Bytes that this process may hold without pushing others out: those free, and those it holds already.

    The model is in memory when a run is planned, and the estimates count it.
    """
    return int(psutil.virtual_memory().available) + int(psutil.Process().memory_info().rss)
