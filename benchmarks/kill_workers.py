"""What happens to a run of two workers when one of them is killed: what the other says, when, and what the run is then.

    python benchmarks/kill_workers.py [--kills 20] [--steps 1500] [--lora-rank 0]

Trains once without interruption. Then trains the same again, and kills the chief or the other worker with SIGKILL at
random instants, a fifth of them from the start of the work on. The other must end by itself; then both are started
again, on the same ports, until the run is done. Weights, optimizer and progress of the last checkpoints, the run's
model, and the recorded losses of all steps and evaluations are compared. A small random model; dropout is 0.1. The
processes are copies of this one, which has imported TensorFlow. Prints a line for each kill and ends with one JSON
line; exits 1 where the runs differ, or where a worker did not end with a message and a code that is not 0. Linux and
macOS.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import runpy
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import environment, finish, median_and_spread
from kill_resume import (
    KILLS_UNTIL,
    SHARE_OF_KILLS_AT_ANY_INSTANT,
    last_checkpoint,
    latest_step,
    make_model,
    make_text,
    wait_for_steps,
)
from killing import Copy, warm_up

from gpt2simple.backend.cluster import Cluster, local_addresses
from gpt2simple.settings.tasks import LANGUAGE_MODELING

SECONDS = 90.0  # for the other worker to end


class Workers:
    """Two processes that train a run together.

    Args:
        folder: with the model and the text, and with the runs afterwards.
    """

    def __init__(self, folder: Path, steps: int, lora_rank: int) -> None:
        self._folder, self._steps, self._lora_rank = folder, steps, lora_rank
        self._addresses = local_addresses(2)

    def start(self, run_name: str) -> list[Copy]:
        """Begin or continue a run; the chief is the first."""
        return [Copy(functools.partial(self._run, run_name, index), self._said(index)) for index in range(2)]

    def run(self, run_name: str) -> Path:
        return self._folder / "checkpoint" / run_name

    def last_words(self, index: int) -> str:
        """The last line that a worker wrote."""
        lines = self._said(index).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def finish(self, run_name: str) -> None:
        """Run to the end."""
        if any([worker.wait() for worker in self.start(run_name)]):
            sys.exit(f"The run {run_name} failed: {self.last_words(0)} {self.last_words(1)}")

    def _said(self, index: int) -> Path:
        return self._folder / f"worker-{index}.log"

    def _run(self, run_name: str, index: int) -> None:
        os.environ["TF_CONFIG"] = Cluster(self._addresses, index).to_json()
        sys.argv = [
            "gpt2simple", "finetune", str(self._folder / "text.txt"), "--model-name", str(self._folder / "model"),
            "--checkpoint-dir", str(self._folder / "checkpoint"), "--run-name", run_name, "--steps", str(self._steps),
            "--save-every", "20", "--eval-every", "40", "--batch-size", "2", "--dropout", "0.1", "--sample-every", "0",
            "--seed", "1", "--threads", "1", "--lora-rank", str(self._lora_rank),
        ]  # fmt: skip
        runpy.run_module("gpt2simple", run_name="__main__")


def kill_once(workers: Workers, draw: random.Random, reached: int, most_steps: int, start_seconds: float) -> Any:
    """Start the workers, kill one of them, and wait for the other; None: the run was done first."""
    killed, running = draw.randrange(2), workers.start("killed")
    other = 1 - killed
    try:
        if draw.random() < SHARE_OF_KILLS_AT_ANY_INSTANT:
            wait_for_steps(running[0], workers.run("killed"), reached, 1, draw.uniform(0, start_seconds))
        else:  # counted in steps, so that a busy machine does not move all kills into the start
            wait_for_steps(running[0], workers.run("killed"), reached, draw.randint(1, most_steps))
            time.sleep(draw.uniform(0, 0.1))  # anywhere in a step, a look or a save
        if running[0].poll() == 0:
            running[1].wait()
            return None
        running[killed].send(signal.SIGKILL)
        began = time.monotonic()
        running[killed].wait()
        code = running[other].wait(SECONDS)
        return {
            "killed": killed, "seconds": time.monotonic() - began, "code": code, "said": workers.last_words(other),
            "step_before": reached, "step": latest_step(workers.run("killed")),
        }  # fmt: skip
    finally:
        for worker in running:
            worker.send(signal.SIGKILL)
            worker.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--lora-rank", type=int, default=0, help="of an adapter; 0: all weights are trained")
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), random.Random(options.seed)
        make_text(folder, LANGUAGE_MODELING)
        if Copy(functools.partial(make_model, folder / "model"), folder / "errors").wait():
            sys.exit(f"No model could be made:\n{(folder / 'errors').read_text()}")
        workers = Workers(folder, options.steps, options.lora_rank)
        began = time.monotonic()
        chief, other = workers.start("straight")
        wait_for_steps(chief, workers.run("straight"), 0, 1)
        start_seconds = time.monotonic() - began
        if chief.wait() or other.wait():
            sys.exit(f"The uninterrupted run failed: {workers.last_words(0)} {workers.last_words(1)}")
        print(f"uninterrupted: {time.monotonic() - began:.1f} s, of which {start_seconds:.1f} s to start", flush=True)
        most_steps, kills, reached = int(2 * KILLS_UNTIL * options.steps / options.kills), list[dict[str, Any]](), 0
        for number in range(1, options.kills + 1):
            if (kill := kill_once(workers, draw, reached, most_steps, start_seconds)) is None:
                print(f"kill {number}: the run was done")
                break
            reached = kill["step"]
            kills.append(kill)
            whom = "the chief" if kill["killed"] == 0 else "worker 1"
            print(
                f"kill {number:2d} of {whom}: the other ended after {kill['seconds']:.1f} s with code {kill['code']}, "
                f"latest step {reached}\n    {kill['said']}",
                flush=True,
            )
        workers.finish("killed")
        straight, after = (last_checkpoint(workers.run(run)) for run in ("straight", "killed"))
    differing = sorted(name for name in {*straight, *after} if straight.get(name) != after.get(name))
    lost = sum(kill["step"] < kill["step_before"] for kill in kills)
    silent = [kill for kill in kills if kill["code"] == 0 or not kill["said"].startswith("Error: ")]
    print(f"{len(straight)} values compared: {'all equal' if not differing else f'DIFFERENT {differing}'}")
    finish(
        "kill-workers",
        environment("tensorflow", "tf-keras", "numpy"),
        {
            "steps": options.steps, "lora_rank": options.lora_rank, "kills": kills, "compared": len(straight),
            "seconds": {
                whom: median_and_spread(found)
                for index, whom in enumerate(("the chief", "worker 1"))
                if (found := [kill["seconds"] for kill in kills if kill["killed"] == index])
            },
            "differing": differing, "lost": lost, "silent": len(silent),
        },
    )  # fmt: skip
    sys.exit(1 if differing or lost or silent else 0)


if __name__ == "__main__":
    main()
