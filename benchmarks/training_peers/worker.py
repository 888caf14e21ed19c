"""The part that all workers share: one JSON job per line on stdin, one JSON answer per line on stdout.

A worker stays alive with model and optimizer, so that the benchmark can take turns between tools. It runs in the
tool's own environment and may import nothing but the standard library, numpy and that tool.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

# GPT-2 by size: layers, width, heads
SIZES = {"tiny": (5, 192, 6), "124M": (12, 768, 12), "355M": (24, 1024, 16), "774M": (36, 1280, 20)}
SIZE = os.environ.get("GPT2SIMPLE_BENCH_SIZE", "124M")  # of the workers that are not given one
ROWS = int(os.environ.get("GPT2SIMPLE_BENCH_ROWS", "1"))  # windows a step
N_VOCAB, N_CTX = (7168, 512) if SIZE == "tiny" else (50257, 1024)
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-4, 0.01, 1.0
LORA_RANK, LORA_ALPHA = 16, 32.0
TEXTS, BATCH_SIZE = 8_530, 16  # of a classifier

Job = Callable[..., dict[str, Any] | None]


def serve(load: Callable[[], Job]) -> None:
    """Answer jobs until stdin ends.

    Args:
        load: makes model and optimizer; gives a function of a job's keys -> what to answer beside its "seconds" and
            the process's "peak_bytes" so far. {"steps": n} is to train n steps; some workers know further jobs.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    started = time.perf_counter()
    work = load()
    _answer(answers, {"load_seconds": time.perf_counter() - started})
    for line in sys.stdin:
        job = json.loads(line)
        started = time.perf_counter()
        outcome = work(**job) or {}
        seconds = time.perf_counter() - started
        _answer(answers, {"seconds": seconds, **outcome, "peak_bytes": peak_bytes()})


def peak_bytes() -> int:
    """Highest resident memory of this process so far."""
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def windows(length: int = N_CTX + 1) -> np.ndarray:
    """Token ids int32 [ROWS, length], drawn uniformly."""
    return np.random.default_rng(0).integers(N_VOCAB, size=(ROWS, length), dtype=np.int32)


def window(length: int = N_CTX + 1) -> np.ndarray:
    """Token ids int32 [length], drawn uniformly: the first of ``windows``."""
    return windows(length)[0]


def _answer(stream: TextIO, values: dict[str, Any]) -> None:
    print(json.dumps(values), file=stream, flush=True)
