"""How fast text is generated, beside other tools on the same machine in the same minutes.

    python benchmarks/generation.py [--peers NAME ...] [--cases NAME ...] [--precisions NAME ...]
                                    [--rounds 5] [--size tiny] [--label WORDS]

GPT-2 124M, or a model of the built-in one's shape, with random weights, prompt of 8 tokens, top_k 40, temperature
0.7. Every tool runs in a process of its own that keeps its model loaded. This package (float32, bfloat16, int8) and
the peers of one environment take turns, so that the machine's moods meet all alike; a figure is the median of the
rounds, a ratio the median of the rounds' ratios. Compilation is apart: the first job of each kind is not counted but
reported.

A peer's Python is named by an environment variable: GPT2SIMPLE_BENCH_CT2_PYTHON, _LLAMA_PYTHON, _TORCH_PYTHON,
_KERAS_HUB_PYTHON and _ORIGINAL_PYTHON (gpt-2-simple). Peers without one are left out, and the output says so. Ends
with one JSON line.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from peers import Peer, available, workers

WORKERS = Path(__file__).parent / "generation_peers"
OURS = ("float32", "bfloat16", "int8")


def peer(script: str, arguments: str = "", python: str | None = None) -> Peer:
    """A worker of generation_peers; python: the environment variable that names its interpreter, None: this one."""
    return Peer(WORKERS / script, tuple(arguments.split()), python)


PEERS = {
    "ctranslate2 float32": peer("ctranslate2_worker.py", "float32", "GPT2SIMPLE_BENCH_CT2_PYTHON"),
    "ctranslate2 int8": peer("ctranslate2_worker.py", "int8", "GPT2SIMPLE_BENCH_CT2_PYTHON"),
    "llama.cpp float32": peer("llama_cpp_worker.py", "f32", "GPT2SIMPLE_BENCH_LLAMA_PYTHON"),
    "llama.cpp int8": peer("llama_cpp_worker.py", "q8_0", "GPT2SIMPLE_BENCH_LLAMA_PYTHON"),
    "pytorch float32": peer("pytorch_worker.py", "float32", "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
    "pytorch bfloat16": peer("pytorch_worker.py", "bfloat16", "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
    **{
        f"keras-hub {backend} {precision}": peer(
            "keras_hub_worker.py", f"{backend} {policy}", "GPT2SIMPLE_BENCH_KERAS_HUB_PYTHON"
        )
        for backend in ("jax", "tensorflow")
        for precision, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16"))
    },
    "gpt-2-simple float32": peer("gpt2_simple_worker.py", "", "GPT2SIMPLE_BENCH_ORIGINAL_PYTHON"),
    "transformers tf xla float32": peer("tf_generate_worker.py"),
}
SPEED = {"batch 1": (1, 200), "batch 8": (8, 200), "batch 32": (32, 200), "1000 tokens": (1, 1000)}
CONTEXT = {"124M": 1024, "tiny": 512}  # tokens
ONE_TEXT = ("llama.cpp float32", "llama.cpp int8")  # peers that write no more at a time
CASES = (*SPEED, "first token", "hundred calls", "cold")


def prompts(rows: int, length: int = 8, seed: int = 100) -> list[list[int]]:
    """Ids drawn uniformly from those that every model here has."""
    draw = random.Random(seed)
    return [[draw.randrange(7000) for _ in range(length)] for _ in range(rows)]


def ours(*precisions: str) -> dict[str, Peer]:
    return {f"gpt2simple {name}": peer("ours_worker.py", name) for name in precisions}


def compare(precisions: list[str], peers: list[str], cases: list[str], rounds: int, size: str) -> dict[str, Any]:
    """Tokens per second of this package and some peers, taking turns, by case and tool; ratios to each peer."""
    measured: dict[str, Any] = {}
    tools = ours(*precisions) | {name: PEERS[name] for name in peers}
    of_size = {"GPT2SIMPLE_BENCH_SIZE": size}
    with workers({name: replace(tool, environ={**tool.environ, **of_size}) for name, tool in tools.items()}) as every:
        for case in cases:
            rows, new_tokens = SPEED[case]
            if new_tokens >= CONTEXT[size]:
                continue
            running = {name: worker for name, worker in every.items() if rows == 1 or name not in ONE_TEXT}
            beside = [name for name in peers if name in running]
            if not beside:
                continue
            first = {
                name: worker.run(prompts=prompts(rows), new_tokens=new_tokens)["seconds"]
                for name, worker in running.items()
            }
            speeds: dict[str, list[float]] = {name: [] for name in running}
            for _ in range(rounds):
                for name, worker in running.items():
                    answer = worker.run(prompts=prompts(rows), new_tokens=new_tokens)
                    speeds[name].append(answer["tokens"] / answer["seconds"])
            measured[case] = {
                name: median_and_spread(values)
                | {"first_job_seconds": first[name], "times": {peer: ratio(values, speeds[peer]) for peer in beside}}
                for name, values in speeds.items()
            }
            show(case, measured[case])
    return measured


def ratio(values: list[float], others: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


def show(case: str, rows: dict[str, dict[str, Any]]) -> None:
    print(f"{case}, random weights: tokens/s")
    for name, row in rows.items():
        times = ", ".join(f"{value:.2f} x {peer}" for peer, value in row["times"].items() if peer != name)
        print(f"  {name:24s} {row['median']:8.1f}  ({row['low']:.1f} to {row['high']:.1f})  {times}")
    sys.stdout.flush()


def first_token(rounds: int) -> dict[str, Any]:
    """Seconds to the first token of a warm session by prompt length."""
    measured = {}
    with workers(ours("float32")) as running:
        (worker,) = running.values()
        for length in (1, 8, 16, 17, 64, 65, 128, 256, 512):
            worker.run(prompts=prompts(1, length), new_tokens=1)
            seconds = [worker.run(prompts=prompts(1, length, 200 + n), new_tokens=1)["seconds"] for n in range(rounds)]
            measured[str(length)] = median_and_spread(seconds)
            print(f"first token after {length:4d} tokens: {measured[str(length)]['median']:.3f} s", flush=True)
    return measured


def hundred_calls() -> dict[str, Any]:
    """Time, memory and traces over 100 calls with prompts of 1 to 64 tokens and 8 to 32 new ones."""
    with workers(ours("float32")) as running:
        (worker,) = running.values()
        for length in (1, 16, 17, 64):
            worker.run(prompts=prompts(1, length), new_tokens=32)
        answers = [worker.run(prompts=prompts(1, 1 + (7 * n) % 64, 100 + n), new_tokens=8 + n % 25) for n in range(100)]
    per_token = [answer["seconds"] / answer["tokens"] for answer in answers]
    measured = {
        "seconds_per_token_first_20": statistics.median(per_token[:20]),
        "seconds_per_token_last_20": statistics.median(per_token[-20:]),
        "memory_mb_after_20": answers[19]["memory_mb"],
        "memory_mb_after_100": answers[-1]["memory_mb"],
        "new_traces": answers[-1]["traces"] - answers[0]["traces"],
    }
    print("hundred calls:", measured, flush=True)
    return measured


def cold(rounds: int) -> dict[str, Any]:
    """Seconds from the start of a process to its first token: imports, model, decode copy, compilation."""
    seconds = []
    for _ in range(rounds):
        with workers(ours("float32")) as running:
            (worker,) = running.values()
            worker.run(prompts=prompts(1), new_tokens=1)
            seconds.append(worker.age)
    measured = median_and_spread(seconds)
    print(f"cold first token: {measured['median']:.1f} s", flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="*", default=list(OURS), choices=OURS, metavar="NAME")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="124M", choices=CONTEXT, help="of the cases with peers")
    parser.add_argument("--label", default="generation")
    options = parser.parse_args()
    can, cannot = available(PEERS, options.peers)
    speed = [case for case in options.cases if case in SPEED]
    result: dict[str, Any] = {
        "weights": "random",
        "size": options.size,
        "left_out": cannot,
        "rounds": options.rounds,
        "tokens_per_second": {},
    }
    groups = [[name for name in can if PEERS[name].python == python] for python in {PEERS[n].python: 0 for n in can}]
    for group in groups if speed else []:
        result["tokens_per_second"][" + ".join(group)] = compare(
            options.precisions, group, speed, options.rounds, options.size
        )
    if "first token" in options.cases:
        result["first_token_seconds"] = first_token(options.rounds)
    if "hundred calls" in options.cases:
        result["hundred_calls"] = hundred_calls()
    if "cold" in options.cases:
        result["cold_first_token_seconds"] = cold(min(3, options.rounds))
    finish(options.label, environment("tensorflow", "tf-keras", "transformers", "numpy"), result)


if __name__ == "__main__":
    main()
