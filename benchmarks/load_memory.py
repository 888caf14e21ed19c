"""How much memory loading a model takes, against the memory of its weights.

    python benchmarks/load_memory.py [--size 355M] [--layout safetensors|safetensors-bf16|tf1] [--limit 1.7]

Writes a model of random weights to a temporary folder, then loads it in a fresh process, and a one-layer model of the
same width and vocabulary in another. The figure is the difference of the two processes' peak resident memory, divided
by the bytes of the large model's float32 weights. Ends with one JSON line; exits 1 if the figure is over the limit.
Linux and macOS: peak memory comes from getrusage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import config_files, weight_tensors
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, write_safetensors
from gpt2simple.gpt2.hub.registry import resolve

SIZES = ("124M", "355M", "774M")
LAYOUTS = ("safetensors", "safetensors-bf16", "tf1")


def write_model(folder: Path, config: ModelConfig, layout: str) -> None:
    """Random weights in a layout; one tensor at a time but for tf1, whose writer wants them all."""
    dims = canonical_shapes(config)
    draw = np.random.default_rng(0)

    def value(name: str) -> np.ndarray:
        return draw.standard_normal(dims[name], np.float32) * np.float32(0.02)

    folder.mkdir()
    if layout == "tf1":
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.helpers.weight_layouts import write_tf1

        write_tf1(folder, {name: value(name) for name in dims}, config)
        return
    dtype = "BF16" if layout == "safetensors-bf16" else "F32"
    with (folder / "model.safetensors").open("wb") as file:
        write_safetensors(file, weight_tensors(config, value, dtype=dtype), PYTORCH_METADATA)
    for name, data in config_files(config, config.n_vocab - 1, dtype=dtype).items():
        (folder / name).write_bytes(data)


def load_and_report(folder: Path) -> None:
    """In a process of its own: load, and print the peak."""
    from tests.helpers.models import load_model

    start = time.perf_counter()
    load_model(folder)
    seconds = time.perf_counter() - start
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, kilobytes on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"peak_bytes": peak, "seconds": seconds}))


def measure(folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--load", folder], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="355M")
    parser.add_argument("--layout", choices=LAYOUTS, default="safetensors")
    parser.add_argument("--limit", type=float, default=1.7, help="times the weights")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load_and_report(options.load)
        return 0
    shape = resolve(options.size).config
    assert shape is not None  # only the built-in model's is in a file of its own
    with tempfile.TemporaryDirectory() as root:
        peaks: dict[str, dict[str, float]] = {}
        for name, each in (("one layer", dataclasses.replace(shape, n_layer=1)), (options.size, shape)):
            folder = Path(root, name)
            write_model(folder, each, options.layout)
            peaks[name] = measure(folder)
            print(f"{name:>10}: peak {peaks[name]['peak_bytes'] / 2**20:8.0f} MiB, {peaks[name]['seconds']:.1f} s")
    weights = 4 * shape.parameters
    ratio = (peaks[options.size]["peak_bytes"] - peaks["one layer"]["peak_bytes"]) / weights
    print(f"{ratio:.2f} x the weights ({weights / 2**20:.0f} MiB) above a one-layer session; limit {options.limit}")
    print(
        json.dumps({"benchmark": "load_memory", "size": options.size, "layout": options.layout, "ratio": ratio} | peaks)
    )
    return int(ratio > options.limit)


if __name__ == "__main__":
    sys.exit(main())
