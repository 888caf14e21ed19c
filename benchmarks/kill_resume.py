"""Whether a fine-tuning run that is killed again and again equals one that was left alone, byte for byte.

    python benchmarks/kill_resume.py [--task TASK] [--kills 20] [--steps 2000] [--model-name tiny] [--text FILE]

Trains once without interruption. Then trains the same again in processes that are killed with SIGKILL at random
instants, each going on where the one before was killed, until the run is done; and compares weights, optimizer and
progress of the last checkpoints, the run's model, and the recorded losses of all steps and evaluations. Dropout is 0.1.
A fifth of the kills come at any instant from the start of the work on (reading, repairing, compiling), the others while
it trains and saves. The processes are copies of this one, which has imported TensorFlow. With --task classification it
trains a classifier, for which the text is a table with labels; with --task pairs the text is a file of pairs. With
--lora-rank it trains an adapter.

Without --model-name a small random model is made for the purpose, so nothing needs to be downloaded. Prints a line for
each kill and ends with one JSON line; exits 1 where the two runs differ. Linux and macOS.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import json
import math
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killing import Copy, warm_up

from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings.tasks import CLASSIFICATION, LANGUAGE_MODELING, PAIRS
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, sample_text

SHARE_OF_KILLS_AT_ANY_INSTANT = 0.2
KILLS_UNTIL = 0.7  # share of the steps over which the kills are spread, so that all of them find work
TIMES = ("seconds",)  # of the saved progress: how long it took is not compared
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    LANGUAGE_MODELING: ("finetune", {"sample_every": 0}),
    CLASSIFICATION: ("finetune_classifier", {"class_weights": True, "accumulate_gradients": 2}),
    PAIRS: ("finetune", {"sample_every": 0, "accumulate_gradients": 2, "separator": "="}),
}


@dataclass(frozen=True)
class Job:
    """What both runs do."""

    model_name: str
    text: Path
    steps: int
    save_every: int
    seed: int
    checkpoint_dir: Path
    task: str = LANGUAGE_MODELING
    lora_rank: int = 0

    def start(self, run_name: str, said: Path) -> Copy:
        """Begin or continue a run in a process of its own; what it says goes into a file."""
        return Copy(functools.partial(self._run, run_name), said)

    def _run(self, run_name: str) -> None:
        import gpt2simple

        name, options = CALLS[self.task]
        getattr(gpt2simple, name)(
            str(self.text), model_name=self.model_name, run_name=run_name, checkpoint_dir=str(self.checkpoint_dir),
            steps=self.steps, save_every=self.save_every, eval_every=2 * self.save_every, batch_size=2, dropout=0.1,
            seed=self.seed, lora_rank=self.lora_rank, **options,
        )  # fmt: skip

    def finish(self, run_name: str, said: Path) -> None:
        """Run to the end."""
        if self.start(run_name, said).wait() != 0:
            sys.exit(f"The run {run_name} failed:\n{said.read_text()}")


def make_model(folder: Path) -> None:
    """Write a small random model with a byte tokenizer."""
    import numpy as np

    from gpt2simple.gpt2.formats.huggingface import write_model_folder
    from gpt2simple.gpt2.formats.names import canonical_shapes

    draw, shapes = np.random.default_rng(0), canonical_shapes(SMALL_CONFIG)
    write_model_folder(
        folder, SMALL_CONFIG, lambda name: draw.normal(0, 0.1, shapes[name]).astype(np.float32), byte_tokenizer()
    )


def make_text(folder: Path, task: str) -> Path:
    """Write a text to train on.

    For a classifier a table of its sentences, labelled by their first words; as pairs these and the next words.
    """
    text = sample_text(sentences=600)
    if task == LANGUAGE_MODELING:
        path = folder / "text.txt"
        path.write_text(text, encoding="utf-8")
        return path
    lines = [line for line in text.splitlines() if line]
    heads, rows = {
        CLASSIFICATION: (("text", "label"), [(line, line.split()[0]) for line in lines]),
        PAIRS: (
            ("prompt", "completion"),
            [(f"{n} {line.split()[0]}", line.split()[1]) for n, line in enumerate(lines)],
        ),
    }[task]
    path = folder / "texts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    return path


def train_with_kills(job: Job, kills: int, start_seconds: float, errors: Path) -> list[int]:
    """The step of the latest checkpoint after each kill; the run is then completed."""
    draw, reached, run = random.Random(job.seed), [0], job.checkpoint_dir / "killed"
    for number in range(1, kills + 1):
        child = job.start("killed", errors)
        try:
            if draw.random() < SHARE_OF_KILLS_AT_ANY_INSTANT:
                wait_for_steps(child, run, reached[-1], 1, at_most_seconds=draw.uniform(0, start_seconds))
            else:  # counted in steps, so that a busy machine does not move all kills into the start
                n_steps = draw.randint(1, int(2 * KILLS_UNTIL * job.steps / kills))
                wait_for_steps(child, run, reached[-1], n_steps)
                time.sleep(draw.uniform(0, 0.1))  # anywhere in a step, a look or a save
            ended = child.poll()
        finally:
            child.send(signal.SIGKILL)
            child.wait()
        if ended not in (None, 0):
            sys.exit(f"The run failed by itself:\n{errors.read_text()}")
        reached.append(latest_step(job.checkpoint_dir / "killed"))
        print(f"kill {number:2d}: {'after the end' if ended == 0 else f'latest step {reached[-1]}'}", flush=True)
    job.finish("killed", errors)
    return reached[1:]


def wait_for_steps(child: Copy, run: Path, first_step: int, n_steps: int, at_most_seconds: float = math.inf) -> None:
    """Until a session that starts at ``first_step`` has recorded so many steps, or has ended."""
    deadline = time.monotonic() + at_most_seconds
    metrics = run / "metrics.jsonl"
    before = metrics.stat().st_mtime_ns if metrics.exists() else 0
    while child.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.stat().st_mtime_ns != before:
            lines = [
                json.loads(line) for line in metrics.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
            ]
            starts = [line["first_step"] for line in lines if line["kind"] == "start"]
            # The file of the session before is first cut back, then the new session's start is written.
            if starts and starts[-1] == first_step and lines[-1].get("step", 0) >= first_step + n_steps:
                return
        time.sleep(0.02)


def latest_step(folder: Path) -> int:
    latest = _latest(folder)
    return 0 if latest is None else latest.step


def _latest(folder: Path) -> StepCheckpoint | None:
    """The newest checkpoint; the benchmark ends where a kill has damaged it."""
    latest = next(reversed(RunWriter(folder).checkpoints()), None)
    if latest is not None and (damage := latest.damage()) is not None:
        sys.exit(f"{latest.path} is damaged: {damage}.")
    return latest


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """What the newest checkpoint of a run holds, in a form that can be compared."""
    latest = _latest(folder)
    assert latest is not None, f"{folder} has no checkpoint"
    tensors = {
        f"{part} {name}": values.tobytes()
        for part, items in (("weights", latest.weights()), ("optimizer", latest.optimizer()))
        for name, values in items
    }
    found = read_metrics(folder)
    recorded = [(r.step, r.loss, r.smoothed_loss, r.learning_rate, r.gradient_norm) for r in found.steps]
    evaluated = [(r.step, r.figures, r.is_best) for r in found.evaluations]
    model = (folder / latest.weights_file).read_bytes()
    state = _without_times(latest.state)
    return {"step": latest.step, **tensors, "state": state, "model": model, "steps": recorded, "evaluated": evaluated}


def _names(job: Job, run_name: str) -> list[str]:
    """What is in the folder of a run; TensorBoard gets a file for each session."""
    folder = job.checkpoint_dir / run_name
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return [name for name in names if not name.startswith("tensorboard/")]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(item) for name, item in value.items() if name not in TIMES}
    return value


def compare(job: Job, kills: int, folder: Path) -> dict[str, Any]:
    """Train straight and with kills; the figures, as JSON values."""
    began = time.monotonic()
    child = job.start("straight", folder / "errors")
    wait_for_steps(child, job.checkpoint_dir / "straight", 0, 1)
    start_seconds = time.monotonic() - began
    if child.wait() != 0:
        sys.exit(f"The uninterrupted run failed:\n{(folder / 'errors').read_text()}")
    train_seconds = time.monotonic() - began - start_seconds
    print(f"uninterrupted: {job.steps} steps, {start_seconds:.1f} s to start and {train_seconds:.1f} s to train")
    reached = train_with_kills(job, kills, start_seconds, folder / "errors")
    straight, killed = (last_checkpoint(job.checkpoint_dir / name) for name in ("straight", "killed"))
    differing = sorted(name for name in {*straight, *killed} if straight.get(name) != killed.get(name))
    lost = sum(later < earlier for earlier, later in itertools.pairwise([0, *reached]))
    return {
        "benchmark": "kill_resume",
        "task": job.task,
        "lora_rank": job.lora_rank,
        "kills": kills,
        "kills_before_the_end": sum(step < job.steps for step in reached),
        "steps": job.steps,
        "lost": lost,
        "left": sorted({*_names(job, "killed")} - {*_names(job, "straight")}),
        "compared": len(straight),
        "differing": differing,
        "latest_after_each_kill": reached,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=CALLS, default=LANGUAGE_MODELING)
    parser.add_argument("--lora-rank", type=int, default=0, help="of an adapter; 0: all weights are trained")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--save-every", type=int, default=20)
    parser.add_argument("--model-name")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--seed", type=int, default=1, help="of the training and of the instants")
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = options.text or make_text(folder, options.task)
        model = options.model_name or str(folder / "model")
        made = functools.partial(make_model, folder / "model")
        if options.model_name is None and Copy(made, folder / "errors").wait():
            sys.exit(f"No model could be made:\n{(folder / 'errors').read_text()}")
        job = Job(
            model, text, options.steps, options.save_every, options.seed, folder / "checkpoint", options.task,
            options.lora_rank,
        )  # fmt: skip
        figures = compare(job, options.kills, folder)
    same = not (figures["differing"] or figures["lost"] or figures["left"])
    print(f"{figures['compared']} values compared: {'all equal' if same else 'DIFFERENT'} {figures['differing'] or ''}")
    print(json.dumps(figures))
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
