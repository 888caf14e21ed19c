"""A model's weights as TensorFlow's variables, by canonical name: made from their values, read and overwritten.

They are float32, whatever the precision, but for the frozen ones beside an adapter (`config.Lora`). Each is made from
its value, one tensor at a time: TensorFlow's allocator never returns memory on a CPU, so that tensors made only to be
overwritten leave gaps that the process keeps, 0.2 GB for 355M during training. Names and shapes are those that a
`TFGPT2LMHeadModel` gives its variables (`container`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from gpt2simple.backend.arrays import aligned_empty
from gpt2simple.backend.tensorflow import Tensor, Variable, quiet_stderr, take_over, tf
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import PROJECTIONS, ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes, to_keras
from gpt2simple.gpt2.lora import ROWS, SCALE, adapter_shapes

_INT8_LARGEST = 127.0

ReadValue = Callable[[str], Tensor | np.ndarray]  # canonical name -> float32 of its canonical shape


def random_weights(config: ModelConfig, *, seed: int | None = None, initializer_range: float = 0.02) -> ReadValue:
    """The weights of a GPT-2 that has learned nothing, each computed when it is read.

    Matrices and embeddings are normal with a standard deviation of `initializer_range`, divided by sqrt(2L) for the
    two projections of each layer that add to the residual stream (Radford et al. 2019, section 2.3); biases are zero,
    layer norms the identity. No global random state is read or advanced.

    Args:
        config: of the model.
        seed: 0 or more; the same seed gives the same weights. None: a random one.
        initializer_range: standard deviation.
    """
    key = secrets.randbits(31) if seed is None else seed % 2**31
    residual = initializer_range / math.sqrt(2 * config.n_layer)
    shapes = canonical_shapes(config)
    numbers = {name: number for number, name in enumerate(shapes)}

    def initial(name: str) -> Tensor:
        if name.endswith(".bias"):
            return tf.zeros(shapes[name])
        if _is_norm(name):
            return tf.ones(shapes[name])
        spread = residual if name.endswith(".c_proj.weight") else initializer_range
        return _normal(tf.constant(shapes[name]), tf.constant([key, numbers[name]]), tf.constant(spread))

    return initial


@tf.function(
    input_signature=[tf.TensorSpec([2], tf.int32), tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.float32)]
)
def _normal(shape: Tensor, seed: Tensor, spread: Tensor) -> Tensor:
    """A matrix of normal random numbers; as a graph, which scales it in place: eagerly there would be three copies."""
    return tf.random.stateless_normal(shape, seed=seed, stddev=spread)


def make_variables(config: ModelConfig, value: ReadValue) -> dict[str, Variable]:
    """The variables of a model, in canonical order; those of its adapter follow.

    Args:
        config: of the model.
        value: of a weight; called once for each, when its variable is made.
    """
    with quiet_stderr():  # the first use of a device writes a line
        tf.zeros([])
    variables: dict[str, Variable] = {}
    base = "float32" if config.lora is None else config.lora.base
    adapter = adapter_shapes(config)
    for name, shape in canonical_shapes(config).items():
        if base == "int8" and is_projection(name):
            numbers, scale = _whole_numbers(np.reshape(value(name), shape))
            variables[name] = _frozen(name, take_over(numbers))
            name = f"{name.removesuffix('weight')}{SCALE}"
            variables[name] = tf.Variable(scale, name=name, trainable=False)
        elif base != "float32" and (is_projection(name) or name == "wte.weight"):
            rounded = aligned_empty(shape, ml_dtypes.bfloat16)
            rounded[...] = np.reshape(value(name), shape)
            # Rows that are written would make TensorFlow copy an array that it took over.
            is_written = name == "wte.weight" and ROWS in adapter
            variables[name] = _frozen(name, tf.constant(rounded) if is_written else take_over(rounded))
        else:
            variables[name] = _variable(name, shape, value)
    return variables | {name: _variable(name, shape, value) for name, shape in adapter.items()}


def _variable(name: str, shape: tuple[int, ...], value: ReadValue) -> Variable:
    kept = (1, *shape) if is_projection_bias(name) else shape
    keras_name = to_keras(name) if name.endswith((".weight", ".bias")) else name
    return tf.Variable(lambda: tf.reshape(value(name), kept), name=keras_name, dtype=tf.float32, shape=kept)


def _frozen(name: str, value: Tensor) -> Variable:
    """A variable with a value that NumPy converted.

    TensorFlow would put it where a larger float32 matrix was, and keep up to twice its size: 0.4 GB for 1558M in
    bfloat16.
    """
    return tf.Variable(value, name=to_keras(name), trainable=False)


def _whole_numbers(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix [in, out] as int8 numbers of -127 to 127 times a scale of each column, float32 [out]."""
    largest = np.maximum(weight.max(axis=0), -weight.min(axis=0))  # (out,)
    scale = np.where(largest > 0, largest / np.float32(_INT8_LARGEST), np.float32(1.0))  # (out,)
    numbers = aligned_empty(weight.shape, np.int8)  # (in, out)
    shares = weight / scale  # (in, out)
    numbers[...] = np.rint(shares, out=shares)
    return numbers, scale


def is_projection(name: str) -> bool:
    """Whether a canonical name is that of a projection's matrix."""
    *path, leaf = name.split(".")
    return leaf == "weight" and ".".join(path[2:]) in PROJECTIONS


def is_projection_bias(name: str) -> bool:
    """Whether a canonical name is that of a bias that Keras keeps as [1, F]: all but those of layer norms."""
    return name.endswith(".bias") and not _is_norm(name)


def _is_norm(name: str) -> bool:
    return name.split(".")[-2].startswith("ln_")


def read_weight(variables: Mapping[str, Variable], name: str) -> np.ndarray:
    """One weight, by its canonical name, as a float32 array of its canonical shape."""
    value = variables[name].numpy()
    return value.reshape(-1) if name.endswith(".bias") else value


def copy_rows(variables: Mapping[str, Variable]) -> None:
    """Copy the rows of new tokens, which are trained beside a frozen embedding, into its variable, if there are any."""
    if ROWS in variables:
        rows, embedding = variables[ROWS], variables["wte.weight"]
        embedding[-rows.shape[0] :].assign(tf.cast(rows, embedding.dtype))


def assign_weights(variables: Mapping[str, Variable], weights: Mapping[str, np.ndarray]) -> None:
    """Overwrite every variable, one tensor at a time.

    Args:
        variables: by canonical name.
        weights: arrays of canonical shapes by canonical name, or an open checkpoint.

    Raises:
        CheckpointError: a tensor is missing or has another shape than its variable; the model may be half filled.
    """
    for name, variable in variables.items():
        if name not in weights:
            raise CheckpointError(
                f"The weight {name} is not among the {len(weights)} given. Give every weight of the model."
            )
        value, kept = weights[name], tuple(variable.shape)
        expected = kept[1:] if is_projection_bias(name) else kept
        if value.shape != expected:
            raise CheckpointError(
                f"The weight {name} has shape {list(value.shape)}; this model has {list(expected)}. "
                "Load it into a model of that shape."
            )
        variable.assign(value.reshape(kept))
