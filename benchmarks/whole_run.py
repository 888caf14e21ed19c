"""How long `gpt2simple finetune` takes from the command line to its end, and how much of that is not steps.

    python benchmarks/whole_run.py TEXT [--steps 300] [--before CHECKOUT] [--rounds 3]

Fine-tunes the built-in model on a text by the defaults, in a process of its own. In turns: `import tensorflow` alone;
the command with an empty cache; the same with the cache that it left; and the command of another checkout with a cache,
where one is named. All steps count as the median one, so that the time beyond them holds the first step's compilation,
evaluations, samples, checkpoints and plots. A figure is the median of the rounds, with the lowest and the highest. Ends
with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from harness import environment, finish, median_and_spread
from startup import ROOT, import_tensorflow


def finetune(checkout: Path, text: Path, steps: int, folder: Path, cache: Path) -> dict[str, float]:
    """Seconds of a run: whole, in steps, in the first step beyond the median one, and between steps after it."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gpt2simple", "finetune", str(text), "--model-name", "tiny", "--steps", str(steps)],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(checkout), "GPT2SIMPLE_CACHE": str(cache)},
    )  # fmt: skip
    whole = time.perf_counter() - started
    records = [json.loads(line) for line in next(folder.glob("checkpoint/*/metrics.jsonl")).read_text().splitlines()]
    evaluated = next(record["seconds"] for record in records if record["kind"] == "evaluation")
    ends = [record["seconds"] for record in records if record["kind"] == "step"]
    assert len(ends) == steps
    seconds = [later - earlier for earlier, later in pairwise(ends)]
    step = statistics.median(seconds)
    return {
        "whole": whole,
        "steps": steps * step,
        "first_step": ends[0] - evaluated - step,
        "between_steps": sum(seconds) - (steps - 1) * step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--before", type=Path, help="another checkout of this package")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    text = options.text.resolve()
    kinds = {"empty cache": ROOT, "cache": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    imports: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        import_tensorflow()  # into the page cache
        if options.before:
            finetune(options.before, text, options.steps, folder, folder / "other")
        for _ in range(options.rounds):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            imports.append(import_tensorflow())
            for kind, checkout in kinds.items():
                cache = folder / ("other" if kind == "before" else "cache")
                run = finetune(checkout, text, options.steps, folder, cache)
                run["beyond"] = run["whole"] - run["steps"] - imports[-1]
                for name, seconds in run.items():
                    found[kind].setdefault(name, []).append(seconds)
    importing = median_and_spread(imports)
    rows = {kind: {name: median_and_spread(numbers) for name, numbers in row.items()} for kind, row in found.items()}
    print(f"import tensorflow: {importing['median']:.2f} s")
    for kind, row in rows.items():
        print(f"{kind}: " + ", ".join(f"{name} {seconds['median']:.1f} s" for name, seconds in row.items()))
    finish(
        "whole-run",
        environment("tensorflow", "tf-keras", "transformers", "numpy"),
        {
            "weights": "the built-in model's", "text": text.name, "steps": options.steps, "rounds": options.rounds,
            "import_tensorflow": importing, "finetune": rows,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
