"""What TensorFlow settles once in a process (threads, memory growth): done when the first session starts."""

from __future__ import annotations

import os

from gpt2simple._backend import quiet_stderr, tf
from gpt2simple.devices.gpus import device_name
from gpt2simple.errors import BackendError

_settled_threads: int | str | None = "not started"


def start(threads: int | None) -> str:
    """Settle threads and memory growth once per process, and name the device.

    Args:
        threads: CPU threads for a computation; None: all cores.

    Raises:
        BackendError: an earlier session of this process settled another number.
    """
    global _settled_threads
    if _settled_threads == "not started":
        _settle(threads)
        _settled_threads = threads
    elif threads is not None and threads != _settled_threads:
        raise BackendError(
            f"threads is {threads}, but TensorFlow was started in this process with "
            f"{'all cores' if _settled_threads is None else _settled_threads}, and keeps that until the process ends. "
            f"Leave threads out, or restart Python."
        )
    return device_name()


def thread_counts() -> dict[str, str]:
    """How many CPU threads compute an operation, and how many operations at a time; for a run's file."""
    threading = tf.config.threading
    return {
        "intra_op_threads": _in_use(threading.get_intra_op_parallelism_threads(), "TF_NUM_INTRAOP_THREADS"),
        "inter_op_threads": _in_use(threading.get_inter_op_parallelism_threads(), "TF_NUM_INTEROP_THREADS"),
    }


def _in_use(settled: int, variable: str) -> str:
    """What TensorFlow makes of 0 threads, its default: what an environment variable says, else all cores it may use."""
    try:
        asked = int(os.environ.get(variable, 0))
    except ValueError:  # TensorFlow passes over it too
        asked = 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return str(settled or asked or cores)


def _settle(threads: int | None) -> None:
    with quiet_stderr():  # the first look at the devices writes to descriptor 2
        try:
            if threads is not None:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            if threads is not None:
                raise BackendError(
                    f"threads is {threads}, but TensorFlow is running in this process already and cannot change. "
                    "Call gpt2simple.start_session(threads=...) before anything else uses TensorFlow, or leave it out."
                ) from error
        tf.constant(0.0) + 0.0
