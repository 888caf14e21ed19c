"""Texts of random tokens, as long in GPT-2's tokens as sentences of film reviews and instructions with answers."""

from __future__ import annotations

import numpy as np
from worker import N_VOCAB

# How many of rt-polarity's 10,662 sentences have 0, 1, 2 ... tokens; on average they have 25.2.
SENTENCES = [
    0, 0, 5, 7, 56, 86, 117, 127, 171, 200, 204, 228, 257, 255, 288, 298, 292, 330, 344, 348, 350, 365, 354, 360, 364,
    379, 320, 343, 343, 335, 291, 290, 261, 258, 252, 221, 240, 208, 173, 170, 157, 134, 102, 96, 104, 85, 63, 57, 54,
    52, 37, 40, 32, 32, 22, 15, 20, 14, 9, 16, 4, 2, 3, 6, 3, 3, 1, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1,
    1,
]  # fmt: skip
# Of 1,100 instructions with answers (instruction-data.json of "Build a Large Language Model From Scratch"): how many
# prompts in Alpaca's words have 35, 36, 37 ... tokens, and how many answers with their end 2, 3, 4 ...
SHORTEST_PROMPT, SHORTEST_ANSWER = 35, 2
PROMPTS = [
    1, 8, 84, 116, 109, 143, 109, 70, 31, 14, 17, 13, 15, 11, 10, 5, 3, 7, 3, 3, 4, 11, 14, 15, 54, 44, 27, 39, 30, 16,
    25, 18, 9, 8, 3, 1, 4, 2, 1, 3,
]  # fmt: skip
ANSWERS = [
    4, 14, 19, 12, 21, 66, 65, 113, 95, 100, 93, 93, 106, 77, 49, 20, 16, 20, 17, 15, 10, 3, 5, 7, 4, 2, 4, 4, 7, 5, 2,
    3, 3, 2, 1, 1, 3, 2, 4, 2, 3, 2, 1, 2, 1, 1, 0, 0, 0, 1,
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


def pairs(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The token ids of so many pairs, int32 [T] each, and how many of each are its completion, int64 [count]."""
    generator = np.random.default_rng(1)
    prompts, answers = (
        shortest + generator.choice(len(counts), size=count, p=np.array(counts) / sum(counts))
        for shortest, counts in ((SHORTEST_PROMPT, PROMPTS), (SHORTEST_ANSWER, ANSWERS))
    )
    ids = [generator.integers(N_VOCAB, size=length, dtype=np.int32) for length in (prompts + answers).tolist()]
    return ids, answers
