"""Gradient checkpointing (Chen et al., 2016): keep a block's input, compute the block again for its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt2simple._backend import tf
from gpt2simple.network.ordering import after


def recomputed(function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), whose backward pass runs the function a second time instead of keeping what it made.

    Args:
        function: pure; everything it differentiates through is among its arguments. Dropout inside must be stateless.
        arguments: tensors.
    """

    @tf.custom_gradient
    def run(*inputs: Any) -> Any:
        def backward(upstream: Any) -> Any:
            # Not before the gradient is due: else every block would be recomputed at once, and all of them held.
            again = after(upstream, inputs)
            with tf.GradientTape() as tape:
                tape.watch(again)
                result = function(*again)
            return tape.gradient(result, again, output_gradients=upstream)

        return function(*inputs), backward

    return run(*arguments)
