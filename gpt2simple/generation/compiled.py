"""Functions of tensors, compiled by XLA and called at little cost. Knows nothing of what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpt2simple._backend import call_concrete, quiet_stderr, tf


class Compiled:
    """A function of tensors and variables, compiled at its first call for each set of shapes.

    Args:
        function: takes and gives structures of tensors; must not depend on anything else.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = tf.function(function, jit_compile=True, autograph=False)
        self._concrete: Any = None

    def __call__(self, *arguments: Any) -> Any:
        return self.bind()(*arguments)

    def bind(self, *leading: Any) -> Callable[..., Any]:
        """The function with its first arguments given, which are then not looked at again.

        Args:
            leading: tensors, variables and structures of them, always of the same shapes for one function.

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
