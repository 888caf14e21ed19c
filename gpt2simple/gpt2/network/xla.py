"""What runs inside XLA and what does not: compiled functions, order between operations, recomputation.

On a CPU the matrix products run fastest in oneDNN, outside XLA, while element-wise chains run fastest inside it; so
only the latter are compiled, each on its own, within the surrounding graph. On a GPU the whole step is compiled and
these functions are simply inlined.

Two engines run these graphs. TensorFlow's executor starts whatever is ready, unless a control dependency delays it.
XLA, which compiles the whole step on a GPU, drops control dependencies and computes equal expressions once: a block
that is recomputed to save memory would be kept in memory instead. An optimization barrier keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpt2simple.backend.tensorflow import Tensor, call_concrete, in_xla, quiet_stderr, tf, xla_optimization_barrier

WithGradient = tuple[Tensor, Callable[..., Any]]  # what a function under tf.custom_gradient returns: result, backward


def xla_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled by XLA once for each combination of argument shapes and dtypes."""
    return tf.function(function, jit_compile=True, autograph=False)


def run_after(event: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, available only after ``event``, and protected from common-subexpression elimination."""
    if in_xla():
        return list(xla_optimization_barrier([event, *tensors])[1:])
    with tf.control_dependencies([event]):
        return [tf.identity(tensor) for tensor in tensors]


def recompute(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """function(*arguments), run a second time in the backward pass, so that its activations need not be kept.

    Args:
        function: pure; everything it differentiates through is among its arguments. Dropout inside must be stateless.
        arguments: tensors.
    """

    @tf.custom_gradient
    def run(*inputs: Tensor) -> WithGradient:
        def backward(upstream: Tensor) -> list[Tensor]:
            # Not before the gradient is due: else all blocks would be recomputed at once and kept in memory.
            again = run_after(upstream, inputs)
            with tf.GradientTape() as tape:
                tape.watch(again)
                result = function(*again)
            return tape.gradient(result, again, output_gradients=upstream)

        return function(*inputs), backward

    return run(*arguments)


class Compiled:
    """A function of tensors and variables, compiled by XLA at its first call.

    Args:
        function: takes and returns structures of tensors, always of the same shapes; depends on nothing else.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function: Any = xla_compiled(function)
        self._concrete: Any = None

    def __call__(self, *arguments: Any) -> Any:
        return self.bind()(*arguments)

    def bind(self, *leading: Any) -> Callable[..., Any]:
        """The function with its first arguments fixed: they are flattened once, not at each call.

        Args:
            leading: tensors, variables and structures of them.

        Returns:
            A function of the other arguments.
        """
        fixed = _flat(leading)

        def call(*others: Any) -> Any:
            if self._concrete is not None:
                return call_concrete(self._concrete, [*fixed, *_flat(others)])
            with quiet_stderr():  # the first use of XLA writes a line
                concrete = self._function.get_concrete_function(*leading, *others)
                result = call_concrete(concrete, [*fixed, *_flat(others)])
            self._concrete = concrete
            return result

        return call


def _flat(arguments: Any) -> list[Any]:
    return [x.handle if isinstance(x, tf.Variable) else x for x in tf.nest.flatten(arguments)]
