"""XLA's options for this process: what it must not do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gpt2simple.backend.packages import tensorflow_version
from gpt2simple.backend.tensorflow import tf

_FLAGS = "XLA_FLAGS"
# TensorFlow 2.21 leaves large reductions to YNNPACK, and two threads that run one at the same time for the first
# time both add to a list of constants that has no lock: now and then that is a segmentation fault. Training runs one
# function for several matrices at once. TensorFlow 2.20 does not know this option, which would end the process.
_OWN_REDUCTIONS = "--xla_cpu_experimental_ynn_fusion_type=-reduce"
_RACING = "2.21."
# By default each product on a GPU is compiled in dozens of ways by Triton and timed against cuBLAS: 25 seconds for one
# bfloat16 product on 16 cores, minutes for a step of training where there are two. With cuBLAS alone a step of 124M was
# compiled in 25 seconds, and was 1.8 times as fast as that of torch.compile (docs/performance.md).
_CUBLAS_ONLY = "--xla_gpu_enable_triton_gemm=false"


@contextlib.contextmanager
def chosen_options() -> Iterator[None]:
    """Have XLA, which first compiles at the end of this block, compile without races and soon.

    The variable is put back, as a child process may have another TensorFlow. Nothing changes where the program has
    chosen, or XLA has compiled before.
    """
    options = [_CUBLAS_ONLY]
    if (tensorflow_version() or "").startswith(_RACING):
        options.append(_OWN_REDUCTIONS)
    given = os.environ.get(_FLAGS, "")
    with option_added(_FLAGS, " ".join(option for option in options if option.partition("=")[0] not in given)):
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
