"""Everything about this package that needs a GPU, in one command on a machine with one.

    python benchmarks/gpu_check.py [--sizes 124M 355M] [--rounds 5] [--steps 20]

Trains (steps of 1 x 1,024 tokens) and generates (200 tokens, 1 and 8 rows) with random weights of each size, speed and
device memory, alternating with PyTorch (for training also with torch.compile) where it can be imported, here or in the
Python that GPT2SIMPLE_BENCH_TORCH_PYTHON names. Then trains and writes the same on GPU and CPU in float32
(TensorFloat-32 off) and compares losses, logits and greedy token ids. The seconds and bytes that `finetune` tells
before the first step are compared with those of the steps. Prints one table and ends with one JSON line; exits 1 where
there is no GPU, GPU and CPU disagree, or what is told is wrong. Generation spells bytes, so no vocabulary is needed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import environment, finish, median_and_spread
from peers import Peer, Worker, workers

SCRIPTS = Path(__file__).parent / "training_peers"
TORCH_PYTHON = "GPT2SIMPLE_BENCH_TORCH_PYTHON"
TOKENS_PER_STEP, NEW_TOKENS = 1024, 200
ROWS = (1, 8)
# float32 sums in another order: measured between CPU kernels 1e-5 of the largest logit; a wrong mask or scale gives 1.
TOLERANCES = {"losses": 1e-3, "logits": 1e-3}
MOST_MEMORY_ERROR = 0.3  # of the peak that is expected; more, and gradient checkpointing is chosen wrongly


def torch_peers(size: str) -> dict[str, Peer]:
    """PyTorch's workers, none where there is no PyTorch."""
    python = TORCH_PYTHON if os.environ.get(TORCH_PYTHON) else None
    if python is None and importlib.util.find_spec("torch") is None:
        return {}
    script = SCRIPTS / "gpu_pytorch_worker.py"
    return {
        "pytorch": Peer(script, (size, "eager"), python),
        "pytorch compiled": Peer(script, (size, "compiled"), python),
    }


def measure(size: str, rounds: int, steps: int) -> dict[str, Any]:
    """Tokens per second of each job and the device's peak memory, by tool; the tools take turns."""
    tools = {"gpt2simple": Peer(SCRIPTS / "gpu_ours_worker.py", (size, "auto")), **torch_peers(size)}
    jobs = {"training": ({"steps": steps}, steps * TOKENS_PER_STEP)}
    for rows in ROWS:
        jobs[f"generating, {rows} rows"] = ({"tokens": NEW_TOKENS, "rows": rows}, NEW_TOKENS * rows)
    measured: dict[str, Any] = {}
    with workers(tools) as running:
        for name, (job, tokens) in jobs.items():
            measured[name] = _job(running, job, tokens, rounds)
            if name == "training":
                measured[name]["gpt2simple"]["told"] = running["gpt2simple"].run(told="all")
                if "pytorch compiled" in running:  # only its training is compiled
                    running.pop("pytorch compiled").close()
    return measured


def told_truly(training: dict[str, Any]) -> bool:
    """Whether a step took at least the time, and about the memory, that `finetune` tells; and free memory is known."""
    told = training["told"]
    seconds = TOKENS_PER_STEP / training["tokens_per_second"]["median"]
    error = abs(training["device_peak_bytes"] / told["expected_peak_bytes"] - 1.0)
    known = told["free_bytes"] is not None
    return known and told["least_seconds_per_step"] <= seconds and error <= MOST_MEMORY_ERROR


def _job(running: dict[str, Worker], job: dict[str, int], tokens: int, rounds: int) -> dict[str, Any]:
    first = {tool: worker.run(**job)["seconds"] for tool, worker in running.items()}
    speeds: dict[str, list[float]] = {tool: [] for tool in running}
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for tool, worker in running.items():
            answers[tool] = worker.run(**job)
            speeds[tool].append(tokens / answers[tool]["seconds"])
    found = {
        tool: {
            "tokens_per_second": median_and_spread(values),
            "first_job_seconds": first[tool],
            "device_peak_bytes": answers[tool]["device_peak_bytes"],
        }
        for tool, values in speeds.items()
    }
    ours = speeds.pop("gpt2simple")
    for tool, theirs in speeds.items():
        found[tool]["ratio"] = median_and_spread([our / their for our, their in zip(ours, theirs, strict=True)])
    return found


def parity() -> dict[str, float | bool]:
    """How far GPU and CPU are apart: relative to the largest value, and whether they write the same tokens."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for device, environ in (("gpu", {}), ("cpu", {"CUDA_VISIBLE_DEVICES": "-1"})):
            path = Path(folder, f"{device}.npz")
            peer = Peer(SCRIPTS / "gpu_ours_worker.py", ("124M", "float32"), environ=environ)
            with workers({device: peer}) as running:
                running[device].run(parity=str(path))
            with np.load(path) as arrays:
                found[device] = dict(arrays)
    return compare(found["gpu"], found["cpu"])


def compare(gpu: dict[str, np.ndarray], cpu: dict[str, np.ndarray]) -> dict[str, float | bool]:
    """Differences of losses and logits relative to the CPU's largest value, and whether greedy ids are equal."""
    differences = {name: float(np.abs(gpu[name] - cpu[name]).max() / np.abs(cpu[name]).max()) for name in TOLERANCES}
    return {**differences, "greedy": bool(np.array_equal(gpu["greedy"], cpu["greedy"]))}


def agrees(found: dict[str, float | bool]) -> bool:
    """Whether all differences are within what float32 explains."""
    return bool(found["greedy"]) and all(found[name] <= limit for name, limit in TOLERANCES.items())


def show(sizes: dict[str, Any], found: dict[str, float | bool]) -> None:
    """One table."""
    print(f"{'':46s}{'tokens/s':>10s}{'GB':>8s}{'we are x':>11s}")
    for size, jobs in sizes.items():
        for job, tools in jobs.items():
            for tool, row in tools.items():
                ratio = f"{row['ratio']['median']:.2f}" if "ratio" in row else ""
                speed, memory = row["tokens_per_second"]["median"], row["device_peak_bytes"] / 1e9
                print(f"{f'{size} {job}, {tool}':46s}{speed:10.0f}{memory:8.2f}{ratio:>11s}")
    for size, jobs in sizes.items():
        told = jobs["training"]["gpt2simple"]["told"]
        print(
            f"{size}, told before training: at least {told['least_seconds_per_step'] * 1000:.1f} ms a step "
            f"({told['products_per_second'] / 1e12:.0f} TFLOP/s), {told['expected_peak_bytes'] / 1e9:.2f} GB"
        )
    for name, value in found.items():
        print(f"{f'GPU against CPU: {name}':46s}{value if isinstance(value, bool) else format(value, '.1e'):>10}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["124M", "355M"], choices=["124M", "355M", "774M"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="steps per training job")
    options = parser.parse_args()
    from gpt2simple.backend import devices

    if not devices.has_gpu():
        print(
            "TensorFlow sees no GPU here, and this check is about nothing else. On a machine with an NVIDIA GPU: "
            "pip install '.[gpu]', then run it again.",
            file=sys.stderr,
        )
        print(json.dumps({"benchmark": "gpu-check", "gpu": None}))
        return 1
    sizes = {size: measure(size, options.rounds, options.steps) for size in options.sizes}
    found = parity()
    show(sizes, found)
    told = all(told_truly(jobs["training"]["gpt2simple"]) for jobs in sizes.values())
    result = {"gpu": devices.device_name(), "sizes": sizes, "parity": found, "agrees": agrees(found), "told": told}
    finish("gpu-check", environment("tensorflow", "tf-keras", "transformers", "numpy"), result)
    return 0 if agrees(found) and told else 1


if __name__ == "__main__":
    sys.exit(main())
