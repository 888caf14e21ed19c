"""How long exporting a model as a GGUF file takes, and how much memory.

    python benchmarks/exporting.py [--size 124M] [--kind f32 f16 q8_0] [--rounds 3]

Writes a model of random weights, with a vocabulary of as many tokens as it has rows, to a temporary folder; for each
kind a fresh process opens it as a session does and exports it. Tells the seconds of that, opening included and imports
not, and how much its highest resident memory (VmHWM) is above what it held after the imports, in multiples of the
float32 weights. Ends with one JSON line. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import environment, finish, median_and_spread, process_memory

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.hub.registry import resolve
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

SIZES = ("124M", "355M", "774M", "1558M")
KINDS = ("f32", "f16", "q8_0")


def vocabulary_of(size: int) -> Tokenizer:
    """A tokenizer of so many tokens: the bytes, pairs of them, the end of text."""
    tokens = [bytes([byte]) for byte in range(256)]
    ids, merges = {token: index for index, token in enumerate(tokens)}, []
    for left, right in itertools.product(tokens, tokens):
        if len(ids) == size - 1:
            break
        ids[left + right] = len(ids)
        merges.append((left, right))
    return Tokenizer(Vocabulary(ids=ids, merges=tuple(merges), added={END_OF_TEXT: AddedToken(id=len(ids))}))


def write_model(folder: Path, config: ModelConfig) -> None:
    """Random weights, one tensor in memory at a time."""
    shapes, draw = canonical_shapes(config), np.random.default_rng(0)

    def value(name: str) -> np.ndarray:
        return draw.standard_normal(shapes[name], np.float32) * np.float32(0.02)

    write_model_folder(folder, config, value, vocabulary_of(config.n_vocab))


def export_and_report(folder: Path, kind: str) -> None:
    """In a process of its own: export, and print a line of JSON."""
    import gguf  # noqa: F401  # its memory is that of importing

    from gpt2simple.gpt2.formats.gguf import write_gguf
    from gpt2simple.gpt2.model import LoadedModel

    before, start = process_memory("VmRSS"), time.perf_counter()
    loaded = LoadedModel.load(folder)
    path = folder.with_name(f"{kind}.gguf")
    write_gguf(path, loaded.config, loaded.read, loaded.tokenizer, kind=kind, name="random")
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_bytes": process_memory("VmHWM") - before,
                "imports_bytes": before,
                "file_bytes": path.stat().st_size,
            }
        )
    )


def measure(folder: Path, kind: str) -> dict[str, float]:
    """What a fresh process reports."""
    command = [sys.executable, __file__, "--worker", str(folder), "--kind", kind]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {found.returncode}:\n{found.stderr[-3000:]}")
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="124M")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        export_and_report(options.worker, options.kind[0])
        return
    config = resolve(options.size).config
    assert config is not None
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        write_model(folder, config)
        for kind in options.kind:
            found = [measure(folder, kind) for _ in range(options.rounds)]
            results[kind] = row = {
                "seconds": median_and_spread([one["seconds"] for one in found]),
                "memory": median_and_spread([one["peak_bytes"] / (4 * config.parameters) for one in found]),
                "imports_bytes": found[-1]["imports_bytes"],
                "file_bytes": found[-1]["file_bytes"],
            }
            print(
                f"{options.size} {kind}: {row['seconds']['median']:.1f} s ({row['seconds']['low']:.1f} to "
                f"{row['seconds']['high']:.1f}), {row['memory']['high']:.2f} x the weights, {row['file_bytes']:,} bytes"
            )
    finish(f"exporting-{options.size}", environment("gguf", "numpy"), {"rounds": options.rounds, "results": results})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
