"""Train a small question-answerer on pairs of prompt and completion, and see how often it is right.

    python examples/04_pairs.py                   letters in reverse: 1,600 steps, twice, some minutes on a CPU
    python examples/04_pairs.py sorted 1600       letters in alphabetical order

The words are made up, none is asked twice, and a tenth of them is kept for the test: what the model gets right there it
has not seen before. Out: checkpoint/letters-completion and checkpoint/letters-all with report.html; on the screen the
share of exact answers with its interval, and some answers.

What to look for: `loss_on="completion"`, the default, spends all of the learning on the answers. With "all" the model
also learns to guess the questions, which here are random letters.
"""

from __future__ import annotations

import random
import string
import sys
from collections.abc import Callable
from typing import Any

import gpt2simple

TASKS: dict[str, Callable[[str], str]] = {
    "reversed": lambda word: word[::-1],
    "sorted": lambda word: "".join(sorted(word)),
}


def main(task: str = "reversed", steps: str = "1600", words: str = "6000") -> None:
    pairs = questions(task, int(words))
    rows: list[tuple[str, Any]] = []
    for loss_on in ("completion", "all"):
        run_name = f"letters-{loss_on}"
        gpt2simple.finetune(
            pairs,
            model_name="tiny",
            run_name=run_name,
            loss_on=loss_on,
            steps=int(steps),
            batch_size=32,
            learning_rate=1e-3,
            schedule="linear",
            warmup_steps=50,
            seed=0,
        )
        figures: Any = gpt2simple.report(run_name, dataset=pairs)
        rows.append((loss_on, figures.result.outputs.exact_match))
        asked = [pair["prompt"] for pair in questions(task, 5, seed=1)]
        for prompt, answer in zip(asked, gpt2simple.answer(asked, run_name=run_name, length=20), strict=True):
            print(f"{prompt} -> {answer}")

    print(f"\nLetters {task}: answers that are right to the last letter, of words never seen in training")
    for loss_on, exact in rows:
        between = f" ({exact.interval.low:.1%} to {exact.interval.high:.1%})" if exact.interval else ""
        print(f'  loss_on="{loss_on}": {exact.value:.1%}{between}')


def questions(task: str, count: int, seed: int = 0) -> list[dict[str, str]]:
    """So many different words of three to six letters with their answers; blanks make each letter a token."""
    draw = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 6)))] = None
    return [{"prompt": " ".join(word), "completion": " ".join(TASKS[task](word))} for word in words]


if __name__ == "__main__":
    main(*sys.argv[1:])
