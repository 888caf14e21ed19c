"""metrics.jsonl and metrics.csv: what is written comes back, after a kill and after a resume too."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.runs import metrics
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.records import EpochRecord
from tests.helpers.records import end, evaluation, plan, sample, step

EPOCH = EpochRecord(step=2, epoch=1, train_loss=3.25)


def record_run(run_dir: Path, steps: range, *, ended: bool = True) -> None:
    files = MetricsFiles(run_dir)
    files.on_start(plan(run_dir, first_step=steps.start - 1))
    for number in steps:
        files.on_step(step(number, loss=4.0 - number / 100))
    if ended:
        files.on_end(end(steps[-1]))


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_record_comes_back_as_it_was(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_step(step(1))
    files.on_epoch(EPOCH)
    files.on_evaluation(evaluation(2, 3.4, is_best=True))
    files.on_sample(sample(2, "Ünïcode \u2028 line\nand more"))
    files.on_end(end(2, best_step=2))
    assert metrics.read(tmp_path) == metrics.Metrics(
        starts=[plan(tmp_path)],
        steps=[step(1)],
        epochs=[EPOCH],
        evaluations=[evaluation(2, 3.4, is_best=True)],
        samples=[sample(2, "Ünïcode \u2028 line\nand more")],
        ends=[end(2, best_step=2)],
    )


def test_a_run_that_recorded_nothing_reads_as_empty(tmp_path: Path) -> None:
    assert metrics.read(tmp_path) == metrics.Metrics()


def test_each_line_is_on_the_file_before_the_next_step(tmp_path: Path) -> None:
    record_run(tmp_path, range(1, 4), ended=False)
    assert [record.step for record in metrics.read(tmp_path).steps] == [1, 2, 3]
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_the_table_has_a_row_for_each_step_pass_and_look_at_the_held_out_text(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_step(step(1, loss=3.5, smoothed=3.75))
    files.on_sample(sample(1))
    files.on_evaluation(evaluation(1, 3.25, is_best=True, train_loss=3.75))
    files.on_epoch(EPOCH)
    files.on_end(end(1))
    first, second, third = rows(tmp_path)
    assert (first["kind"], first["train_loss"], first["smoothed_train_loss"]) == ("step", "3.5", "3.75")
    assert (first["held_out_loss"], first["tokens_per_second"]) == ("", "512")
    assert (second["kind"], second["train_loss"], second["smoothed_train_loss"]) == ("evaluation", "", "3.75")
    assert (second["held_out_loss"], second["is_best"]) == ("3.25", "True")
    assert (first["seconds"], second["seconds"]) == ("0.5", "")
    assert float(second["bits_per_byte"]) == pytest.approx(3.25 / math.log(2) / 4, rel=1e-5)
    filled = {name: value for name, value in third.items() if value}
    assert filled == {"kind": "epoch", "step": "2", "epoch": "1", "train_loss": "3.25"}


def test_a_resumed_run_drops_what_it_will_repeat_and_keeps_the_rest(tmp_path: Path) -> None:
    record_run(tmp_path, range(1, 8), ended=False)
    record_run(tmp_path, range(6, 10))
    recorded = metrics.read(tmp_path)
    assert [record.step for record in recorded.steps] == list(range(1, 10))
    assert [start.first_step for start in recorded.starts] == [0, 5]
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 9 + 2 + 1  # steps, starts and the end: nothing twice
    assert [row["step"] for row in rows(tmp_path)] == [str(number) for number in range(1, 10)]


def test_the_row_of_a_pass_that_is_repeated_is_dropped_too(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    for number in (1, 2):
        files.on_step(step(number))
    files.on_epoch(EPOCH)
    for first_step, kinds in ((2, ["step", "step", "epoch"]), (1, ["step"])):
        MetricsFiles(tmp_path).on_start(plan(tmp_path, first_step=first_step))
        assert [row["kind"] for row in rows(tmp_path)] == kinds


def test_a_run_started_afresh_keeps_nothing(tmp_path: Path) -> None:
    record_run(tmp_path, range(1, 8))
    metrics.truncate(tmp_path, 0)
    assert metrics.read(tmp_path) == metrics.Metrics()
    assert rows(tmp_path) == []


def test_a_line_torn_by_a_kill_is_passed_over_and_the_next_session_starts_on_a_line_of_its_own(tmp_path: Path) -> None:
    record_run(tmp_path, range(1, 4), ended=False)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "step", "step": 4, "lo')
    assert [record.step for record in metrics.read(tmp_path).steps] == [1, 2, 3]
    record_run(tmp_path, range(4, 6))
    assert [record.step for record in metrics.read(tmp_path).steps] == [1, 2, 3, 4, 5]
    for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line)


def test_lines_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    lines = [{"kind": "aura", "step": 1}, {"kind": "step", "step": 2}, {**step(3).to_json(), "mood": "calm"}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert metrics.read(tmp_path) == metrics.Metrics(steps=[step(3)])


@pytest.mark.parametrize("changed", [{"parameters": 0}, {"steps_per_epoch": 0.0}, {"steps_per_epoch": None}])
def test_a_start_with_numbers_that_cannot_be_is_passed_over(tmp_path: Path, changed: dict[str, Any]) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    path = tmp_path / "metrics.jsonl"
    assert len(metrics.read(tmp_path).starts) == 1
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changed}), encoding="utf-8")
    assert metrics.read(tmp_path).starts == []


def test_a_loss_that_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_step(step(1, loss=math.inf))
    assert rows(tmp_path)[0]["train_loss"] == ""
    files.on_evaluation(evaluation(1, math.nan, is_best=False))
    files.on_end(end(1, "failed"))
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    recorded = metrics.read(tmp_path)
    assert math.isnan(recorded.steps[0].loss)
    assert math.isnan(recorded.evaluations[0].loss)
    assert recorded.ends[0].best_step is None


def test_a_run_that_ends_before_it_starts_writes_nothing(tmp_path: Path) -> None:
    MetricsFiles(tmp_path).on_end(end(0, "failed"))
    assert list(tmp_path.iterdir()) == []
