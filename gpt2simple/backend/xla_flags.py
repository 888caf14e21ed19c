"""XLA's options for this process: what a release of it must not do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gpt2simple.backend.packages import tensorflow_version
from gpt2simple.backend.tensorflow import tf

_FLAGS = "XLA_FLAGS"
_TYPES = "--xla_cpu_experimental_ynn_fusion_type"  # unknown to TensorFlow 2.20, which would end the process
_RACING = "2.21."


@contextlib.contextmanager
def without_racing_reductions() -> Iterator[None]:
    """Have XLA, which first compiles at the end of this block, compute reductions itself.

    In TensorFlow 2.21 it leaves large ones to YNNPACK, and two threads that run one of them at the same time for the
    first time both add to a list of constants that has no lock: now and then that is a segmentation fault. Training
    runs one function for several matrices at once. The variable is put back, as a child process may have another
    TensorFlow. Nothing changes where the program has chosen, or XLA has compiled before.
    """
    if not (tensorflow_version() or "").startswith(_RACING) or _TYPES in os.environ.get(_FLAGS, ""):
        yield
        return
    with option_added(_FLAGS, f"{_TYPES}=-reduce"):
        yield
        function = tf.function(lambda: tf.zeros([]), jit_compile=True, autograph=False)
        function.experimental_get_compiler_ir()(stage="hlo")  # reads the variable, and compiles nothing


@contextlib.contextmanager
def option_added(variable: str, option: str) -> Iterator[None]:
    """Have an option in an environment variable during the block, beside those that are there."""
    given = os.environ.get(variable)
    os.environ[variable] = f"{given or ''} {option}".strip()
    try:
        yield
    finally:
        os.environ.pop(variable)
        if given is not None:
            os.environ[variable] = given
