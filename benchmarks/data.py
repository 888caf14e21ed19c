"""How fast and in how much memory a text becomes training windows, beside other encoders on the same machine.

    python benchmarks/data.py [--text FILE ...] [--vocabulary FOLDER] [--megabytes 200] [--rounds 3] [--cases NAME ...]

The questions: MB/s from a plain file to the finished cache (reading, digest, encoding, writing; all cores); how that
compares with gpt-2-simple's encoder and with the tokenizers library's batches; how many tokens/s the windows deliver;
the peak memory of a process that encodes 1 GB, and how long the second start takes.

The text is made of FILE ... (default: the texts in GPT2SIMPLE_TEST_DATA, in many scripts), their paragraphs shuffled
anew each time round, up to the size asked for. The encoders take turns; a figure is the median of the rounds. The
slower ones get 8 MB (gpt-2-simple) or 20 MB (tokenizers). gpt-2-simple runs in the Python that
GPT2SIMPLE_ORIGINAL_PYTHON names, and is left out without it. Ends with one JSON line. Linux; without the case `memory`
macOS too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tokenizers
from harness import environment, finish, median_and_spread, process_memory

from gpt2simple.data.batches import TrainingWindows
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.split import split
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings

CASES = ("encoders", "windows", "memory")
MEGABYTE = 1_000_000

ORIGINAL = """
import importlib.util, json, runpy, sys, time
folder = importlib.util.find_spec("gpt_2_simple").submodule_search_locations[0]  # found, not imported: no TensorFlow
encoder = runpy.run_path(folder + "/src/encoder.py")["get_encoder"](sys.argv[1])
text = open(sys.argv[2], encoding="utf-8", errors="ignore").read()
start = time.perf_counter()
ids = encoder.encode(text)
print(json.dumps({"seconds": time.perf_counter() - start, "tokens": len(ids)}))
"""


def main() -> None:
    """Measure the cases asked for and write the result."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        result: dict[str, Any] = {"megabytes": arguments.megabytes}
        if arguments.role:
            return _child(arguments)
        if "encoders" in arguments.cases:
            result["encoders"] = _encoders(arguments, work)
        if "windows" in arguments.cases:
            result["windows"] = _windows(arguments, work)
        if "memory" in arguments.cases:
            result["memory"] = _memory(arguments, work)
        finish("data-" + "-".join(arguments.cases), environment("tiktoken", "tokenizers", "numpy"), result)


def _arguments() -> argparse.Namespace:
    data = os.environ.get("GPT2SIMPLE_TEST_DATA")
    parser = argparse.ArgumentParser(description="Measure encoding and windows.")
    parser.add_argument(
        "--text", nargs="+", type=Path, default=sorted(Path(data, "text").glob("*.txt")) if data else None
    )
    parser.add_argument("--vocabulary", type=Path, default=Path(data, "gpt2-vocabulary") if data else None)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.text or not arguments.vocabulary:
        parser.error("give --text and --vocabulary, or set GPT2SIMPLE_TEST_DATA")
    return arguments


def _make_text(sources: list[Path], megabytes: int, target: Path) -> Path:
    """A text of this size; no paragraph order is repeated."""
    paragraphs = [p for source in sources for p in source.read_text(encoding="utf-8").split("\n\n")]
    draw, size = random.Random(0), 0
    with target.open("wb") as file:
        while size < megabytes * MEGABYTE:
            draw.shuffle(paragraphs)
            data = ("\n\n".join(paragraphs) + "\n\n").encode()
            size += file.write(data[: megabytes * MEGABYTE - size + 4])
    _trim(target)
    return target


def _trim(path: Path) -> None:
    """Cut a file behind its last newline, so that it does not end within a character."""
    with path.open("r+b") as file:
        file.seek(-100_000, os.SEEK_END)
        tail = file.read()
        file.truncate(path.stat().st_size - len(tail) + tail.rindex(b"\n") + 1)


def _encoders(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    full = _make_text(arguments.text, arguments.megabytes, work / "full.txt")
    small = _make_text(arguments.text, 8, work / "small.txt")
    medium = _make_text(arguments.text, 20, work / "medium.txt")
    speeds: dict[str, list[float]] = {"gpt2simple": [], "tokenizers": [], "gpt-2-simple": []}
    for number in range(arguments.rounds):
        speeds["gpt2simple"].append(_ours(arguments, full, work / f"cache{number}"))
        speeds["tokenizers"].append(_library(arguments.vocabulary, medium))
        if python := os.environ.get("GPT2SIMPLE_ORIGINAL_PYTHON"):
            speeds["gpt-2-simple"].append(_original(python, arguments.vocabulary, small))
        print({name: [round(speed, 2) for speed in values] for name, values in speeds.items()}, file=sys.stderr)
    result: dict[str, Any] = {name: median_and_spread(values) for name, values in speeds.items() if values}
    if speeds["gpt-2-simple"]:
        result["times gpt-2-simple"] = result["gpt2simple"]["median"] / result["gpt-2-simple"]["median"]
    return {"unit": "MB/s", **result}


def _ours(arguments: argparse.Namespace, text: Path, cache: Path) -> float:
    tokenizer = Tokenizer.load(arguments.vocabulary)
    start = time.perf_counter()
    encode_corpus(text, tokenizer, TextSettings(cache_dir=str(cache)))
    return text.stat().st_size / MEGABYTE / (time.perf_counter() - start)


def _library(vocabulary: Path, text: Path) -> float:
    """The tokenizers library: batches on all cores, as `datasets.map` feeds it."""
    model = tokenizers.models.BPE.from_file(str(vocabulary / "encoder.json"), str(vocabulary / "vocab.bpe"))
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    paragraphs = text.read_text(encoding="utf-8").split("\n\n")
    start = time.perf_counter()
    for first in range(0, len(paragraphs), 1000):
        tokenizer.encode_batch(paragraphs[first : first + 1000])
    return text.stat().st_size / MEGABYTE / (time.perf_counter() - start)


def _original(python: str, vocabulary: Path, text: Path) -> float:
    command = [python, "-c", ORIGINAL, str(vocabulary), str(text)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return text.stat().st_size / MEGABYTE / float(json.loads(done.stdout)["seconds"])


def _windows(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    text = _make_text(arguments.text, 60, work / "windows.txt")
    settings = TextSettings(cache_dir=str(work / "windows-cache"))
    corpus = encode_corpus(text, Tokenizer.load(arguments.vocabulary), settings)
    result: dict[str, Any] = {"unit": "tokens/s", "tokens": corpus.tokens}
    for batch_size in (1, 8):
        windows = TrainingWindows(split(corpus, settings, 1024).train, 1024, batch_size, seed=0)
        speeds = []
        for turn in range(arguments.rounds):
            count = 4000 // batch_size
            start = time.perf_counter()
            for index in range(turn * count, (turn + 1) * count):
                windows.batch(index)
            speeds.append(count * batch_size * 1024 / (time.perf_counter() - start))
        result[f"batches of {batch_size} x 1024"] = median_and_spread(speeds)
    return result


def _memory(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """A fresh process encodes 1 GB; a second one finds it done."""
    text = _make_text(arguments.text, 1000, work / "large.txt")
    result = {}
    for turn in ("first", "second"):
        command = [sys.executable, __file__, "--role", "encode", "--text", str(text), "--cache", str(work / "cache")]
        command += ["--vocabulary", str(arguments.vocabulary)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result[turn] = json.loads(done.stdout.splitlines()[-1])
        print(turn, result[turn], file=sys.stderr)
    return result


def _child(arguments: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(arguments.vocabulary)
    start = time.perf_counter()
    corpus = encode_corpus(arguments.text[0], tokenizer, TextSettings(cache_dir=arguments.cache))
    seconds = time.perf_counter() - start
    peak = process_memory("VmHWM") / MEGABYTE
    print(json.dumps({"seconds": seconds, "peak_megabytes": peak, "tokens": corpus.tokens}))


if __name__ == "__main__":
    main()
