"""The copy of a model's weights that decoding uses, and a draft of it for speculative decoding.

Decoding is limited by memory bandwidth, and XLA's products come near that limit where each output reads one contiguous
row: the matrices are [out, in], and come first in a product (see `cached`).

The draft is the same model with int8 weights. Reading the weights for one token takes a CPU as long as for several at
once. So the draft proposes some tokens, each at a third of the time, and the exact weights verify them all in one step.
Tokens that the exact weights confirm are accepted; at the first mismatch the rest is discarded. The text equals the one
written without a draft.
Source: Leviathan, Kalman and Matias 2023 (speculative decoding); here the draft is a quantised copy of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import Tensor, Variable, own_context, take_over, tf
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import PROJECTIONS, ModelConfig
from gpt2simple.gpt2.network.transformer import flat_weight

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
_INT8_LARGEST = 127.0
_LAYERS_AT_A_TIME = 2  # are read and folded, each on a core of its own
_ROWS_AT_A_TIME = 4096  # are quantised: TensorFlow keeps temporary memory on a CPU, 0.3 GB of it for an embedding


class Matrix(NamedTuple):
    """A weight matrix [out, in] and, if it is int8, the scale of each output: float32 [out], else [0]."""

    values: Tensor
    scale: Tensor


class DecodeWeights(NamedTuple):
    """Everything a decode step reads."""

    wte: Matrix  # (V, E), the embedding
    head: Matrix  # (V, E), the same matrix, except in a draft: int8
    wpe: Tensor  # (n_ctx, E) float32, centred
    biases: Tensor  # (L, 9E) float32, those of PROJECTIONS side by side
    final_norm: Tensor  # (2, E) float32: weight, bias
    matrices: list[list[Matrix]]  # L times 4, in the order of PROJECTIONS

    @property
    def dtypes(self) -> str:
        """The dtypes of the weights: what a compiled step depends on besides the model's config."""
        return f"{self.wte.values.dtype.name}, head {self.head.values.dtype.name}"


def decode_weights(weights: Mapping[str, Any], config: ModelConfig, precision: str) -> DecodeWeights:
    """The copy of a model's weights that decoding reads, made one matrix at a time.

    In float32 the token embedding of variables is shared with them (until the variable is assigned, when TensorFlow
    gives it memory of its own).

    Args:
        weights: variables or arrays by canonical name, or an open checkpoint, of which each is read once.
        config: of the model.
        precision: one of PRECISIONS. int8 keeps each row as int8 numbers times one float32 scale.

    Raises:
        SettingsError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    wte = to_matrix(weights["wte.weight"], precision)  # (V, E); first: it needs the most memory besides
    with ThreadPoolExecutor(_LAYERS_AT_A_TIME) as pool:
        layers = list(pool.map(lambda number: _of_layer(weights, f"h.{number}.", precision), range(config.n_layer)))
    matrices, biases = [layer for layer, _ in layers], [biases for _, biases in layers]
    wpe = _centre(flat_weight(weights, "wpe.weight"))  # (n_ctx, E)
    norm = tf.stack([flat_weight(weights, f"ln_f.{kind}") for kind in ("weight", "bias")])  # (2, E)
    return DecodeWeights(wte=wte, head=wte, wpe=wpe, biases=tf.stack(biases), final_norm=norm, matrices=matrices)


@own_context()
def _of_layer(weights: Mapping[str, Any], layer: str, precision: str) -> tuple[list[Matrix], Tensor]:
    """The matrices of a layer, in the order of PROJECTIONS, and their biases side by side, [9E]."""
    folded = [_fold(weights, layer, name, precision) for name in PROJECTIONS]
    return [matrix for matrix, _ in folded], tf.concat([bias for _, bias in folded], axis=0)


def _fold(weights: Mapping[str, Any], layer: str, name: str, precision: str) -> tuple[Matrix, Tensor]:
    """Weight [out, in] and bias [out] of a projection, with the layer norm before or the centring after it folded in.

    A layer norm subtracts the mean, divides by the deviation, multiplies by g and adds b. The last two can be part of
    the product that follows: W (g y + b) = (W diag g) y + W b. The first is avoided by never adding a mean to the
    residual stream: what the next norm would subtract is subtracted from the rows of the projections that write there.
    """
    weight, bias = (flat_weight(weights, f"{layer}{name}.{kind}") for kind in ("weight", "bias"))  # (in, out), (out,)
    if name.endswith("c_proj"):
        return to_matrix(tf.transpose(_centre(weight)), precision), _centre(bias)
    norm = f"{layer}ln_1" if name.startswith("attn") else f"{layer}ln_2"
    gain, shift = (flat_weight(weights, f"{norm}.{kind}") for kind in ("weight", "bias"))  # (in,)
    bias += tf.linalg.matvec(weight, shift, transpose_a=True)  # (out,)
    return to_matrix(tf.transpose(weight * gain[:, None]), precision), bias


def _centre(x: Tensor) -> Tensor:
    """x [..., E] without the mean over its last axis."""
    return x - tf.reduce_mean(x, axis=-1, keepdims=True)


def to_matrix(rows: Tensor | Variable | np.ndarray, precision: str) -> Matrix:
    """A float32 matrix [out, in] in another precision."""
    if precision == "float32":
        return Matrix(take_over(rows), tf.zeros([0]))
    slices = [rows[start : start + _ROWS_AT_A_TIME] for start in range(0, rows.shape[0], _ROWS_AT_A_TIME)]
    if precision != "int8":
        return Matrix(tf.concat([tf.cast(take_over(part), precision) for part in slices], axis=0), tf.zeros([0]))
    parts = [_to_int8(take_over(part)) for part in slices]
    values, scales = zip(*parts, strict=True)
    return Matrix(tf.concat(values, axis=0), tf.concat(scales, axis=0))


def _to_int8(rows: Tensor) -> Matrix:
    """Each row as int8 numbers of -127 to 127 times a scale of its own."""
    largest = tf.reduce_max(tf.abs(rows), axis=1)  # (out,)
    scale = tf.where(largest > 0, largest / _INT8_LARGEST, tf.ones_like(largest))  # (out,)
    return Matrix(tf.cast(tf.round(rows / scale[:, None]), tf.int8), scale)


DRAFT_TOKENS = 7  # drafted at a time: with the last accepted token, eight rows, which fill XLA's products
_DRAFT_PRECISION = "int8"


def draft_pays(weights: DecodeWeights, *, smallest: int = 1 << 23) -> bool:
    """Whether a draft makes decoding faster: for large float32 weights on a CPU; a GPU's memory is fast.

    The copies that decoding makes must fit into the memory of one more model, which they do for GPT-2 124M and not for
    355M. For 355M, a draft of the layers that do fit, half of them, was no faster than none.

    Args:
        smallest: elements of the embedding from which memory bandwidth limits decoding, not the host.
    """
    if weights.wte.values.dtype != tf.float32 or has_gpu():
        return False
    embedding = int(weights.wte.values.shape.num_elements())
    layers = sum(int(matrix.values.shape.num_elements()) for layer in weights.matrices for matrix in layer)
    # In bytes: the copies of the layers (4 * layers) and the int8 draft (layers + embedding) in the memory of a model
    # (4 * layers + 4 * embedding). The embedding itself is shared with the model.
    return embedding >= smallest and layers + embedding <= 4 * embedding


def draft_of(weights: DecodeWeights) -> DecodeWeights:
    """The draft of float32 weights, which shares with them all but matrices and head."""
    matrices = [[to_matrix(matrix.values, _DRAFT_PRECISION) for matrix in layer] for layer in weights.matrices]
    return weights._replace(head=to_matrix(weights.head.values, _DRAFT_PRECISION), matrices=matrices)
