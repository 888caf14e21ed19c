"""What two workers on one machine train in a second, beside one process that has the same two cores.

    python benchmarks/workers.py [--size 124M] [--rounds 3] [--steps 6] [--precision bfloat16]

A model of random weights and the real shape is fine-tuned on windows of 1,024 tokens, in full and by an adapter of rank
16, each by commands of their own that take turns: one process with two threads, batches of two rows; two workers with
one thread each, the same batches (a row each); and one process with one thread and one row, which is half of the work
of two workers that need not wait for each other. The first steps, which compile, are not counted; a step's seconds are
the median of the others.

"Efficiency" is the speed of two workers beside that of one process with two threads. "Of the ideal" is that speed
beside twice the speed of the lone thread; the two workers also share the memory's bandwidth, which is why one process
with two threads is less than twice as fast as one thread. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from harness import environment, finish, median_and_spread
from lora_memory import write_random_model

from gpt2simple.gpt2.hub.registry import resolve
from gpt2simple.testing import sample_text

ROOT = Path(__file__).parent.parent
WINDOW, FIRST_STEPS = 1024, 2
METHODS = {"full": (), "LoRA": ("--lora-rank", "16")}
CASES = {
    "one process, two threads": (2, ("--threads", "2")),
    "two workers": (2, ("--workers", "2")),
    "one process, one thread": (1, ("--threads", "1")),
}
ONE, TWO, HALF = CASES


def step_seconds(folder: Path, case: str, method: str, steps: int, precision: str) -> float:
    """The median seconds of a step of a command."""
    rows, how = CASES[case]
    options = {
        "model-name": "model", "run-name": "run", "restore-from": "fresh", "precision": precision, "seed": 0,
        "steps": FIRST_STEPS + steps, "batch-size": rows, "window": WINDOW, "learning-rate": 1e-5,
        "validation-split": 0, "sample-every": 0, "save-every": 10_000,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "gpt2simple", "finetune", "text.txt", "--overwrite", *words, *how, *METHODS[method]],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(folder / "cache")},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{case}, {method}: the command failed:\n{done.stderr[-2000:]}")
    lines = (folder / "checkpoint" / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ends = [record["seconds"] for record in map(json.loads, lines) if record["kind"] == "step"]
    return statistics.median(later - earlier for earlier, later in pairwise(ends[FIRST_STEPS - 1 :]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="124M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="of each command, after those that compile")
    parser.add_argument("--precision", default="bfloat16")
    options = parser.parse_args()
    methods = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_model(folder / "model", resolve(options.size).config)
        (folder / "text.txt").write_text(sample_text(sentences=400), encoding="utf-8")
        for method in METHODS:
            turns = [
                {case: step_seconds(folder, case, method, options.steps, options.precision) for case in CASES}
                for _ in range(options.rounds)
            ]
            methods[method] = {
                "seconds_per_step": {case: median_and_spread([turn[case] for turn in turns]) for case in CASES},
                "efficiency": median_and_spread([turn[ONE] / turn[TWO] for turn in turns]),
                "of_the_ideal": median_and_spread([turn[HALF] / turn[TWO] for turn in turns]),
            }
            print(f"{options.size}, {method}, {options.precision}")
            for case, seconds in methods[method]["seconds_per_step"].items():
                print(
                    f"  {case:26s} {seconds['median']:6.2f} s a step  ({seconds['low']:.2f} to {seconds['high']:.2f})"
                )
            for name in ("efficiency", "of_the_ideal"):
                share = methods[method][name]
                print(f"  {name:26s} {share['median']:6.0%}  ({share['low']:.0%} to {share['high']:.0%})", flush=True)
    finish(
        "workers",
        environment("tensorflow", "tf-keras", "numpy"),
        {
            "size": options.size, "weights": "random", "precision": options.precision, "window": WINDOW,
            "rounds": options.rounds, "steps": options.steps, "methods": methods,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
