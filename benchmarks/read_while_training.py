"""Whether a run can be read at any moment while another process trains it and saves at every step.

    python benchmarks/read_while_training.py [--reads 10000]

Trains a small model with a checkpoint at each step, of which the best and the latest are kept, so that they are removed
all the time; and reads the run again and again in each way that the package reads one, with every file of the step that
was found. No reading may fail, go back to an earlier step, or report a damaged one. Ends with one JSON line; exits 1
where something was found. Linux and macOS.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kill_resume import Job, make_model
from killing import Copy, warm_up

from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.testing import sample_text


def read_all(folder: Path) -> int:
    """The step of a checkpoint, after all of its files were read and found whole."""
    found = StepCheckpoint(int(folder.name.split("-")[1].removesuffix(".new")), folder)
    damage = found.damage()
    if damage is not None:
        raise ValueError(f"{folder} is damaged: {damage}")
    return found.step


READERS: dict[str, Callable[[RunFolder], int | None]] = {
    "model of the best": lambda run: run.read_model("best", read_all),
    "model of the latest": lambda run: run.read_model("latest", read_all),
    "best": lambda run: (found := run.best(weights_only=True)) and found.step,
    "latest": lambda run: (found := run.latest()) and found.step,
    "info": lambda run: run.info.latest_step,
    "metrics": lambda run: read_metrics(run.path).steps[-1].step,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=10_000)
    options = parser.parse_args()
    warm_up()
    said: list[str] = []
    messages = logging.Handler(logging.WARNING)
    messages.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("gpt2simple").addHandler(messages)
    with tempfile.TemporaryDirectory() as name:
        folder, errors = Path(name), Path(name, "errors")
        (folder / "text.txt").write_text(sample_text(sentences=600), encoding="utf-8")
        Copy(functools.partial(make_model, folder / "model"), errors).wait()
        job = Job(str(folder / "model"), folder / "text.txt", 10**6, 1, 1, folder / "checkpoint")
        child, run_dir = job.start("run1", errors), folder / "checkpoint" / "run1"
        while child.poll() is None and RunFolder(run_dir).latest() is None:
            time.sleep(0.1)
        reads, problems, last = Counter[str](), Counter[str](), dict.fromkeys(READERS, 0)
        while sum(reads.values()) < options.reads and child.poll() is None:
            for reader, read in READERS.items():
                try:
                    step = read(RunFolder(run_dir)) or 0
                    if step < last[reader]:
                        problems[f"{reader}: step {step} after {last[reader]}"] += 1
                    last[reader] = max(step, last[reader])
                except Exception as error:
                    problems[f"{reader}: {type(error).__name__}: {error}"] += 1
                reads[reader] += 1
        problems.update(said)
        if child.poll() is not None:
            problems[f"training ended: {errors.read_text()[-2000:]}"] += 1
        child.send(signal.SIGKILL)
        child.wait()
    for problem, times in problems.items():
        print(f"  {times} times: {problem}")
    figures = {"benchmark": "read_while_training", "reads": dict(reads), "steps": max(last.values())}
    print(json.dumps({**figures, "problems": dict(problems)}))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
