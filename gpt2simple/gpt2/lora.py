"""The adapter of low-rank adaptation (Hu et al., 2021): its matrices' names, shapes and first values; merging it.

A projection x W becomes x W + (alpha / r) (x A) B, with A [in, r] and B [r, out]; canonical names are those of the
projection's weight with `lora_a` and `lora_b` in place of `weight`. B begins as zeros, so that an untrained adapter
changes nothing; A as in Hugging Face's peft.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from gpt2simple.gpt2.config import BLOCK_WEIGHTS, Lora, ModelConfig

A, B = "lora_a", "lora_b"
ROWS = "wte.rows"  # of the embedding, of new tokens [n, E]; its variable has them too, as far as its dtype holds them
SCALE = "scale"  # of each output of a projection whose weight is kept as whole numbers, float32 [out]; named likewise


def is_of_adapter(name: str) -> bool:
    """Whether a canonical name is that of an adapter's matrix."""
    return name.endswith((f".{A}", f".{B}")) or name == ROWS


def has_whole_numbers(names: Iterable[str]) -> bool:
    """Whether variables of these canonical names keep frozen weights as whole numbers: the least memory is wanted."""
    return any(name.endswith(f".{SCALE}") for name in names)


def adapter_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """The shape of each matrix of the adapter by canonical name, in canonical order; none where there is no adapter."""
    shapes: dict[str, tuple[int, int]] = {}
    if (lora := config.lora) is None:
        return shapes
    for layer in range(config.n_layer):
        for target in lora.targets:
            units_in, units_out = BLOCK_WEIGHTS[f"{target}.weight"]
            shapes[f"h.{layer}.{target}.{A}"] = (units_in * config.n_embd, lora.rank)
            shapes[f"h.{layer}.{target}.{B}"] = (lora.rank, units_out * config.n_embd)
    return shapes | ({ROWS: (lora.rows, config.n_embd)} if lora.rows else {})


def adapter_parameters(config: ModelConfig) -> int:
    """How many numbers the adapter has."""
    return sum(rows * columns for rows, columns in adapter_shapes(config).values())


def new_adapter(config: ModelConfig, seed: int) -> Callable[[str], np.ndarray]:
    """The first values of an adapter's matrices, float32 by canonical name; the same seed gives the same.

    Those of ``ROWS`` are not among them: the embedding has them. A is uniform within 1 / sqrt(in), B zero.
    """
    shapes = adapter_shapes(config)
    numbers = {name: number for number, name in enumerate(shapes)}

    def initial(name: str) -> np.ndarray:
        shape = shapes[name]
        if name.endswith(B):
            return np.zeros(shape, np.float32)
        bound = 1.0 / math.sqrt(shape[0])
        return np.random.default_rng((seed, numbers[name])).uniform(-bound, bound, shape).astype(np.float32)

    return initial


def merged(weight: np.ndarray, a: np.ndarray, b: np.ndarray, lora: Lora) -> np.ndarray:
    """The weight [in, out] of a projection with its adapter a [in, r], b [r, out]: float32, in the array given."""
    weight += np.float32(lora.scale) * (a @ b)
    return weight
