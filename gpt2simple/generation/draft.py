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
_LEAST_SHARE = 1 / 3  # of the layers: with fewer, guessing takes nearly as long as writing


def draft_pays(weights: DecodeWeights) -> bool:
    """Whether a draft of some weights makes writing faster: of large float32 ones on a CPU; a GPU's memory is fast."""
    large = weights.wte.values.dtype == tf.float32 and int(tf.size(weights.wte.values)) >= _WORTH_IT
    return (
        large
        and not tf.config.list_logical_devices("GPU")
        and _layers_within_one_copy(weights) >= _LEAST_SHARE * len(weights.matrices)
    )


def draft_of(weights: DecodeWeights) -> DecodeWeights:
    """The draft of float32 weights, which shares with them all that it does not keep in 8 bits.

    Only as many layers are, the last ones, as leave the copies that decoding makes within one copy of the model: all of
    GPT-2 124M, half of those of 355M.
    """
    exact = len(weights.matrices) - _layers_within_one_copy(weights)
    layers = [[to_matrix(matrix.values, _PRECISION) for matrix in layer] for layer in weights.matrices[exact:]]
    head = to_matrix(weights.head.values, _PRECISION)
    return weights._replace(head=head, matrices=weights.matrices[:exact] + layers)


def _layers_within_one_copy(weights: DecodeWeights) -> int:
    """How many layers a draft may copy: the embedding is the only thing that decoding itself shares with the model."""
    layer = sum(_numbers(matrix) for matrix in weights.matrices[0])
    spared = 4 * _numbers(weights.wte)  # bytes, a float32 number having four and one of the draft's one
    return min(len(weights.matrices), max(0, (spared - _numbers(weights.head)) // layer))


def _numbers(matrix: Matrix) -> int:
    return int(tf.size(matrix.values))
