"""Texts of random tokens, as long as 10,662 sentences of film reviews (rt-polarity) are in GPT-2's tokens."""

from __future__ import annotations

import numpy as np
from worker import N_VOCAB

# How many of the sentences have 0, 1, 2 ... tokens; on average they have 25.2.
SENTENCES = [
    0, 0, 5, 7, 56, 86, 117, 127, 171, 200, 204, 228, 257, 255, 288, 298, 292, 330, 344, 348, 350, 365, 354, 360, 364,
    379, 320, 343, 343, 335, 291, 290, 261, 258, 252, 221, 240, 208, 173, 170, 157, 134, 102, 96, 104, 85, 63, 57, 54,
    52, 37, 40, 32, 32, 22, 15, 20, 14, 9, 16, 4, 2, 3, 6, 3, 3, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1,
    1,
]  # fmt: skip


def lengths(count: int, seed: int = 0) -> np.ndarray:
    """The tokens of so many texts, int64 [count]."""
    shares = np.array(SENTENCES) / sum(SENTENCES)
    return np.random.default_rng(seed).choice(len(SENTENCES), size=count, p=shares)


def labelled(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The token ids of so many texts, int32 [T] each, and their labels, int32 [count]."""
    generator = np.random.default_rng(1)
    ids = [generator.integers(N_VOCAB, size=length, dtype=np.int32) for length in lengths(count).tolist()]
    return ids, generator.integers(2, size=count, dtype=np.int32)
