"""metrics.jsonl, every record of a run as one line, and metrics.csv, the same numbers as a table.

The lines are the record; the table is made from them. A process killed in the middle of a line costs that line only.
Knows neither what the numbers mean nor who reads them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

from gpt2simple.errors import RunError
from gpt2simple.runs import records
from gpt2simple.runs.curves import Curves
from gpt2simple.settings import misfit
from gpt2simple.storage.contents import content_errors, json_text, parse_json
from gpt2simple.storage.files import atomic_write

JSONL_NAME = "metrics.jsonl"
CSV_NAME = "metrics.csv"

_KINDS: dict[str, type] = {
    "start": records.RunPlan,
    "step": records.StepRecord,
    "epoch": records.EpochRecord,
    "evaluation": records.EvaluationRecord,
    "sample": records.SampleRecord,
    "end": records.EndRecord,
}

# A row for each step, each evaluation and each pass over the text, as "kind" says.
_COLUMNS = (
    "kind", "step", "epoch", "train_loss", "smoothed_train_loss", "held_out_loss", "perplexity", "bits_per_byte",
    "is_best", "learning_rate", "gradient_norm", "tokens", "tokens_per_second", "seconds",
)  # fmt: skip


@dataclass
class Metrics:
    """What a run recorded, each list in order of steps; a step recorded twice counts once, as the later record."""

    starts: list[records.RunPlan] = field(default_factory=list)  # one for each session that trained
    steps: list[records.StepRecord] = field(default_factory=list)
    epochs: list[records.EpochRecord] = field(default_factory=list)
    evaluations: list[records.EvaluationRecord] = field(default_factory=list)
    samples: list[records.SampleRecord] = field(default_factory=list)
    ends: list[records.EndRecord] = field(default_factory=list)


def read(run_dir: Path) -> Metrics:
    """What the run in ``run_dir`` recorded; empty where nothing is there.

    A torn line (the process was killed while writing it) and lines of unknown kinds are skipped.
    """
    by_kind: dict[str, dict[int, Any]] = {kind: {} for kind in _KINDS}
    for line in _lines(run_dir):
        if (record := _record(line, run_dir)) is not None:
            by_kind[line["kind"]][_step_of(line)] = record
    # The fields of Metrics are the plurals of the kinds.
    return Metrics(**{f"{kind}s": [found[step] for step in sorted(found)] for kind, found in by_kind.items()})


def truncate(run_dir: Path, step: int) -> None:
    """Drop every record later than ``step``, in both files, each replaced in one piece.

    A run resumed from a checkpoint repeats the steps after it; without this they would be recorded twice. At step 0
    nothing is left.

    Raises:
        StorageError: the files cannot be written; the old ones are then still there.
    """
    kept = [line for line in _lines(run_dir) if _stays(line, step)]
    atomic_write(run_dir / JSONL_NAME, "".join(map(_dump, kept)), durable=False)
    rows = [_COLUMNS, *filter(None, map(_row, kept))]
    atomic_write(run_dir / CSV_NAME, "".join(map(_csv_line, rows)), durable=False)


def curves_until(run_dir: Path, step: int) -> Curves:
    """The curves of what a run recorded until a step, from which it continues; without a file, empty."""
    earlier = read(run_dir) if step else Metrics()
    return Curves.of(
        (record for record in earlier.steps if record.step <= step),
        (record for record in earlier.evaluations if record.step <= step),
    )


class MetricsFiles(records.TrainingCallback):
    """Writes both files during a run; each line reaches the operating system before the next step begins.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._jsonl: TextIO | None = None
        self._csv: TextIO | None = None

    def on_start(self, plan: records.RunPlan) -> None:
        truncate(self._run_dir, plan.first_step)
        self._jsonl = (self._run_dir / JSONL_NAME).open("a", encoding="utf-8", newline="")
        self._csv = (self._run_dir / CSV_NAME).open("a", encoding="utf-8", newline="")
        values = asdict(plan)
        del values["run_dir"]  # a folder can be moved; the reader knows where it found the file
        self._write({"kind": "start", **values})

    def _add(self, record: Any) -> None:
        self._write(record.to_json())

    on_step = on_epoch = on_evaluation = on_sample = _add

    def on_end(self, record: records.EndRecord) -> None:
        self._write(record.to_json())
        for file in (self._jsonl, self._csv):
            if file is not None:
                file.close()
        self._jsonl = self._csv = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._jsonl is None or self._csv is None:  # a run that ended before it started
            return
        self._jsonl.write(_dump(line))
        self._jsonl.flush()
        if row := _row(line):
            self._csv.write(_csv_line(row))
            self._csv.flush()


def _lines(run_dir: Path) -> Iterator[dict[str, Any]]:
    path = run_dir / JSONL_NAME

    def clear(reason: str, _error: Exception) -> RunError:  # not taken for empty: it would be written anew
        return RunError(f"{path} cannot be read ({reason}). Put it back from a copy, or move it away.")

    with content_errors(clear), contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(path.open(encoding="utf-8", errors="replace", newline="\n"))
        except (FileNotFoundError, NotADirectoryError):
            return
        for text in file:
            try:
                line = parse_json(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("kind"), str) and type(_step_of(line)) is int:
                yield line


def _dump(line: dict[str, Any]) -> str:
    return json_text(line) + "\n"


def _record(line: dict[str, Any], run_dir: Path) -> Any:
    """The record that a line holds, or None where it is of no known kind, or a value is missing or cannot be."""
    cls = _KINDS.get(line["kind"])
    if cls is None:
        return None
    values = {f.name: line[f.name] for f in fields(cls) if f.name in line}
    values |= {f.name: math.nan for f in fields(cls) if f.type == "float" and values.get(f.name, 0.0) is None}
    if cls is records.RunPlan:
        values["run_dir"] = run_dir
    if cls is records.EvaluationRecord and (figures := records.figures_from_json(line)) is not None:
        values["figures"] = figures
    # What the first versions did not record.
    values = {f.name: f.default for f in fields(cls) if f.default is not MISSING} | values
    whole = len(values) == len(fields(cls)) and isinstance(values.get("figures"), (*records.FIGURES, type(None)))
    if not whole or misfit(cls, values, "figures") is not None:
        return None
    if cls is records.RunPlan and not (values["parameters"] > 0 and values["steps_per_epoch"] > 0):  # divisors
        return None
    return cls(**values)


def _step_of(line: dict[str, Any]) -> int:
    return line.get("first_step" if line["kind"] == "start" else "step", 0)


def _stays(line: dict[str, Any], step: int) -> bool:
    if line["kind"] == "start":
        return _step_of(line) < step  # the session that starts at `step` now records its own
    return 0 < step >= _step_of(line)


def _row(line: dict[str, Any]) -> list[Any] | None:
    """A step's, a pass's or an evaluation's values in the order of the columns; None for the other kinds."""
    if line["kind"] == "step":
        renamed = {"train_loss": line.get("loss"), "smoothed_train_loss": line.get("smoothed_loss")}
    elif line["kind"] == "evaluation":
        renamed = {"train_loss": None, "smoothed_train_loss": line.get("train_loss"), "held_out_loss": line.get("loss")}
        renamed["seconds"] = None  # how long the evaluation took; for a step it is when it ended: not one column
    elif line["kind"] == "epoch":
        renamed = {}  # its training loss is the mean over the pass that has just ended
    else:
        return None
    return [_cell({**line, **renamed}.get(column)) for column in _COLUMNS]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else None
    return value


def _csv_line(values: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
