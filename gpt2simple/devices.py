"""What TensorFlow computes on, in which precision, and how fast: chosen by measurement, with the reason.

What TensorFlow settles once in a process (threads, memory growth) is settled here, when the first session starts. Knows
no model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gpt2simple._backend import quiet_stderr, tf
from gpt2simple.errors import BackendError, SettingsError

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
_WORTHWHILE = 1.3  # times faster than float32, for 16 bits to be chosen on a CPU
_PRODUCT_SIZE = 1024  # of the square matrices that are multiplied to measure: 2 GFLOP, milliseconds


@dataclass(frozen=True)
class Precision:
    """A precision for training, generating and measuring, and why it was chosen.

    Attributes:
        training: dtype name of the matrix products. generating: the same, or "int8". measuring: the same where it was
            asked for by name, else float32, in which published figures are.
        named: whether the user asked for that of training by name.
        reason: of the choice for training, one clause for the user.
    """

    training: str
    generating: str
    reason: str
    named: bool

    @property
    def measuring(self) -> str:
        return self.training if self.named else "float32"

    @property
    def in_words(self) -> str:
        """What is used and why, to stand behind "Computing on ..."."""
        if self.generating == self.training:
            return f"in {self.training}: {self.reason}"
        return (
            f"with {self.generating} weights where text is written, as asked for, and in {self.training} where a model "
            f"is trained: {self.reason}"
        )


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


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def compiles_whole_step() -> bool:
    """Whether XLA should compile a training step as one: on a GPU, where that saves launches and passes over memory.

    On a CPU oneDNN multiplies 16-bit matrices several times faster than XLA does, so that only the element-wise parts
    are compiled there (`network.fusion`).
    """
    return has_gpu()


def device_name() -> str:
    """What computes, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{name}" + (f" (the first of {len(gpus)})" if len(gpus) > 1 else "")
    return "CPU, no GPU found"


def choose_precision(requested: str) -> Precision:
    """The precision that a session works in.

    Args:
        requested: "auto", "float32", "bfloat16", "float16", or "int8" (for generating; training is then as "auto").

    Raises:
        SettingsError: there is no such precision.
    """
    if requested not in PRECISIONS:
        raise SettingsError(f"precision is {requested!r}; expected one of {', '.join(PRECISIONS)}.")
    if requested not in ("auto", "int8"):
        return Precision(requested, requested, "as asked for", named=True)
    chosen, reason = _for_gpu() if has_gpu() else _for_cpu()
    return Precision(chosen, "int8" if requested == "int8" else chosen, reason, named=False)


def _for_gpu() -> tuple[str, str]:
    return precision_for_capability(
        tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0]).get("compute_capability")
    )


def precision_for_capability(capability: tuple[int, int] | None) -> tuple[str, str]:
    """The precision for a GPU of this CUDA compute capability, and why."""
    if capability is None:
        return "float32", "the GPU does not say what it can do"
    label = f"a GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return "bfloat16", f"{label} has bfloat16 units"
    if capability >= (7, 0):
        return "float16", f"{label} has float16 units; the loss is scaled"
    return "float32", f"{label} has no units for 16 bits"


def _for_cpu() -> tuple[str, str]:
    ratio = product_rate("bfloat16") / product_rate("float32")
    if ratio >= _WORTHWHILE:
        return "bfloat16", f"this processor multiplies it {ratio:.1f} times faster than float32"
    return "float32", f"this processor multiplies bfloat16 {ratio:.1f} times as fast"


@lru_cache(maxsize=8)
def product_rate(dtype: str) -> float:
    """Floating-point operations per second of a large matrix product here, the best of several."""
    matrix = tf.cast(tf.fill([_PRODUCT_SIZE, _PRODUCT_SIZE], 0.5), dtype)
    multiply = tf.function(lambda a: tf.reduce_sum(tf.cast(tf.matmul(a, a)[0], tf.float32)))
    float(multiply(matrix))
    return max(2.0 * _PRODUCT_SIZE**3 / _seconds(multiply, matrix) for _ in range(5))


def _seconds(function: Any, argument: Any) -> float:
    started = time.perf_counter()
    float(function(argument))  # reading the result waits for it, on a GPU too
    return time.perf_counter() - started
