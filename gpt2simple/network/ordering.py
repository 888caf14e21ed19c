"""Order between parts of a graph that do not depend on each other.

Two engines run these graphs. TensorFlow's executor starts whatever is ready, unless a control dependency holds it back.
XLA, which compiles the whole step on a GPU, drops control dependencies and computes equal expressions once: what is
computed a second time to save memory would be kept instead. A barrier keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt2simple._backend import in_xla, tf, xla_optimization_barrier


def after(event: Any, tensors: Sequence[Any]) -> list[Any]:
    """The same tensors, not there before ``event`` is, and not taken for equal to what was there before."""
    if in_xla():
        return list(xla_optimization_barrier([event, *tensors])[1:])
    with tf.control_dependencies([event]):
        return [tf.identity(tensor) for tensor in tensors]
