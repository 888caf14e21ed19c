"""The highest memory of fine-tuning large models, by an adapter on a frozen base or in full.

    python benchmarks/lora_memory.py [--size 355M] [--method bfloat16 int8] [--steps 20] [--keep FOLDER]

Writes a model of random weights and the real shape to a temporary folder, one tensor at a time. For each method a fresh
process trains it on windows of 1,024 tokens with gradient checkpointing, evaluates, writes samples and saves on the
way; a second one goes on with the run, generates, and saves the merged model as a folder. Tells the highest resident
memory of both processes (VmHWM) up to the merging, which the bars are for, and with it; seconds a step, and whether the
loss fell. "full" is full fine-tuning in float32. scikit-learn, an extra of which this needs nothing, is hidden: Keras
imports it where it is installed, and it takes 0.1 GB. Exits 1 if a bar was missed. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import environment, finish, process_memory

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.hub.registry import resolve
from gpt2simple.settings import FinetuneSettings
from gpt2simple.testing import byte_tokenizer, sample_text

BARS = {  # GB of the whole process, by size and base
    "355M": {"bfloat16": 2.4, "int8": 1.9},
    "774M": {"bfloat16": 3.6, "int8": 2.8, "full": 24.0},
    "1558M": {"bfloat16": 5.5, "int8": 4.0},
}
METHODS = ("bfloat16", "int8", "full")
_SENTENCES = 400  # 20 kB: so many windows of bytes
_NEW_TOKENS = 40


def write_random_model(folder: Path, config: ModelConfig, seed: int = 0) -> None:
    """A model folder of random weights in float32, with the byte tokenizer; no two tensors are in memory at once."""
    shapes = canonical_shapes(config)
    draw = np.random.default_rng(seed)

    def value(name: str) -> np.ndarray:
        if ".ln_" in f".{name}" and name.endswith("weight"):
            return np.ones(shapes[name], np.float32)
        if name.endswith("bias"):
            return np.zeros(shapes[name], np.float32)
        spread = 0.02 / (2 * config.n_layer) ** 0.5 if name.endswith("c_proj.weight") else 0.02
        return draw.standard_normal(shapes[name], np.float32) * np.float32(spread)

    write_model_folder(folder, config, value, byte_tokenizer())


def train_and_report(root: Path, method: str, steps: int, *, goes_on: bool) -> None:
    """In a process of its own: train, and print a line of JSON with peaks and losses."""
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # not to be imported
    import gpt2simple
    from gpt2simple.runs import metrics

    peaks: dict[str, int] = {}
    how: dict[str, Any] = {"precision": "float32"} if method == "full" else {}
    adapter: dict[str, Any] = {} if method == "full" else {"lora_rank": 16, "base_precision": method}
    text = root / "text.txt"
    text.write_text(sample_text(_SENTENCES), encoding="utf-8")
    session = gpt2simple.start_session(
        str(root / "model"), run_name=method, checkpoint_dir=root / "runs", seed=1, **how
    )  # fmt: skip
    settings = {} if goes_on else {
        "batch_size": 1, "gradient_checkpointing": True, "eval_every": steps // 2, "sample_every": steps // 2,
        "sample_length": _NEW_TOKENS, "save_every": steps // 2, **adapter,
    }  # fmt: skip
    session.finetune(text, steps=steps, **settings)
    peaks["trained"] = process_memory("VmHWM")
    if method != "full":
        session.generate("The", length=_NEW_TOKENS, seed=1)
        peaks["generated"] = process_memory("VmHWM")
        if goes_on:
            session.save(root / f"merged-{method}")
            peaks["merged"] = process_memory("VmHWM")
    recorded = metrics.read(session.run_dir)
    timed = [
        (after.seconds - before.seconds) for before, after in zip(recorded.steps, recorded.steps[1:], strict=False)
    ]
    print(json.dumps({
        "peak_bytes": peaks,
        "losses": [step.loss for step in recorded.steps],
        "held_out": [evaluation.figures.loss for evaluation in recorded.evaluations],
        "seconds_per_step": sorted(timed)[len(timed) // 2] if timed else None,
    }))  # fmt: skip


def measure(root: Path, method: str, steps: int, *, goes_on: bool) -> dict[str, Any]:
    """What a fresh process reports."""
    command = [sys.executable, __file__, "--worker", str(root), "--method", method, "--steps", str(steps)]
    command += ["--goes-on"] if goes_on else []
    # A cache of its own: the first process compiles all that a user's first run compiles.
    own = {**os.environ, "GPT2SIMPLE_CACHE": str(root / f"cache-{method}")}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {found.returncode}:\n{found.stderr[-3000:]}")
    return json.loads(found.stdout.splitlines()[-1])


def measure_method(root: Path, size: str, method: str, steps: int) -> dict[str, Any]:
    """Both processes of a method in a folder, which gets a model of random weights where it has none."""
    config = resolve(size).config
    assert config is not None
    if not (root / "model").exists():
        write_random_model(root / "model", config)
    found = {"first": measure(root, method, steps, goes_on=False)}
    if method != "full":
        found["second"] = measure(root, method, steps + 1, goes_on=True)
    peak = max(
        max(part["peak_bytes"][when] for when in part["peak_bytes"] if when != "merged") for part in found.values()
    )
    merged = found[max(found)]["peak_bytes"].get("merged")
    start, *_, end = found["first"]["held_out"]
    return {
        "peak_gb": peak / 1e9, "merged_gb": merged and merged / 1e9,
        "bar_gb": BARS[size].get(method), "estimate_gb": estimate(config, method) / 1e9,
        "loss_fell": end < start, "seconds_per_step": found["first"]["seconds_per_step"], **found,
    }  # fmt: skip


def estimate(config: ModelConfig, method: str) -> int:
    """What the package expects of a step, in bytes."""
    from gpt2simple.backend.precision import choose_precision
    from gpt2simple.training.memory import estimate_memory, with_adapter

    size = 4 if method == "full" or choose_precision("auto").training == "float32" else 2
    of_method = config if method == "full" else with_adapter(config, method)
    return estimate_memory(of_method, FinetuneSettings(), config.n_ctx, size, gradient_checkpointing=True).total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=BARS, default="355M")
    parser.add_argument("--method", choices=METHODS, nargs="+", default=["bfloat16", "int8"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="folder for model and runs, used again; default: a temporary one")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--goes-on", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        train_and_report(options.worker, options.method[0], options.steps, goes_on=options.goes_on)
        return 0
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for method in options.method:
            results[method] = found = measure_method(
                options.keep or Path(temporary), options.size, method, options.steps
            )
            print(
                f"{options.size} {method}: {found['peak_gb']:.2f} GB (bar {found['bar_gb']}, "
                f"estimate {found['estimate_gb']:.2f}), loss fell: {found['loss_fell']}, "
                f"{found['seconds_per_step']:.1f} s a step",
                flush=True,
            )
    name = f"lora-memory-{options.size}-{'-'.join(options.method)}"
    finish(name, environment("tensorflow", "tf-keras"), {"steps": options.steps, "results": results})
    return int(any(not r["loss_fell"] or (r["bar_gb"] or 1e9) < r["peak_gb"] for r in results.values()))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
