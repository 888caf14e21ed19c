"""What the defaults of fine-tuning are worth on a text of yours: runs that differ from them in one setting each.

    python benchmarks/defaults.py TEXT [--model-name tiny] [--seeds 1 2] [--only SETTING ...] [--at-most N]
                                  [--folder defaults-runs] [--label WORDS]

TEXT is one plain text without marks of documents. A run stops by itself as the default does, but for those that name
`steps`: they are as long as the default's run, half or a quarter of it, and are held against what that one had reached
by then (the same seed means the same windows in the same order). The first seed runs every case, the others only those
on which most depends, to see how far seeds differ.

Two figures of each run's best step, in bits per byte: on the part that the run itself held out; and on the last 4 % of
the text, which no run learns, in windows of the model's longest: that one compares runs which held out another share or
trained with another window. From runs that look four times as often and go on for longer, `stopping.py` reads where
any patience would have ended them, and with what.

A finished run leaves a small file in the folder, and its checkpoints are deleted; stopped and called again, the
benchmark goes on where it was. --at-most ends a call after so many runs. When all that were asked for are done, it
writes the result, prints the tables in Markdown and ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stopping
from harness import environment, finish

import gpt2simple
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT
from gpt2simple.runs.metrics import read as read_metrics

SHARE_AT_END = 0.04  # below the smallest validation_split among the cases
STOPPING = "stopping"
NOT_STEP_BY_STEP = {"batch_size", "accumulate_gradients", "window", "validation_split"}  # other steps, or other text


@dataclass(frozen=True)
class Case:
    """Settings that differ from the defaults.

    Attributes:
        about: the setting that it is about.
        settings: what differs. every_seed: whether all seeds run it, or the first alone.
    """

    about: str
    settings: dict[str, Any]
    every_seed: bool = False

    @property
    def name(self) -> str:
        """In words, as the table has it."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items()) or "the defaults"


DEFAULTS = Case("defaults", {}, every_seed=True)


def cases_beside(steps: int, every: int, window: int) -> list[Case]:
    """All cases but the defaults themselves, those first that matter most.

    Args:
        steps: after which the run with the defaults stopped. every: its steps from look to look.
        window: the model's longest.
    """
    half, quarter = (every * max(steps // every // parts, 1) for parts in (2, 4))
    return [
        Case("learning_rate", {"learning_rate": 3e-4}, every_seed=True),
        Case("learning_rate", {"learning_rate": 1e-3}),
        Case("learning_rate", {"learning_rate": 3e-5, "steps": steps}),
        Case(STOPPING, {"eval_every": max(every // 4, 1), "steps": 5 * steps // 4}),
        Case("batch_size", {"batch_size": 4}),
        Case("dropout", {"dropout": 0.1}),
        Case("schedule", {"schedule": "linear", "steps": half}),
        Case("schedule", {"schedule": "cosine", "steps": half}),
        Case("window", {"window": window // 4}),
        Case("validation_split", {"validation_split": 0.05}),
        Case("warmup_steps", {"warmup_steps": 0, "steps": quarter}),
        Case("warmup_steps", {"warmup_steps": 100, "steps": quarter}),
        Case("clip_norm", {"clip_norm": 0.0, "steps": quarter}),
        Case("weight_decay", {"weight_decay": 0.1, "steps": quarter}),
        Case("optimizer", {"optimizer": "adam", "steps": quarter}),
        Case("optimizer", {"optimizer": "sgd", "learning_rate": 0.1, "steps": quarter}),
        Case("accumulate_gradients", {"accumulate_gradients": 4, "steps": max(quarter // 4, 1)}),
        Case("only_train_transformer_layers", {"only_train_transformer_layers": True, "steps": quarter}),
        Case("train_last_n_layers", {"train_last_n_layers": 2, "steps": quarter}),
    ]


class Bench:
    """The runs on one text with one model, and the folder that keeps what is known of them."""

    def __init__(self, text: Path, model_name: str, folder: Path, most_runs: int) -> None:
        self._text, self._model_name, self._folder = text, model_name, folder
        self._runs_left = most_runs
        (folder / "done").mkdir(parents=True, exist_ok=True)
        self._end = folder / "end.txt"
        self._end.write_bytes(end_of(text.read_bytes()))

    def result(self, case: Case, seed: int) -> dict[str, Any]:
        """What a run gave, from its file or by running it.

        Raises:
            SystemExit: it was stopped, or this call may not start another.
        """
        name = f"{re.sub(r'[^a-z0-9_.]+', '-', case.name)}-seed{seed}"
        kept = self._folder / "done" / f"{name}.json"
        if not kept.exists():
            if not self._runs_left:
                sys.exit("There are more runs to do; the same call goes on.")
            self._runs_left -= 1
            kept.write_text(json.dumps(self._run(case, seed, name)), encoding="utf-8")
            shutil.rmtree(self._folder / "checkpoint" / name)
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found

    def _run(self, case: Case, seed: int, name: str) -> dict[str, Any]:
        place = {"run_name": name, "checkpoint_dir": self._folder / "checkpoint"}
        cache = self._folder / "cache"
        with gpt2simple.start_session(self._model_name, **place) as session:
            result = session.finetune(self._text, seed=seed, sample_every=0, cache_dir=cache, **case.settings)
            if result.reason == "interrupted":
                sys.exit("Stopped; the same call goes on.")
            at_end = session.evaluate(self._end, cache_dir=cache)
            window, precision = session.model.config.n_positions, session.precision
        looks = read_metrics(result.run_dir).evaluations
        return {
            "about": case.about,
            "case": case.name,
            "settings": case.settings,
            "seed": seed,
            "held_out_bits_per_byte": result.best_bits_per_byte,
            "end_bits_per_byte": at_end.bits_per_byte,
            "best_step": result.best_step,
            "steps": result.steps,
            "reason": result.reason,
            "seconds": result.seconds,
            "window": window,
            "precision": precision,
            "bits_per_byte_at_step": {look.step: look.figures.bits_per_byte for look in looks},
        }


def end_of(text: bytes) -> bytes:
    """Whole lines from the end of a text, a little less than the share that no case learns."""
    return text[round(len(text) * (1.0 - SHARE_AT_END)) :].partition(b"\n")[2]


def run_all(bench: Bench, seeds: Sequence[int], only: Sequence[str]) -> list[dict[str, Any]]:
    """Every run that was asked for, the first seed's before the others', those with the defaults always among them."""
    first = bench.result(DEFAULTS, seeds[0])
    every = sorted(map(int, first["bits_per_byte_at_step"]))[1]
    cases = cases_beside(first["steps"], every, first["window"])
    chosen = [DEFAULTS, *(case for case in cases if not only or case.about in only)]
    return [bench.result(case, seed) for seed in seeds for case in chosen if seed == seeds[0] or case.every_seed]


def by_then(run: dict[str, Any], runs: Sequence[dict[str, Any]]) -> float | None:
    """The best held-out bits per byte that the defaults with the same seed had reached after as many steps.

    None where steps are of another size, or other text is held out.
    """
    if run["about"] in NOT_STEP_BY_STEP:
        return None
    (default,) = (other for other in runs if other["about"] == DEFAULTS.about and other["seed"] == run["seed"])
    return min(bits for step, bits in default["bits_per_byte_at_step"].items() if int(step) <= run["steps"])


def markdown(runs: Sequence[dict[str, Any]]) -> str:
    """The runs as a table, those of one case in one row, one figure for each seed."""
    lines = [
        "| changed | held out, bits/byte | the defaults by then | end, bits/byte | best step | steps |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(run["case"] for run in runs):
        same = [run for run in runs if run["case"] == name]
        columns = [
            [f"{run['held_out_bits_per_byte']:.3f}" for run in same],
            [f"{figure:.3f}" for run in same if (figure := by_then(run, runs)) is not None],
            [f"{run['end_bits_per_byte']:.3f}" for run in same],
            [f"{run['best_step']}" for run in same],
            [f"{run['steps']}" for run in same],
        ]
        lines.append(f"| {name} | {' | '.join(', '.join(column) for column in columns)} |")
    return "\n".join(lines)


def stops_by_seed(runs: Sequence[dict[str, Any]]) -> dict[int, list[stopping.Stop]]:
    """Where other patience and other intervals would have ended the runs that were made to tell."""
    looks = {run["seed"]: run["bits_per_byte_at_step"] for run in runs if run["about"] == STOPPING}
    return {seed: stopping.stops_of({int(step): bits for step, bits in found.items()}) for seed, found in looks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, metavar="TEXT")
    parser.add_argument("--model-name", default="tiny")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=[], metavar="SETTING", help="the cases about these settings")
    parser.add_argument("--at-most", type=int, default=sys.maxsize, metavar="N", help="runs in this call")
    parser.add_argument("--folder", type=Path, default=Path("defaults-runs"))
    parser.add_argument("--label", default="defaults")
    options = parser.parse_args()
    known = sorted({case.about for case in cases_beside(1, 1, 4)})
    if unknown := sorted(set(options.only) - set(known)):
        parser.error(f"--only: no case is about {', '.join(unknown)}; there are {', '.join(known)}")
    text = options.text.read_bytes()
    if END_OF_TEXT.encode() in text:
        parser.error(f"{options.text} holds several documents, and the end of the text would not be held out")
    bench = Bench(options.text, options.model_name, options.folder, options.at_most)
    runs = run_all(bench, options.seeds, options.only)
    print(markdown(runs))
    stops = stops_by_seed(runs)
    for seed, found in stops.items():
        print(f"\nSeed {seed}:\n\n{stopping.markdown(found)}")
    about = {"model": options.model_name, "text": options.text.name, "text_bytes": len(text)}
    facts = environment("tensorflow", "tf-keras", "transformers", "numpy")
    as_json = {str(seed): stopping.to_json(found) for seed, found in stops.items()}
    finish(options.label, facts, about | {"runs": runs, "stopping": as_json})


if __name__ == "__main__":
    main()
