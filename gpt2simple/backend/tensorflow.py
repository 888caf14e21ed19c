"""The only module that imports TensorFlow; `backend.keras` adds what training needs.

Every other module that computes says ``from gpt2simple.backend.tensorflow import tf``, and is itself imported on first
use only. The start-up noise that TensorFlow writes to file descriptor 2 is held back, and shown if the import fails.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import ml_dtypes
import numpy as np

from gpt2simple.backend import process
from gpt2simple.backend.arrays import ALIGNMENT
from gpt2simple.backend.packages import missing_package
from gpt2simple.errors import BackendError

ValueT = TypeVar("ValueT")
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


class _HeldStderr:
    """File descriptor 2 while it is held back, for as long as any thread is in such a block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks, self._failed = 0, False

    def begin(self) -> None:
        with self._lock:
            self._blocks += 1
            if self._blocks > 1:
                return
            sys.stderr.flush() if sys.stderr else None
            self._failed, self._held = False, tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
            try:
                self._saved: int | None = os.dup(2)
                os.dup2(self._held.fileno(), 2)
            except OSError:  # no descriptor 2 at all (a service, pythonw): nothing to hold back
                self._saved = None

    def end(self, *, failed: bool) -> None:
        with self._lock:
            self._blocks -= 1
            self._failed |= failed
            if self._blocks > 0:
                return
            if self._saved is not None:
                os.dup2(self._saved, 2)
                os.close(self._saved)
                if self._failed:
                    self._held.seek(0)
                    os.write(2, self._held.read())
            self._held.close()


class _Thread(threading.local):
    """What holds in one thread: whether it computes beside the program, and how functions traced in it are called."""

    is_beside = False
    prefix: str | None = None  # None: as TensorFlow calls them
    count = 0


_stderr, _thread = _HeldStderr(), _Thread()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside the block; show it if the block raises.

    TensorFlow's C++ code writes there before any log level can be set, so Python's own streams are not enough. Nothing
    is held back beside the program (``start_beside``), whose own lines would be lost.
    """
    if _thread.is_beside:
        yield
        return
    _stderr.begin()
    failed = True
    try:
        yield
        failed = False
    finally:
        _stderr.end(failed=failed)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import a large package in the block, without its noise, in four fifths of the time.

    It makes a million objects, none of them garbage, which Python would look through time and again: in a command it
    never does, which spares a training a second and a half. In a program other objects would be left out with them.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if process.is_a_command:
            gc.freeze()
        if is_collecting:
            gc.enable()


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """Let TensorFlow start with its C++ log silent, and leave the environment as it was.

    TensorFlow reads the variable once, for its first log line, which it writes while it is imported. So the level holds
    for the whole process (XLA and tf.data log long after), though the variable is gone when this block ends.
    """
    if _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = "3"  # nothing but what ends the process: errors are raised, too
    try:
        yield
    finally:
        os.environ.pop(_LOG_LEVEL, None)


with importing(), _silent_log():
    try:
        import tensorflow as tf
        from tensorflow import DType, Tensor, Variable
        from tensorflow.compiler.tf2xla.ops.gen_xla_ops import (
            xla_dynamic_slice,
            xla_dynamic_update_slice,
            xla_optimization_barrier,
        )
        from tensorflow.python import pywrap_tfe, tf2
        from tensorflow.python.client.pywrap_tf_session import TF_DeviceListMemoryBytes
        from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
        from tensorflow.python.eager import context
        from tensorflow.python.eager.polymorphic_function import concrete_function
        from tensorflow.python.framework import tensor_shape
        from tensorflow.python.framework.ops import gradient_registry
        from tensorflow.python.ops import control_flow_util_v2
        from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext
        from tensorflow.python.util._pywrap_util_port import IsMklEnabled
    except ImportError as error:
        raise missing_package(error) from error


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
_changing = 0  # blocks that have changed a rule for their time
# Of the health check of other workers: one that stays silent is lost after 22 seconds, a killed one after two.
_SECONDS_BETWEEN_CHECKS, _SECONDS_OF_CHECK, _CHECKS = 2, 10, 2


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Whether a warning of TensorFlow tells a user something: each session compiles its own functions, and may."""
    return "tf.function retracing" not in record.getMessage()


def _is_no_health_check(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("Cluster check alive failed", "/job:worker/", "Unexpected exception in"))


def _after_fork() -> None:
    global _lost_its_threads
    _lost_its_threads = context.context()._initialized


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def _counted(changes: int) -> Iterator[None]:
    global _changing
    _changing += changes
    try:
        yield
    finally:
        _changing -= changes


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
        stack.enter_context(_counted(len(changed)))
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


def may_compute_beside() -> bool:
    """Whether other threads may compute: not where the program has switched off TensorFlow 2, see `start_beside`."""
    return not _changing


def start_beside(function: Callable[[], ValueT]) -> Callable[[], ValueT]:
    """Begin a computation in another thread; what is returned waits for its result, which it gives at every call.

    Where the program has switched off TensorFlow 2, the computation takes place when it is waited for: the rules are
    those of the process, and hold as long as the caller's block.
    """
    if not may_compute_beside():
        return functools.cache(function)
    device = context.context().device_name  # the block of `tf.device` that the caller is in

    def compute() -> ValueT:
        _thread.is_beside = True
        with own_context(), tf.device(device or None):
            return function()

    pool = ThreadPoolExecutor(1)
    started = pool.submit(compute)
    pool.shutdown(wait=False)
    return started.result


@contextlib.contextmanager
def functions_named(prefix: str) -> Iterator[None]:
    """Number the functions that are traced in the block, and only those, from 0.

    TensorFlow's names end in the number of all that it has made in the process before, and what XLA keeps on disk is
    found by its name.

    Args:
        prefix: of their names; another one for each block of a process.
    """
    _number_functions()
    before = _thread.prefix, _thread.count
    _thread.prefix, _thread.count = prefix, 0
    try:
        yield
    finally:
        _thread.prefix, _thread.count = before


def part_of_name(part: str) -> contextlib.AbstractContextManager[None]:
    """A block of another thread that traces a part of what is traced here, with names of its own if there are any."""
    return contextlib.nullcontext() if _thread.prefix is None else functions_named(f"{_thread.prefix}_{part}")


def _numbered(original: Callable[..., str]) -> Callable[..., str]:
    """In place of a function that makes a name of some parts and a number."""

    def name(*parts: str) -> str:
        if _thread.prefix is None:
            return original(*parts)
        _thread.count += 1
        kind = original(*parts).rstrip("_0123456789")
        return f"{kind}_{_thread.prefix}_{_thread.count}"

    return name


@functools.cache
def _number_functions() -> None:
    """Have TensorFlow ask here for the names of functions."""
    named = [(concrete_function, kind) for kind in ("_inference_name", "_forward_name", "_backward_name")]
    named.append((control_flow_util_v2, "unique_fn_name"))  # of loops and branches
    for module, function in named:
        if hasattr(module, function):  # else fewer functions are found again, and nothing else changes
            setattr(module, function, _numbered(getattr(module, function)))


def in_xla() -> bool:
    """Whether the graph that is being made will be compiled by XLA as a whole."""
    return not tf.executing_eagerly() and GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def take_over(value: np.ndarray | Tensor | Variable) -> Tensor:
    """A tensor; it may use the memory of an array from now on, which nobody else may change.

    TensorFlow would copy the array twice, which for GPT-2 124M takes half a second. It needs arrays as `aligned_empty`
    makes them, and on a GPU it needs them there.
    """
    readable_in_place = isinstance(value, np.ndarray) and value.flags.carray and value.ctypes.data % ALIGNMENT == 0
    if not readable_in_place or tf.config.get_visible_devices("GPU"):
        return tf.convert_to_tensor(value)
    if value.dtype == ml_dtypes.bfloat16:  # which NumPy does not export
        return tf.bitcast(tf.experimental.dlpack.from_dlpack(value.view(np.uint16).__dlpack__()), tf.bfloat16)
    return tf.experimental.dlpack.from_dlpack(value.__dlpack__())


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


def has_computed() -> bool:
    """Whether TensorFlow has set up its devices, after which it takes no settings of them."""
    return bool(context.context()._initialized)


def join_workers(addresses: Sequence[str], index: int, seconds: int) -> tf.distribute.Strategy:
    """A strategy that trains with other processes, which must be there; nothing has been computed in this one.

    TensorFlow's coordination service stays off. With it the constructor holds Python's lock while it waits, has no
    limit that can be set, and SIGTERM is caught and forgotten from then on; one that is stopped is noticed no sooner.
    Without it TensorFlow's older health check watches the others and names the one that is lost. Its limits are class
    attributes, which TensorFlow's tests set too; both switches are private, and were tried with 2.18, 2.20 and
    2.21.

    Args:
        addresses: host:port of each worker, the chief first. index: the place of this one.
        seconds: to wait for the others.

    Raises:
        RuntimeError: they did not come. OpError: one was lost meanwhile, or the port is in use.
    """
    context.context().configure_coordination_service(service_type="")
    CollectiveAllReduceExtended._check_health_initial_timeout = seconds
    CollectiveAllReduceExtended._check_health_interval = _SECONDS_BETWEEN_CHECKS
    CollectiveAllReduceExtended._check_health_timeout = _SECONDS_OF_CHECK
    CollectiveAllReduceExtended._check_health_retry_limit = _CHECKS
    tf.get_logger().addFilter(_is_no_health_check)  # becomes an error that names the worker
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}), task_type="worker", task_id=index, rpc_layer="grpc"
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def abort_collectives(reason: str) -> None:
    """End every sum over workers here, and with it those of the workers that wait for this one, for a reason."""
    with contextlib.suppress(tf.errors.OpError, ValueError, RuntimeError):  # it has not begun
        context.context().abort_collective_ops(tf.errors.UNAVAILABLE, reason)


def uses_onednn() -> bool:
    """Whether TensorFlow multiplies on the CPU with oneDNN: built with it, and TF_ENABLE_ONEDNN_OPTS is not 0."""
    return bool(IsMklEnabled())


__all__ = [
    "DType", "Tensor", "Variable", "abort_collectives", "call_concrete", "call_with_captures",
    "device_memory_limit", "each_in_own_context", "forget_gradients", "functions_named", "has_computed",
    "importing", "in_xla", "join_workers", "may_compute_beside", "own_context", "part_of_name", "quiet_stderr",
    "start_beside", "take_over", "tf", "uses_onednn", "xla_dynamic_slice", "xla_dynamic_update_slice",
    "xla_optimization_barrier",
]  # fmt: skip


def call_concrete(function: Any, tensors: Sequence[Any]) -> Any:
    """Call a concrete function with its tensors (for a variable: its handle) in the order of its inputs.

    The public call spends 10 microseconds per argument on checking their types again: with the weights as arguments
    that is a millisecond a token. This entry has been the same since TensorFlow 2.1.
    """
    return function._call_flat(list(tensors), captured_inputs=[])


def call_with_captures(function: Any, tensors: Sequence[Any]) -> Any:
    """The same for a function of more than its arguments: what it captured is looked up at each call."""
    return function._call_flat(list(tensors), captured_inputs=function.captured_inputs)
