"""A worker that sums a number with the others, over and over: what training does, without training.

    python -m tests.helpers.worker_loop SUMS [ROLL_CALL_SECONDS] [JOIN_SECONDS]

Each line of standard output is a phase: imported, joining, joined, summing, stopped, done. An error is a line on
standard error. Between "joining" and "joined" TensorFlow waits for the others.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from typing import Any, NoReturn

import numpy as np

from gpt2simple.api.console import show_messages
from gpt2simple.backend import strategies
from gpt2simple.backend.cluster import read_cluster
from gpt2simple.backend.lost_peers import naming_lost_peers
from gpt2simple.backend.replicas import Replicas
from gpt2simple.backend.roll_call import call_roll
from gpt2simple.errors import Gpt2SimpleError
from gpt2simple.training.interrupt import StopRequest, stop_on_signals

PAUSE_SECONDS = 0.1


def main(sums: int, roll_call_seconds: float, join_seconds: int) -> None:
    show_messages()
    strategies._JOIN_SECONDS = join_seconds
    strategies.call_roll = functools.partial(call_roll, seconds=roll_call_seconds)
    join = strategies.join_workers
    strategies.join_workers = lambda *given: (print("joining", flush=True), join(*given))[1]
    print("imported", flush=True)
    try:
        _, joined = strategies.start("multiworker", 1)
        print("joined", flush=True)
        cluster = read_cluster(os.environ)
        assert cluster is not None
        with stop_on_signals() as stop, naming_lost_peers(cluster):
            add_up(joined, sums, stop)
            joined.barrier()
    except Gpt2SimpleError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    print("done", flush=True)


def add_up(replicas: Replicas, sums: int, stop: StopRequest) -> None:
    """Sum a number, and whether a worker is to stop, which stops all."""
    for number in range(sums):
        total = replicas.sum(np.array([1.0, float(bool(stop))], np.float32))
        if number == 0:
            print("summing", flush=True)
        if total[1]:
            print("stopped", flush=True)
            return
        time.sleep(PAUSE_SECONDS)


def run(*given: Any) -> NoReturn:
    """``main``, and end as the command line does: without taking TensorFlow apart, which takes a second."""
    code = 130
    with contextlib.suppress(KeyboardInterrupt):
        main(*given)
        code = 0
    os._exit(code)


if __name__ == "__main__":
    run(int(sys.argv[1]), float((sys.argv[2:] or ["60"])[0]), int((sys.argv[3:] or ["30"])[0]))
