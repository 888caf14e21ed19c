"""Outputs and references to judge."""

from __future__ import annotations

import random

_TEXT = "the quick brown fox's running, jumped over lazy dogs and 1,000 homes again quietly. A state-of-the-art"


def pairs(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Outputs and a reference of each: every fourth output is right, the others have some wrong words."""
    draw, words = random.Random(seed), _TEXT.split()
    references = [" ".join(draw.choices(words, k=draw.randint(4, 15))) for _ in range(count)]
    outputs = [
        reference
        if number % 4 == 0
        else " ".join(word if draw.random() < 0.7 else draw.choice(words) for word in reference.split())
        for number, reference in enumerate(references)
    ]
    return outputs, references
