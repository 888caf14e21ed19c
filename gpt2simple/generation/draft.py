"""A draft of a model: the same weights in whole numbers of 8 bits, which guess quickly what the exact ones will say.

Reading one token's weights takes a CPU as long as reading those of several tokens at once. So the draft writes some
tokens ahead, one by one at a third of the time, and the exact weights read them all at once: what they confirm stands,
at the first that they would not have written the guesses end. What is written is what the exact weights write.
Knows no caches, no sampling and no settings.
Source: Leviathan, Kalman and Matias 2023 (speculative decoding); a quantised model as its own draft.
"""

from __future__ import annotations

from gpt2simple._backend import tf
from gpt2simple.generation.weights import DecodeWeights, Matrix, to_matrix

AHEAD = 7  # tokens guessed at a time: with the one that is certain, eight rows, which fill XLA's products
_PRECISION = "int8"
_WORTH_IT = 1 << 23  # numbers in the embedding from which memory, not the host, is what decoding waits for


def draft_pays(weights: DecodeWeights) -> bool:
    """Whether a draft of some weights makes writing faster: of large float32 ones on a CPU; a GPU's memory is fast.

    It must leave the copies that decoding makes within one copy of the model, which it does for GPT-2 124M and not for
    355M. A draft of as many layers as may be copied there, half of them, was no faster than none.
    """
    if weights.wte.values.dtype != tf.float32 or tf.config.list_logical_devices("GPU"):
        return False
    embedding = _numbers(weights.wte)
    layers = sum(_numbers(matrix) for layer in weights.matrices for matrix in layer)
    # A float32 number has four bytes, one of the draft's one; of the model decoding itself shares the embedding alone.
    return embedding >= _WORTH_IT and layers + embedding <= 4 * embedding


def draft_of(weights: DecodeWeights) -> DecodeWeights:
    """The draft of float32 weights, which shares with them all but matrices and head."""
    matrices = [[to_matrix(matrix.values, _PRECISION) for matrix in layer] for layer in weights.matrices]
    return weights._replace(head=to_matrix(weights.head.values, _PRECISION), matrices=matrices)


def _numbers(matrix: Matrix) -> int:
    return int(matrix.values.shape.num_elements())
