"""Pairs that a small model learns in seconds: a letter and digits that do not matter, and the letter after it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import gpt2simple
from tests.helpers.small_runs import write_small_model

SETTINGS: dict[str, Any] = {"learning_rate": 1e-2, "seed": 3, "print_every": 1000, "separator": "=", "batch_size": 8}
RUN = "letters"
NAMES = "abcdefgh"


def pairs(number: int = 160, seed: int = 0) -> list[tuple[str, str]]:
    """Prompts such as c7, of which no two are the same, and their completions."""
    draw = random.Random(seed)
    letters = [draw.choice(NAMES[:-1]) for _ in range(number)]
    return [(f"{letter}{n}", NAMES[NAMES.index(letter) + 1]) for n, letter in enumerate(letters)]


def write_pair_run(folder: Path) -> None:
    """Write a model and pairs into the current folder, which this is, and train the run on them."""
    write_small_model(folder / "small")
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs()]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    gpt2simple.finetune("pairs.jsonl", model_name="small", run_name=RUN, steps=120, **SETTINGS)
