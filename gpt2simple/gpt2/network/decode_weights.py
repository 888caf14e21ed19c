"""The copy of a model's weights that decoding uses, and a draft of it for speculative decoding.

Decoding is limited by memory, and XLA's products come near its limit where each output reads one unbroken row: the
matrices are [out, in], and stand first in a product (see `cached`). Knows nothing of caches, sampling or settings.

The draft has the same weights in int8. Reading the weights for one token takes a CPU as long as for several tokens at
once. So the draft writes some tokens ahead, each at a third of the time, and the exact weights then read them all in
one step. Tokens that the exact weights confirm are accepted; at the first mismatch the rest is discarded. The text
equals the one written without a draft.
Source: Leviathan, Kalman and Matias 2023 (speculative decoding); here the draft is a quantised copy of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import ModelConfig

PRECISIONS = ("float32", "bfloat16", "float16", "int8")

# The parts of a layer's packed biases, with their lengths in units of E; `decode` takes them apart in this order.
BIASES = (("attn.c_attn", 3), ("attn.c_proj", 1), ("mlp.c_fc", 4), ("mlp.c_proj", 1))

_INT8_LARGEST = 127.0

_ROWS_AT_A_TIME = 4096  # are rounded: TensorFlow keeps on a CPU what it needed for a moment, for an embedding 0.3 GB


class Matrix(NamedTuple):
    """A weight matrix [out, in] and, if of whole numbers, what each output is to be multiplied by: [out], else [0]."""

    values: tf.Tensor
    scale: tf.Tensor


class DecodeWeights(NamedTuple):
    """Everything a decode step reads."""

    wte: Matrix  # [V, E], the embedding
    head: Matrix  # [V, E], the same but in a draft
    wpe: tf.Tensor  # [T, E] float32, centred
    biases: tf.Tensor  # [L, 9 E] float32, see BIASES
    final_norm: tf.Tensor  # [2, E] float32: weight, bias
    matrices: list[list[Matrix]]  # [L][4] in the order of BIASES

    @property
    def form(self) -> str:
        """The types of the weights: what a compiled step depends on beside the model's shape."""
        return f"{self.wte.values.dtype.name}, head {self.head.values.dtype.name}"


def decode_weights(variables: Mapping[str, tf.Variable], config: ModelConfig, precision: str) -> DecodeWeights:
    """The copy of a model's weights that decoding reads.

    The token embedding is shared with its variable in float32 (until the variable is assigned, when TensorFlow gives
    it memory of its own); the other matrices are copied, one at a time.

    Args:
        variables: by canonical name; a leading 1 in a bias is ignored.
        config: the model's.
        precision: one of PRECISIONS. int8 keeps each row as whole numbers times one float32 scale.

    Raises:
        SettingsError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    values = {name: tf.reshape(v, v.shape[1:] if v.shape[0] == 1 else v.shape) for name, v in variables.items()}
    matrices: list[list[Matrix]] = []
    biases = []
    for layer in range(config.n_layer):
        folded = [_folded(values, f"h.{layer}.", name) for name, _ in BIASES]
        matrices.append([to_matrix(weight, precision) for weight, _ in folded])
        biases.append(tf.concat([bias for _, bias in folded], axis=0))
    wte = to_matrix(values["wte.weight"], precision)
    return DecodeWeights(
        wte=wte,
        head=wte,
        wpe=_centred(values["wpe.weight"]),
        biases=tf.stack(biases),
        final_norm=tf.stack([values["ln_f.weight"], values["ln_f.bias"]]),
        matrices=matrices,
    )


def _folded(values: Mapping[str, tf.Tensor], layer: str, name: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Weight [out, in] and bias [out] of a projection, with the layer norm before or the centring after it folded in.

    A layer norm subtracts the mean, divides by the deviation, multiplies by g and adds b. The last two belong as well
    to the product that follows: W (g y + b) = (W diag g) y + W b. The first is spared by never adding a mean to the
    residual stream: what the next norm would subtract is subtracted from the rows of the projections that write there.
    """
    weight, bias = values[f"{layer}{name}.weight"], values[f"{layer}{name}.bias"]  # [in, out], [out]
    if name.endswith("c_proj"):
        return tf.transpose(_centred(weight)), _centred(bias)
    norm = f"{layer}ln_1" if name.startswith("attn") else f"{layer}ln_2"
    bias += tf.linalg.matvec(weight, values[f"{norm}.bias"], transpose_a=True)
    return tf.transpose(weight * values[f"{norm}.weight"][:, None]), bias


def _centred(x: tf.Tensor) -> tf.Tensor:
    """x [..., E] without the mean over its last axis."""
    return x - tf.reduce_mean(x, axis=-1, keepdims=True)


def to_matrix(rows: tf.Tensor, precision: str) -> Matrix:
    """A float32 matrix [out, in] in another precision."""
    if precision != "int8":
        return Matrix(tf.cast(rows, precision), tf.zeros([0]))
    parts = [_whole_numbers(rows[at : at + _ROWS_AT_A_TIME]) for at in range(0, rows.shape[0], _ROWS_AT_A_TIME)]
    values, scales = zip(*parts, strict=True)
    return Matrix(tf.concat(values, axis=0), tf.concat(scales, axis=0))


def _whole_numbers(rows: tf.Tensor) -> Matrix:
    """Each row as whole numbers up to 127 times a scale of its own."""
    largest = tf.reduce_max(tf.abs(rows), axis=1)  # [out]
    scale = tf.where(largest > 0, largest / _INT8_LARGEST, tf.ones_like(largest))
    return Matrix(tf.cast(tf.round(rows / scale[:, None]), tf.int8), scale)


AHEAD = 7  # tokens guessed at a time: with the one that is certain, eight rows, which fill XLA's products

_PRECISION = "int8"


def draft_pays(weights: DecodeWeights, *, worth_it: int = 1 << 23) -> bool:
    """Whether a draft of some weights makes writing faster: of large float32 ones on a CPU; a GPU's memory is fast.

    It must leave the copies that decoding makes within one copy of the model, which it does for GPT-2 124M and not for
    355M. A draft of as many layers as may be copied there, half of them, was no faster than none.

    Args:
        worth_it: numbers in the embedding from which memory, not the host, is what decoding waits for.
    """
    if weights.wte.values.dtype != tf.float32 or tf.config.list_logical_devices("GPU"):
        return False
    embedding = _numbers(weights.wte)
    layers = sum(_numbers(matrix) for layer in weights.matrices for matrix in layer)
    # A float32 number has four bytes, one of the draft's one; of the model decoding itself shares the embedding alone.
    return embedding >= worth_it and layers + embedding <= 4 * embedding


def draft_of(weights: DecodeWeights) -> DecodeWeights:
    """The draft of float32 weights, which shares with them all but matrices and head."""
    matrices = [[to_matrix(matrix.values, _PRECISION) for matrix in layer] for layer in weights.matrices]
    return weights._replace(head=to_matrix(weights.head.values, _PRECISION), matrices=matrices)


def _numbers(matrix: Matrix) -> int:
    return int(matrix.values.shape.num_elements())
