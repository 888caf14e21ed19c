"""How fast a text is scored, as `evaluate` does it, beside PyTorch.

    python benchmarks/evaluating.py [--rounds 5] [--windows 8] [--size tiny] [--label WORDS]

GPT-2 124M with random weights (--size tiny: the built-in model's shape), windows of 1,024 (512) uniformly drawn tokens,
four at a time; the loss of each token. PyTorch: `inference_mode`, bfloat16 by autocast, with and without torch.compile.
Its logits are rounded to bfloat16 there; ours are computed in float32 in both precisions, and give ranks as well.

Each case runs in a process of its own. They take turns, all windows each. Figures are medians of the rounds, ratios
medians of the rounds' ratios, with lowest and highest. First jobs, which compile, are not counted. PyTorch's Python is
named by GPT2SIMPLE_BENCH_TORCH_PYTHON. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from peers import Peer, workers

SCRIPTS = Path(__file__).parent / "training_peers"
CONTEXT = {"124M": 1024, "tiny": 512}
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=8, help="of each job")
    parser.add_argument("--size", default="124M", choices=CONTEXT)
    parser.add_argument("--label", default="evaluating")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "weights": "random", "size": options.size, "windows_per_job": options.windows, "rounds": options.rounds,
        "beside": {precision: compare(precision, options) for precision in PRECISIONS},
    }  # fmt: skip
    finish(options.label, environment("tensorflow", "tf-keras", "numpy"), result)


def compare(precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens per second and peak memory of each case, in one precision."""
    theirs = SCRIPTS / "evaluating_pytorch_worker.py"
    cases = {
        "gpt2simple": Peer(SCRIPTS / "evaluating_ours_worker.py", (precision,)),
        "pytorch": Peer(theirs, (precision,), "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
        "pytorch compiled": Peer(theirs, (precision, "compiled"), "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
    }
    shape = {"GPT2SIMPLE_BENCH_SIZE": options.size}
    tokens = options.windows * CONTEXT[options.size]
    with workers({name: replace(peer, environ=shape) for name, peer in cases.items()}) as running:
        for worker in running.values():
            worker.run(windows=options.windows)
        turns = [
            {name: worker.run(windows=options.windows)["seconds"] for name, worker in running.items()}
            for _ in range(options.rounds)
        ]
        peaks = {name: worker.run(windows=options.windows)["peak_bytes"] for name, worker in running.items()}
    measured: dict[str, Any] = {
        name: {
            "tokens_per_second": median_and_spread([tokens / turn[name] for turn in turns]),
            "ratio": median_and_spread([turn[name] / turn["gpt2simple"] for turn in turns]),
            "peak_bytes": peaks[name],
        }
        for name in cases
    }
    for name, row in measured.items():
        speed, ratio = row["tokens_per_second"]["median"], row["ratio"]["median"]
        print(f"{precision}, {name}: {speed:,.0f} tokens/s, we {ratio:.2f} x, {row['peak_bytes'] / 1e9:.2f} GB")
    return measured


if __name__ == "__main__":
    main()
