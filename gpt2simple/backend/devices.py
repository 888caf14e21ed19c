"""The GPUs that TensorFlow may use, and what is configured once per process: threads and memory growth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpt2simple.backend import xla_cache, xla_flags
from gpt2simple.backend.cores import usable_cores
from gpt2simple.backend.tensorflow import has_computed, own_context, quiet_stderr, tf
from gpt2simple.errors import BackendError


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: as its maker calls it, or "GPU" where TensorFlow does not say.
        capability: CUDA compute capability, such as (8, 0); None where TensorFlow does not say.
    """

    name: str
    capability: tuple[int, int] | None


def found_gpus() -> list[Gpu]:
    """All GPUs that TensorFlow may use, the one that it computes on first."""
    details = map(tf.config.experimental.get_device_details, _visible_gpus())
    return [Gpu(found.get("device_name", "GPU"), found.get("compute_capability")) for found in details]


def has_gpu() -> bool:
    """Whether TensorFlow may use a GPU."""
    return bool(_visible_gpus())


def _visible_gpus() -> list[Any]:
    """Without those that the caller has hidden with ``tf.config.set_visible_devices``."""
    return tf.config.get_visible_devices("GPU")


def compiles_whole_step() -> bool:
    """Whether XLA should compile a training step as one: on a GPU, where that saves launches and passes over memory.

    On a CPU oneDNN multiplies 16-bit matrices several times faster than XLA does, so that only the element-wise parts
    are compiled there (`network.xla`).
    """
    return has_gpu()


def device_name() -> str:
    """What computes, in words."""
    gpus = found_gpus()
    if not gpus:
        return "CPU, no GPU found"
    return gpus[0].name + (f" (the first of {len(gpus)})" if len(gpus) > 1 else "")


_configured_threads: int | str | None = "not started"


@own_context()
def start(threads: int | None, before_computing: Callable[[], object] | None = None) -> str:
    """Configure threads and memory growth once per process, and name the device.

    Args:
        threads: CPU threads for a computation; None: all cores.
        before_computing: what must be done once before TensorFlow computes, after all else is configured.

    Raises:
        BackendError: an earlier session of this process chose another number.
    """
    global _configured_threads
    if _configured_threads == "not started":
        _configure(threads, before_computing)
        _configured_threads = threads
    elif threads is not None and threads != _configured_threads:
        raise BackendError(
            f"threads is {threads}, but TensorFlow was started in this process with "
            f"{'all cores' if _configured_threads is None else _configured_threads}, and keeps that until the process "
            "ends. Leave threads out, or restart Python."
        )
    return device_name()


def thread_counts() -> dict[str, str]:
    """How many CPU threads compute an operation, and how many operations at a time; for a run's file."""
    threading = tf.config.threading
    return {
        "intra_op_threads": _in_use(threading.get_intra_op_parallelism_threads(), "TF_NUM_INTRAOP_THREADS"),
        "inter_op_threads": _in_use(threading.get_inter_op_parallelism_threads(), "TF_NUM_INTEROP_THREADS"),
    }


def _in_use(configured: int, variable: str) -> str:
    """The number of threads behind 0, TensorFlow's default: from an environment variable, else all usable cores."""
    try:
        requested = int(os.environ.get(variable, 0))
    except ValueError:  # TensorFlow ignores it too
        requested = 0
    return str(configured or requested or usable_cores())


def _configure(threads: int | None, before_computing: Callable[[], object] | None) -> None:
    with contextlib.ExitStack() as stack:
        # TensorFlow reads these options once, when it is first asked for its devices: nothing may ask before.
        if not has_computed():
            stack.enter_context(xla_flags.chosen_options())  # first: what is kept depends on it
            stack.enter_context(xla_cache.kept_on_disk(threads))
        with quiet_stderr():  # listing the devices for the first time writes to descriptor 2
            _set_up(threads)
        if before_computing is not None:
            before_computing()
        with quiet_stderr():
            tf.constant(0.0) + 0.0


def _set_up(threads: int | None) -> None:
    try:
        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in _visible_gpus():
            with contextlib.suppress(ValueError):  # the program has set a limit, which excludes growth
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        if threads is not None:
            raise BackendError(
                f"threads is {threads}, but TensorFlow is running in this process already and cannot change. "
                "Call gpt2simple.start_session(threads=...) before anything else uses TensorFlow, or leave it out."
            ) from error
