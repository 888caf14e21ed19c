"""The part that all workers share: one JSON job per line on stdin, one JSON answer per line on stdout.

A worker stays alive with its model loaded, so that the benchmark can alternate between peers without reloading. It
runs in the peer's own environment and may import nothing but the standard library and that peer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

SIZES = {"124M": (50257, 1024, 768, 12, 12), "tiny": (7168, 512, 192, 6, 5)}
N_VOCAB, N_CTX, N_EMBD, N_HEAD, N_LAYER = SIZES[os.environ.get("GPT2SIMPLE_BENCH_SIZE", "124M")]
TOP_K, TEMPERATURE = 40, 0.7

Generate = Callable[[Sequence[Sequence[int]], int], dict[str, float]]


def serve(load: Callable[[], Generate]) -> None:
    """Answer jobs until stdin ends.

    Args:
        load: makes the model; gives a function (prompts, new tokens per prompt) -> {"tokens": tokens written, ...}.

    A job is {"prompts": [[ids]], "new_tokens": n}; its answer has what the function gave, the job's "seconds" and the
    process's resident "memory_mb". The first line says how many "load_seconds" imports and model took, and is
    followed by the answers in the order of the jobs.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    started = time.perf_counter()
    generate = load()
    _answer(answers, {"load_seconds": time.perf_counter() - started})
    for line in sys.stdin:
        job = json.loads(line)
        started = time.perf_counter()
        outcome = generate(job["prompts"], job["new_tokens"])
        seconds = time.perf_counter() - started
        _answer(answers, {**outcome, "seconds": seconds, "memory_mb": _resident_mb()})


def _answer(stream: TextIO, values: dict[str, float]) -> None:
    print(json.dumps(values), file=stream, flush=True)


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
