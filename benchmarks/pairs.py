"""How fast a model is trained on pairs, packed into rows, beside the same pairs in padded batches.

    python benchmarks/pairs.py [--rounds 5] [--seconds 12] [--precision bfloat16] [--label WORDS]

GPT-2 124M with random weights, on this package's own engine in all cases; pairs as long as 1,100 instructions with
answers (`training_peers/texts.py`), the loss on the answers. "packed": 8, 16 or 32 pairs in a row, as `finetune` does.
"padded" and "bucketed": 8 pairs a batch, in random order or with pairs of similar length together, each batch padded to
its longest; the head is computed for every token there, as it is where the loss is only masked.

Each case runs in a process of its own. They take turns, some seconds each. Figures are medians of the rounds, ratios
medians of the rounds' ratios, with lowest and highest. The first steps, which compile each width, are not counted.
Ends with one JSON line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from peers import Peer, workers

WORKER = Path(__file__).parent / "training_peers" / "pairs_worker.py"
CASES = {
    "packed, 8 pairs": ("packed", 8),
    "packed, 16 pairs": ("packed", 16),
    "packed, 32 pairs": ("packed", 32),
    "padded": ("padded", 8),
    "bucketed": ("bucketed", 8),
}
PACKED = [name for name in CASES if name.startswith("packed")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each case in each round")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--label", default="pairs")
    options = parser.parse_args()
    peers = {name: Peer(WORKER, (way, options.precision, str(size))) for name, (way, size) in CASES.items()}
    with workers(peers) as running:
        steps, first = {}, {}
        for name, worker in running.items():
            first[name] = worker.run(steps=12)  # each width of padded batches comes once, at first
            steps[name] = max(1, round(options.seconds / (worker.run(steps=3)["seconds"] / 3)))
        turns: list[dict[str, float]] = []  # pairs per second
        for _ in range(options.rounds):
            turns.append({})
            for name, worker in running.items():
                turns[-1][name] = steps[name] * CASES[name][1] / worker.run(steps=steps[name])["seconds"]
        peaks = {name: worker.run(steps=1)["peak_bytes"] for name, worker in running.items()}
    cases: dict[str, Any] = {
        name: {
            "pairs_per_second": median_and_spread([turn[name] for turn in turns]),
            "padding": first[name]["padding"],
            "compilations": first[name]["compilations"],
            "peak_bytes": peaks[name],
        }
        for name in CASES
    }
    ratios = {
        f"{mine} / {other}": median_and_spread([turn[mine] / turn[other] for turn in turns])
        for mine in PACKED
        for other in ("padded", "bucketed")
    }
    for name, case in cases.items():
        speed = case["pairs_per_second"]
        print(
            f"{name:18s} {speed['median']:6.1f} pairs/s  ({speed['low']:.1f} to {speed['high']:.1f})  "
            f"padding {case['padding']:.1%}, peak {case['peak_bytes'] / 1e9:.2f} GB"
        )
    for name, ratio in ratios.items():
        print(f"{name:28s} {ratio['median']:.2f}  ({ratio['low']:.2f} to {ratio['high']:.2f})")
    facts = {
        "weights": "random",
        "precision": first["padded"]["precision"],
        "rounds": options.rounds,
        "seconds_per_job": options.seconds,
    }
    finish(options.label, environment("tensorflow", "tf-keras", "numpy"), {**facts, "cases": cases, "ratios": ratios})


if __name__ == "__main__":
    main()
