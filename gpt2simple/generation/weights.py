"""The decode copy of a model's weights: another precision, laid out for one token at a time.

Matrices are turned to [out, in], so that each output reads one unbroken row: decoding is limited by memory, and XLA's
products with a vector are fastest that way. Small vectors are packed into a few arrays because each argument of a
compiled step costs time. Knows nothing of caches or sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gpt2simple._backend import tf
from gpt2simple.errors import SettingsError
from gpt2simple.shape import ModelShape

PRECISIONS = ("float32", "bfloat16", "float16", "int8")

# The parts of a layer's packed vectors, with their lengths in units of E; `decode` takes them apart in this order.
VECTORS = (
    ("ln_1.weight", 1),
    ("ln_1.bias", 1),
    ("attn.c_attn.bias", 3),
    ("attn.c_proj.bias", 1),
    ("ln_2.weight", 1),
    ("ln_2.bias", 1),
    ("mlp.c_fc.bias", 4),
    ("mlp.c_proj.bias", 1),
)
MATRICES = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")

_INT8_LARGEST = 127.0


class Matrix(NamedTuple):
    """A weight matrix [out, in] and, in int8, what each output row is to be multiplied by: [out], else [0]."""

    values: tf.Tensor
    scale: tf.Tensor


class DecodeWeights(NamedTuple):
    """Everything a decode step reads; a structure of tensors that a `tf.function` takes as an argument."""

    wte: Matrix  # [V, E], the embedding and the tied head
    wpe: tf.Tensor  # [T, E] float32
    vectors: tf.Tensor  # [L, 13 E] float32, see VECTORS
    final_norm: tf.Tensor  # [2, E] float32: weight, bias
    matrices: tuple[tuple[Matrix, ...], ...]  # [L][4], see MATRICES


def decode_weights(variables: Mapping[str, tf.Variable], shape: ModelShape, precision: str) -> DecodeWeights:
    """The copy of a model's weights that decoding reads.

    In float32 the embeddings are shared with the variables (until one is assigned, when TensorFlow gives the variable
    memory of its own); the other matrices are copied, one at a time.

    Args:
        variables: by canonical name; a leading 1 in a bias is ignored.
        shape: the model's.
        precision: one of PRECISIONS. int8 keeps each row as whole numbers times one float32 scale.

    Raises:
        SettingsError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    layers = range(shape.n_layer)
    packed = [tf.concat([tf.reshape(variables[f"h.{i}.{name}"], [-1]) for name, _ in VECTORS], axis=0) for i in layers]
    return DecodeWeights(
        wte=_matrix(variables["wte.weight"].value(), precision),
        wpe=variables["wpe.weight"].value(),
        vectors=tf.stack(packed),
        final_norm=tf.stack([tf.reshape(variables[f"ln_f.{leaf}"], [-1]) for leaf in ("weight", "bias")]),
        matrices=tuple(
            tuple(_matrix(tf.transpose(variables[f"h.{i}.{name}"]), precision) for name in MATRICES) for i in layers
        ),
    )


def _matrix(rows: tf.Tensor, precision: str) -> Matrix:
    """A float32 matrix [out, in] in another precision."""
    if precision != "int8":
        return Matrix(tf.cast(rows, precision), tf.zeros([0]))
    largest = tf.reduce_max(tf.abs(rows), axis=1)  # [out]
    scale = tf.where(largest > 0, largest / _INT8_LARGEST, tf.ones_like(largest))
    return Matrix(tf.cast(tf.round(rows / scale[:, None]), tf.int8), scale)
