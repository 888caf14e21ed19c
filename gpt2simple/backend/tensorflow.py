"""The only module that imports TensorFlow, tf_keras and transformers.

Every other module that computes says ``from gpt2simple.backend.tensorflow import tf, keras``, and is itself imported on
first use only. The start-up noise that these libraries write to file descriptor 2 is held back, and shown if the import
fails.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from gpt2simple._version import __version__
from gpt2simple.errors import INSTALL_AGAIN, BackendError

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside the block; show it if the block raises.

    TensorFlow's C++ code writes there before any log level can be set, so Python's own streams are not enough.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no descriptor 2 at all (a service, pythonw): nothing to hold back
        yield
        return
    sys.stderr.flush() if sys.stderr else None
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def _only_errors_logged() -> Iterator[None]:
    """Let TensorFlow start with its C++ log at errors, and leave the environment as it was.

    TensorFlow reads the variable once, for its first log line, which it writes while it is imported. So the level holds
    for the whole process (XLA and tf.data log long after), though the variable is gone when this block ends.
    """
    if _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = "2"  # 0: everything, 1: no information, 2: no warnings either
    try:
        yield
    finally:
        os.environ.pop(_LOG_LEVEL, None)


with quiet_stderr(), _only_errors_logged(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import tensorflow as tf
        import tf_keras as keras
        from tensorflow import DType, Tensor, Variable
        from tensorflow.compiler.tf2xla.ops.gen_xla_ops import xla_dynamic_update_slice, xla_optimization_barrier
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.client.pywrap_tf_session import TF_DeviceListMemoryBytes
        from tensorflow.python.eager import context
        from tensorflow.python.framework.ops import gradient_registry
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
        from transformers import GPT2Config, TFGPT2LMHeadModel
    except ImportError as error:
        raise BackendError(
            f"{error.name or 'TensorFlow'} could not be imported ({error}). {INSTALL_AGAIN} It installs versions that "
            "fit together."
        ) from error


def library_versions() -> dict[str, str]:
    """The versions that a run's numbers depend on, by package name."""
    names = ("tensorflow", "tf_keras", "transformers", "numpy")
    return {"gpt2simple": __version__, **{name: importlib.metadata.version(name) for name in names}}


def in_xla() -> bool:
    """Whether the graph that is being made will be compiled by XLA as a whole."""
    return not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def forget_gradients() -> None:
    """Drop the custom gradients of the graph that is being made, once no gradient of it is taken any more.

    TensorFlow registers each of them for the life of the process, and keeps with it the graph and the variables that
    the graph uses: each training would keep five times the memory of its model. Does nothing outside a graph.
    """
    if tf.executing_eagerly():
        return
    for operation in tf.compat.v1.get_default_graph().get_operations():
        with contextlib.suppress(ValueError):  # most operations have no such attribute
            name = operation.get_attr("_gradient_op_type").decode()
            getattr(gradient_registry, "_registry", {}).pop(name, None)


def device_memory_limit(device: str) -> int | None:
    """The most bytes that TensorFlow may hold on a device such as "GPU:0"; None where it does not tell.

    On a GPU what was free when the process first used it, or the limit that the program has set.
    """
    tf.zeros([])  # no device is known before the first is used
    listed = pywrap_tfe.TFE_ContextListDevices(context.context()._handle)
    try:
        for number in range(pywrap_tfe.TF_DeviceListCount(listed)):
            if pywrap_tfe.TF_DeviceListName(listed, number).endswith(f":{device}"):
                return TF_DeviceListMemoryBytes(listed, number) or None
    finally:
        pywrap_tfe.TF_DeleteDeviceList(listed)
    return None


def uses_onednn() -> bool:
    """Whether TensorFlow multiplies on the CPU with oneDNN: built with it, and TF_ENABLE_ONEDNN_OPTS is not 0."""
    return bool(IsMklEnabled())


def loaded_keras3() -> ModuleType | None:
    """Keras 3 if this process has imported it (as has anyone who passes one of its callbacks), else None.

    It is not imported here: that would lengthen every start for something few use.
    """
    return sys.modules.get("keras")


__all__ = [
    "DType", "GPT2Config", "TFGPT2LMHeadModel", "Tensor", "Variable", "device_memory_limit", "forget_gradients",
    "in_xla", "keras", "library_versions", "loaded_keras3", "quiet_stderr", "tf", "uses_onednn",
    "xla_dynamic_update_slice", "xla_optimization_barrier",
]  # fmt: skip


def call_concrete(function: Any, tensors: Sequence[Any]) -> Any:
    """Call a concrete function with its tensors (for a variable: its handle) in the order of its inputs.

    The public call spends 10 microseconds per argument on checking their types again: with the weights as arguments
    that is a millisecond a token. This entry has been the same since TensorFlow 2.1.
    """
    return function._call_flat(list(tensors), captured_inputs=[])
