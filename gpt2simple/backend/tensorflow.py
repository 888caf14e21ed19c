"""The only module that imports TensorFlow, tf_keras and transformers.

Every other module that computes says ``from gpt2simple.backend.tensorflow import tf, keras``, and is itself imported on
first use only. The start-up noise that these libraries write to file descriptor 2 is held back, and shown if the import
fails.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

from gpt2simple._version import __version__
from gpt2simple.errors import INSTALL_AGAIN, BackendError

ValueT = TypeVar("ValueT")
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
        from tensorflow.python import pywrap_tfe, tf2
        from tensorflow.python.client.pywrap_tf_session import TF_DeviceListMemoryBytes
        from tensorflow.python.eager import context
        from tensorflow.python.framework import tensor_shape
        from tensorflow.python.framework.ops import gradient_registry
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
        from transformers import GPT2Config, TFGPT2LMHeadModel
    except ImportError as error:
        raise BackendError(
            f"{error.name or 'TensorFlow'} could not be imported ({error}). {INSTALL_AGAIN} It installs versions that "
            "fit together."
        ) from error


# The rules of TensorFlow 2 that a program may have switched off: whether one is on, and what switches it on and off.
_RULES: tuple[tuple[Callable[[], bool], Callable[[], Any], Callable[[], Any]], ...] = (
    (tf2.enabled, tf2.enable, tf2.disable),
    (lambda: Tensor._USE_EQUALITY, tf.compat.v1.enable_tensor_equality, tf.compat.v1.disable_tensor_equality),
    (lambda: tensor_shape._TENSORSHAPE_V2_OVERRIDE is not False, tf.compat.v1.enable_v2_tensorshape,
     tf.compat.v1.disable_v2_tensorshape),
    (tf.compat.v1.resource_variables_enabled, tf.compat.v1.enable_resource_variables,
     tf.compat.v1.disable_resource_variables),
    (tf.compat.v1.control_flow_v2_enabled, tf.compat.v1.enable_control_flow_v2, tf.compat.v1.disable_control_flow_v2),
)  # fmt: skip
_lost_its_threads = False


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Whether a warning of TensorFlow tells a user something: each session compiles its own functions, and may."""
    return "tf.function retracing" not in record.getMessage()


def _after_fork() -> None:
    global _lost_its_threads
    _lost_its_threads = context.context()._initialized


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def own_context() -> Iterator[None]:
    """Compute in the block, or in the decorated function, as TensorFlow 2 does, whatever the program has set up.

    Notebooks of TensorFlow 1 switch its rules off, or call from inside a graph or a ``tf.compat.v1.Session``. Whatever
    begins a computation of this package begins it here.

    Raises:
        BackendError: this process is a fork of one that has computed, so that it would wait for ever.
    """
    if _lost_its_threads:
        raise BackendError(
            "This process was forked from one in which TensorFlow was running, and lacks its threads: computing here "
            'would never end. Start it with multiprocessing.get_context("spawn"), or fork before the first computation.'
        )
    changed = [(on, off) for is_on, on, off in _RULES if not is_on()]
    with contextlib.ExitStack() as stack:
        for on, off in changed:
            on()
            stack.callback(off)
        if _is_of_interest not in (logger := tf.get_logger()).filters:
            logger.addFilter(_is_of_interest)
            stack.callback(logger.removeFilter, _is_of_interest)
        if changed or not tf.executing_eagerly():
            stack.enter_context(context.eager_mode())
        yield


def each_in_own_context(values: Iterator[ValueT]) -> Iterator[ValueT]:
    """The values of an iterator, each made in ``own_context``, which the caller's code between them does not see."""
    with contextlib.closing(values):  # type: ignore[type-var]
        while True:
            with own_context():
                value = next(values, None)
            if value is None:
                return
            yield value


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
    "DType", "GPT2Config", "TFGPT2LMHeadModel", "Tensor", "Variable", "device_memory_limit", "each_in_own_context",
    "forget_gradients", "in_xla", "keras", "library_versions", "loaded_keras3", "own_context", "quiet_stderr", "tf",
    "uses_onednn", "xla_dynamic_update_slice", "xla_optimization_barrier",
]  # fmt: skip


def call_concrete(function: Any, tensors: Sequence[Any]) -> Any:
    """Call a concrete function with its tensors (for a variable: its handle) in the order of its inputs.

    The public call spends 10 microseconds per argument on checking their types again: with the weights as arguments
    that is a millisecond a token. This entry has been the same since TensorFlow 2.1.
    """
    return function._call_flat(list(tensors), captured_inputs=[])
