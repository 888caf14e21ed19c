"""What runs inside XLA and what does not: compiled functions, order between operations, recomputation.

On a CPU the matrix products run fastest in oneDNN, outside XLA, while element-wise chains run fastest inside it; so
only the latter are compiled, each on its own, within the surrounding graph. On a GPU the whole step is compiled and
these functions are simply inlined.

Two engines run these graphs. TensorFlow's executor starts whatever is ready, unless a control dependency delays it.
XLA, which compiles the whole step on a GPU, drops control dependencies and computes equal expressions once: a block
that is recomputed to save memory would be kept in memory instead. An optimization barrier keeps the two apart.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from gpt2simple.backend import xla_cache
from gpt2simple.backend.tensorflow import (
    Tensor,
    Variable,
    call_concrete,
    call_with_captures,
    forget_gradients,
    functions_named,
    in_xla,
    quiet_stderr,
    tf,
    xla_optimization_barrier,
)

# How often each function was traced, by its name and shapes: tests check that nothing is compiled twice.
traces: Counter[tuple[object, ...]] = Counter()
_compiled: Counter[str] = Counter()
_count_lock = threading.Lock()


def _times(name: str) -> int:
    """How often a function of this name has been compiled, this time included: TensorFlow takes each name once."""
    with _count_lock:
        _compiled[name] += 1
        return _compiled[name]


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


class RepeatedBlock:
    """``recompute`` for the blocks of a model beside whose frozen weights little is trained.

    Forward and backward pass are one function each for all blocks, so that the graph does not grow with them: it takes
    8 MB a block otherwise. They are called, not inlined: nothing of a block, such as frozen weights in another dtype,
    is computed before its input is there.

    Args:
        block: a function (x, weights by name, place) -> y; pure, see ``recompute``.
    """

    def __init__(self, block: Callable[[Tensor, Mapping[str, Tensor], Tensor | None], Tensor]) -> None:
        def forward(x: Tensor, weights: Mapping[str, Tensor], place: Tensor | None) -> Tensor:
            y = block(x, weights, place)
            forget_gradients()
            return y

        def backward(
            x: Tensor, weights: Mapping[str, Tensor], place: Tensor | None, names: Sequence[str], upstream: Tensor,
            of_x: bool,
        ) -> list[Tensor]:  # fmt: skip
            sources = [*([x] if of_x else []), *(weights[name] for name in names)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(sources)
                y = block(x, weights, place)
            found: list[Tensor] = tape.gradient(y, sources, output_gradients=upstream)
            forget_gradients()
            return found

        self._forward, self._backward = called_function(forward), called_function(backward)

    def __call__(
        self, x: Tensor, trained: Mapping[str, Tensor], weights: Mapping[str, Tensor], place: Tensor | None, *,
        of_x: bool,
    ) -> Tensor:  # fmt: skip
        """A block.

        Args:
            trained: the weights that get gradients. weights: all of the block.
            place: what tells it from the others; no constant, of which TensorFlow makes a function for each.
            of_x: whether x gets a gradient: not in the first block, where nothing before it is trained.
        """
        # A tape would take the function's own gradient, and keep for it all that it computes.
        constants = tf.nest.map_structure(tf.stop_gradient, (x, dict(weights)))
        y_of = functools.partial(self._forward, *constants, place)
        gradients = functools.partial(self._backward, *constants, place, tuple(trained))

        @tf.custom_gradient
        def run(x: Tensor, *values: Tensor) -> WithGradient:
            return y_of(), lambda upstream: gradients(upstream, True)

        @tf.custom_gradient
        def run_first(*values: Tensor) -> WithGradient:
            return y_of(), lambda upstream: gradients(upstream, False)

        return run(x, *trained.values()) if of_x else run_first(*trained.values())


def called_function(function: Callable[..., Any]) -> Any:
    """The function, traced once for arguments of the same shapes, and called in a graph, not inlined."""
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


class Compiled:
    """A function of tensors and variables, traced and compiled at its first call, for whatever variables it is given.

    A graph that captures its variables is of use to one model, and keeps it in memory. Here they are arguments, which
    costs the same: TensorFlow hands captured variables to a function as arguments too.

    Args:
        function: takes and returns structures of tensors, always of the same shapes; depends on nothing else.
        about: what it is for, of values whose ``repr`` is the same in every process: what XLA compiles for it is kept
            on disk under a name made of this.
        by_xla: whether XLA compiles it as a whole.
        quiet: whether stderr is held back at the first call. Messages of the package would be lost with the rest.
        captures: whether the graph needs more than its arguments, as sums over replicas do.
    """

    def __init__(
        self, function: Callable[..., Any], about: Sequence[object], *, by_xla: bool = True, quiet: bool = True,
        captures: bool = False,
    ) -> None:  # fmt: skip
        self._call_graph = call_with_captures if captures else call_concrete
        self._first_call = quiet_stderr if quiet else contextlib.nullcontext
        self._name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
        self._function, self._by_xla, self._lock = function, by_xla, threading.Lock()
        self._concrete: Any = None

    @property
    def is_compiled(self) -> bool:
        """Whether it was called before."""
        return self._concrete is not None

    @property
    def is_known(self) -> bool:
        """Whether the first call most likely finds on disk what an earlier process has compiled."""
        return xla_cache.is_known(self._name)

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
                return self._call_graph(self._concrete, [*fixed, *_flat(others)])
            with self._lock, self._first_call():  # the first use of XLA writes a line
                if self._concrete is None:
                    return self._compile_and_call(leading, others, [*fixed, *_flat(others)])
            return self._call_graph(self._concrete, [*fixed, *_flat(others)])

        return call

    def _compile_and_call(self, leading: Sequence[Any], others: Sequence[Any], tensors: Sequence[Any]) -> Any:
        if not self._by_xla:  # XLA compiles parts of it one after another: what failed half-way cannot be repeated
            xla_cache.require_room()
            return self._compile(leading, others, tensors)
        try:
            return self._compile(leading, others, tensors)
        except tf.errors.OpError:
            # XLA compiles before anything runs, so that nothing is computed twice. What TensorFlow kept on disk may be
            # the cause: a full disk, or an entry that it cannot read.
            if not xla_cache.start_anew():
                raise
            return self._compile(leading, others, tensors)

    def _compile(self, leading: Sequence[Any], others: Sequence[Any], tensors: Sequence[Any]) -> Any:
        """Trace and compile the function, anew each time, and return its result for these arguments."""
        function = tf.function(self._function, jit_compile=self._by_xla or None, autograph=False)
        with functions_named(f"{self._name}_{_times(self._name)}"):
            concrete = function.get_concrete_function(*leading, *others)
        result = self._call_graph(concrete, tensors)
        self._concrete = concrete
        xla_cache.add_known(self._name)
        return result


Shapes = tuple[tuple[str, tuple[int, ...]], ...]


def shapes_of(variables: Mapping[str, Variable], inputs: Tensor) -> Shapes:
    """The shapes of a model's weights and of its inputs: a part of the key of a kept function."""
    return tuple((name, tuple(array.shape)) for name, array in [*variables.items(), ("inputs", inputs)])


_MOST_LAYERS = 48  # of all functions that are kept


class KeptFunctions:
    """Compiled functions by all that their graphs depend on, so that no call compiles what one before it has compiled.

    The graph of a training step of GPT-2 124M, as TensorFlow has it, takes 100 MB, 8 MB a layer. So those used last are
    kept, as many as have 48 layers in all: four such steps, a dozen of the built-in model, or the only one of 774M.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Compiled, float]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable, make: Callable[[], Compiled], layers: float) -> Compiled:
        """The function of a key, made if it is not here; layers: how large its graph is, in layers of training."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make(), layers
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > _MOST_LAYERS:
                self._kept.popitem(last=False)
            return self._kept[key][0]

    def clear(self) -> None:
        """Forget all functions; their memory is free once nothing uses them."""
        with self._lock:
            self._kept.clear()


kept_functions = KeptFunctions()


def _flat(arguments: Any) -> list[Any]:
    return [x.handle if isinstance(x, tf.Variable) else x for x in tf.nest.flatten(arguments)]
