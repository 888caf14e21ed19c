"""How fast an adapter (LoRA) is trained, beside full fine-tuning and beside peft on PyTorch.

    python benchmarks/lora.py [--sizes 124M 355M] [--rounds 5] [--steps 3] [--label WORDS]

GPT-2 with random weights, steps of 1 x 1,024 uniformly drawn tokens, bfloat16, no gradient checkpointing. An adapter of
rank 16 on all four projections of each layer, here and with peft ("eager", and "compiled": torch.compile; both with
fused AdamW, bfloat16 base). peft is measured at the first size alone. GPT2SIMPLE_BENCH_TORCH_PYTHON names a
Python that has it; without, it is left out.

Each case runs in a process of its own. They take turns, a few steps each, and before and after our adapter's turn a
process multiplies 4,096 x 4,096 matrices: the ceiling. Figures are medians of the rounds, ratios medians of the rounds'
ratios, with lowest and highest. The first steps, which compile, are not counted. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from peers import Peer, available, workers

SCRIPTS = Path(__file__).parent / "training_peers"
TORCH = "GPT2SIMPLE_BENCH_TORCH_PYTHON"
LORA, FULL = "gpt2simple, LoRA", "gpt2simple, full"
TOKENS, PRODUCTS, FIRST_STEPS = 1024, 6, 3
# Of a step: 4 a frozen parameter and token (forward, and the input's gradient), attention's and the adapter's.
OPERATIONS = {"124M": 583e9, "355M": 1_655e9}


def peft(size: str, how: str) -> Peer:
    return Peer(SCRIPTS / "peft_worker.py", (size, how), TORCH)


def measure(size: str, peers: dict[str, Peer], rounds: int, steps: int) -> dict[str, Any]:
    """Tokens per second of each case at one size, taking turns, and how many times each our adapter has."""
    cases = {
        LORA: Peer(SCRIPTS / "ours_worker.py", ("bfloat16", size, "lora")),
        FULL: Peer(SCRIPTS / "ours_worker.py", ("bfloat16", size)),
        **peers,
    }
    products = Peer(SCRIPTS / "products_worker.py", ("bfloat16",))
    with workers({**cases, "products": products}) as running:
        ceiling = running.pop("products")
        ceiling.run(products=1)
        for worker in running.values():
            worker.run(steps=FIRST_STEPS)
        turns: list[dict[str, float]] = []  # seconds
        shares = []
        for _ in range(rounds):
            before = ceiling.run(products=PRODUCTS)
            turn = {LORA: running[LORA].run(steps=steps)["seconds"]}
            after = ceiling.run(products=PRODUCTS)
            turn |= {name: running[name].run(steps=steps)["seconds"] for name in running if name != LORA}
            turns.append(turn)
            highest = 2.0 / sum(1.0 / half["operations_per_second"] for half in (before, after))
            shares.append(steps * OPERATIONS[size] / turn[LORA] / highest)
        peaks = {name: worker.run(steps=1)["peak_bytes"] for name, worker in running.items()}
    return {
        "tokens_per_second": {
            name: median_and_spread([steps * TOKENS / turn[name] for turn in turns]) for name in cases
        },
        "ratios": {
            f"{LORA} / {name}": median_and_spread([turn[name] / turn[LORA] for turn in turns])
            for name in cases
            if name != LORA
        },
        "share_of_ceiling": median_and_spread(shares),
        "peak_bytes": peaks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(OPERATIONS), default=list(OPERATIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each case in each round")
    parser.add_argument("--label", default="lora")
    options = parser.parse_args()
    results = {}
    for number, size in enumerate(options.sizes):
        peers = {} if number else {f"peft {how}": peft(size, how) for how in ("eager", "compiled")}
        can, _ = available(peers, peers)
        results[size] = measure(size, {name: peers[name] for name in can}, options.rounds, options.steps)
        print(f"{size}, bfloat16, random weights in all")
        for name, speed in results[size]["tokens_per_second"].items():
            peak = results[size]["peak_bytes"][name] / 1e9
            spread = f"({speed['low']:.0f} to {speed['high']:.0f})"
            print(f"  {name:20s} {speed['median']:7.0f} tokens/s  {spread}, peak {peak:.2f} GB")
        for name, ratio in results[size]["ratios"].items():
            print(f"  {name:36s} {ratio['median']:.2f}  ({ratio['low']:.2f} to {ratio['high']:.2f})")
        print(f"  share of the ceiling {results[size]['share_of_ceiling']['median']:.0%}", flush=True)
    finish(
        options.label,
        environment("tensorflow", "tf-keras", "numpy"),
        {
            "weights": "random",
            "precision": "bfloat16",
            "rounds": options.rounds,
            "steps": options.steps,
            "sizes": results,
        },
    )


if __name__ == "__main__":
    main()
