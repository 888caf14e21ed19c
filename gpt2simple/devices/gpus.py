"""The GPUs that TensorFlow sees, and what follows from there being one."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple._backend import tf


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
    """All GPUs that TensorFlow sees, the one that it computes on first."""
    return [_described(device) for device in tf.config.list_physical_devices("GPU")]


def _described(device: object) -> Gpu:
    details = tf.config.experimental.get_device_details(device)
    return Gpu(details.get("device_name", "GPU"), details.get("compute_capability"))


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
    gpus = found_gpus()
    if not gpus:
        return "CPU, no GPU found"
    return gpus[0].name + (f" (the first of {len(gpus)})" if len(gpus) > 1 else "")
