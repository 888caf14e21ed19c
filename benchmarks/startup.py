"""How soon `gpt2simple generate` shows its first token and ends, in a process of its own, and in how much memory.

    python benchmarks/startup.py --vocabulary FOLDER [--before CHECKOUT] [--precisions NAME ...] [--rounds 3]

GPT-2 124M with random weights and GPT-2's vocabulary (encoder.json, vocab.bpe), 200 tokens after a prompt of 8. In
turns: `import tensorflow` alone; the command with an empty cache of compiled steps; the same with the cache that it
left; and the command of another checkout, where one is named. A figure is the median of the rounds, with the lowest and
the highest. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import environment, finish, median_and_spread

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
PROMPT = "The old man went down to the sea"
CONFIG = ModelConfig(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12)
PRECISIONS = ("float32", "bfloat16", "int8")


def write_model(folder: Path, vocabulary: Path) -> None:
    shapes, draw = canonical_shapes(CONFIG), np.random.default_rng(0)

    def value(name: str) -> np.ndarray:
        if len(shapes[name]) == 1:
            return np.full(shapes[name], float(".ln_" in f".{name}" and name.endswith("weight")), np.float32)
        return draw.standard_normal(shapes[name], np.float32) * np.float32(0.02)

    write_model_folder(folder, CONFIG, value, Tokenizer.load(vocabulary))


def import_tensorflow() -> float:
    """Seconds that a process takes that does nothing else."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def generate(checkout: Path, model: Path, precision: str, cache: Path) -> dict[str, float]:
    """Seconds to the first token and to the end of the process, and its highest resident memory in bytes."""
    words = ["generate", "--model-name", str(model), "--precision", precision, "--prefix", PROMPT, "--length", "200"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt2simple", *words, "--temperature", "0.7", "--seed", "3"],
        cwd=model.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(checkout), "GPT2SIMPLE_CACHE": str(cache)},
    )  # fmt: skip
    assert process.stdout is not None
    shown, first = 0, 0.0
    while data := os.read(process.stdout.fileno(), 1 << 16):
        shown += len(data)
        if not first and shown > len(PROMPT) + 1:
            first = time.perf_counter() - started
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    scale = 1 if sys.platform == "darwin" else 1024
    return {"first": first, "whole": time.perf_counter() - started, "peak_bytes": usage.ru_maxrss * scale}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="another checkout of this package")
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS), choices=PRECISIONS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    imports: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "model", options.vocabulary)
        import_tensorflow()  # into the page cache
        for _ in range(options.rounds):
            for precision in options.precisions:
                shutil.rmtree(folder / "cache", ignore_errors=True)
                imports.append(import_tensorflow())
                kinds = {"empty cache": ROOT, "cache": ROOT} | ({"before": options.before} if options.before else {})
                for kind, checkout in kinds.items():
                    cache = folder / ("other" if kind == "before" else "cache")
                    for name, number in generate(checkout, folder / "model", precision, cache).items():
                        found.setdefault(f"{precision}, {kind}", {}).setdefault(name, []).append(number)
    importing = median_and_spread(imports)
    rows = {name: {key: median_and_spread(numbers) for key, numbers in row.items()} for name, row in found.items()}
    print(f"import tensorflow: {importing['median']:.2f} s")
    for name, row in rows.items():
        after = row["first"]["median"] - importing["median"]
        print(
            f"{name}: first token {after:.2f} s after that, whole {row['whole']['median']:.2f} s "
            f"({row['whole']['low']:.2f} to {row['whole']['high']:.2f}), {row['peak_bytes']['high'] / 1e9:.2f} GB"
        )
    result: dict[str, Any] = {
        "weights": "random", "before": str(options.before and options.before.name), "rounds": options.rounds,
        "import_tensorflow": importing, "generate": rows,
    }  # fmt: skip
    finish("startup", environment("tensorflow", "tf-keras", "transformers", "numpy"), result)


if __name__ == "__main__":
    main()
