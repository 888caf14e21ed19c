"""How fast text is generated, beside other tools on the same machine in the same minutes.

    python benchmarks/generation.py [--peers NAME ...] [--cases NAME ...] [--precisions NAME ...]
                                    [--rounds 5] [--label WORDS]

GPT-2 124M with random weights, prompt of 8 tokens, top_k 40, temperature 0.7. Every tool runs in a process of its own
that keeps its model loaded. This package (float32, bfloat16, int8) and the peers of one environment take turns, so that
the machine's moods meet all alike; a figure is the median of the rounds, a ratio the median of the rounds' ratios.
Compilation is apart: the first job of each kind is not counted but reported.

A peer's Python is named by an environment variable: GPT2SIMPLE_BENCH_CT2_PYTHON, _TORCH_PYTHON, _KERAS_HUB_PYTHON and
_ORIGINAL_PYTHON (gpt-2-simple). Peers without one are left out, and the output says so. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread

WORKERS = Path(__file__).parent / "generation_peers"
OURS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Peer:
    script: str
    argument: str
    python: str | None  # environment variable that names its interpreter; None: this one


PEERS = {
    "ctranslate2 float32": Peer("ctranslate2_worker.py", "float32", "GPT2SIMPLE_BENCH_CT2_PYTHON"),
    "ctranslate2 int8": Peer("ctranslate2_worker.py", "int8", "GPT2SIMPLE_BENCH_CT2_PYTHON"),
    "pytorch float32": Peer("pytorch_worker.py", "float32", "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
    "pytorch bfloat16": Peer("pytorch_worker.py", "bfloat16", "GPT2SIMPLE_BENCH_TORCH_PYTHON"),
    "keras-hub jax": Peer("keras_hub_worker.py", "jax", "GPT2SIMPLE_BENCH_KERAS_HUB_PYTHON"),
    "keras-hub tensorflow": Peer("keras_hub_worker.py", "tensorflow", "GPT2SIMPLE_BENCH_KERAS_HUB_PYTHON"),
    "gpt-2-simple": Peer("gpt2_simple_worker.py", "", "GPT2SIMPLE_BENCH_ORIGINAL_PYTHON"),
    "transformers tf xla": Peer("tf_generate_worker.py", "", None),
}
SPEED = {"batch 1": (1, 200), "batch 8": (8, 200), "1000 tokens": (1, 1000)}
CASES = (*SPEED, "first token", "hundred calls", "cold")


class Worker:
    """A process that answers jobs."""

    def __init__(self, python: str, script: str, argument: str) -> None:
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [python, str(WORKERS / script), *([argument] if argument else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(WORKERS.parent.parent)},
        )
        self.load_seconds = self._answer()["load_seconds"]

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started

    def run(self, prompts: list[list[int]], new_tokens: int) -> dict[str, float]:
        """One job's answer."""
        assert self._process.stdin is not None
        print(json.dumps({"prompts": prompts, "new_tokens": new_tokens}), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def prompts(rows: int, length: int = 8, first: int = 100) -> list[list[int]]:
    return [[first + row * length + i for i in range(length)] for row in range(rows)]


@contextlib.contextmanager
def workers(named: dict[str, Peer]) -> Iterator[dict[str, Worker]]:
    running: dict[str, Worker] = {}
    try:
        for name, peer in named.items():
            running[name] = Worker(
                os.environ[peer.python] if peer.python else sys.executable, peer.script, peer.argument
            )
        yield running
    finally:
        for worker in running.values():
            worker.close()


def ours(*precisions: str) -> dict[str, Peer]:
    return {f"gpt2simple {name}": Peer("ours_worker.py", name, None) for name in precisions}


def compare(precisions: list[str], peers: list[str], cases: list[str], rounds: int) -> dict[str, Any]:
    """Tokens per second of this package and some peers, taking turns, by case and tool; ratios to each peer."""
    measured: dict[str, Any] = {}
    with workers(ours(*precisions) | {peer: PEERS[peer] for peer in peers}) as running:
        for case in cases:
            rows, new_tokens = SPEED[case]
            first = {name: worker.run(prompts(rows), new_tokens)["seconds"] for name, worker in running.items()}
            speeds: dict[str, list[float]] = {name: [] for name in running}
            for _ in range(rounds):
                for name, worker in running.items():
                    answer = worker.run(prompts(rows), new_tokens)
                    speeds[name].append(answer["tokens"] / answer["seconds"])
            measured[case] = {
                name: median_and_spread(values)
                | {"first_job_seconds": first[name], "times": {peer: ratio(values, speeds[peer]) for peer in peers}}
                for name, values in speeds.items()
            }
            show(case, measured[case])
    return measured


def ratio(values: list[float], others: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


def show(case: str, rows: dict[str, dict[str, Any]]) -> None:
    print(f"{case}: tokens/s")
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
            worker.run(prompts(1, length), 1)
            seconds = [worker.run(prompts(1, length, 200 + n), 1)["seconds"] for n in range(rounds)]
            measured[str(length)] = median_and_spread(seconds)
            print(f"first token after {length:4d} tokens: {measured[str(length)]['median']:.3f} s", flush=True)
    return measured


def hundred_calls() -> dict[str, Any]:
    """Time, memory and traces over 100 calls with prompts of 1 to 64 tokens and 8 to 32 new ones."""
    with workers(ours("float32")) as running:
        (worker,) = running.values()
        for length in (1, 16, 17, 64):
            worker.run(prompts(1, length), 32)
        answers = [worker.run(prompts(1, 1 + (7 * n) % 64, 100 + n), 8 + n % 25) for n in range(100)]
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
            worker.run(prompts(1), 1)
            seconds.append(worker.age)
    measured = median_and_spread(seconds)
    print(f"cold first token: {measured['median']:.1f} s", flush=True)
    return measured


def available(wanted: list[str]) -> tuple[list[str], list[str]]:
    """The peers that can run here, and those that cannot."""
    can = [name for name in wanted if PEERS[name].python is None or os.environ.get(PEERS[name].python or "")]
    return can, [name for name in wanted if name not in can]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="*", default=list(OURS), choices=OURS, metavar="NAME")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--label", default="generation")
    options = parser.parse_args()
    can, cannot = available(options.peers)
    for name in cannot:
        print(f"left out: {name} (set {PEERS[name].python} to its Python)")
    speed = [case for case in options.cases if case in SPEED]
    result: dict[str, Any] = {"left_out": cannot, "rounds": options.rounds, "tokens_per_second": {}}
    groups = [[name for name in can if PEERS[name].python == python] for python in {PEERS[n].python: 0 for n in can}]
    for group in groups if speed else []:
        result["tokens_per_second"][" + ".join(group)] = compare(options.precisions, group, speed, options.rounds)
    if "first token" in options.cases:
        result["first_token_seconds"] = first_token(options.rounds)
    if "hundred calls" in options.cases:
        result["hundred_calls"] = hundred_calls()
    if "cold" in options.cases:
        result["cold_first_token_seconds"] = cold(min(3, options.rounds))
    finish(options.label, environment("tensorflow", "tf-keras", "transformers", "numpy"), result)


if __name__ == "__main__":
    main()
