"""Compile a chain of element-wise operations into one pass over memory.

On a CPU the matrix products run fastest in oneDNN, outside XLA, while element-wise chains run fastest inside it; so
only the latter are compiled, each for itself, within the surrounding graph. On a GPU the whole step is compiled and
these functions are simply inlined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt2simple._backend import tf


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled by XLA once for each combination of argument shapes and dtypes."""
    return tf.function(function, jit_compile=True, autograph=False)
