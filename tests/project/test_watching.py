"""The callbacks of docs/watching.md do what the page says, with Weights & Biases and MLflow as they are offline.

They run in an environment of their own, which has those packages beside this one's dependencies.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gpt2simple.runs.metrics import read as read_metrics
from tests.helpers.paths import ROOT, SCRIPT, from_environment
from tests.project.test_readme import blocks

PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
LONGEST_CALLBACK = 12  # lines

# What is printed of a finished run: [step, {key: number}] of each point, as JSON.
READ = {
    "wandb": """
import glob, json, struct
from wandb.proto import wandb_internal_pb2
(path,) = glob.glob("wandb/offline-run-*/*.wandb")
data, at, whole, points, ended = open(path, "rb").read(), 7, b"", [], False
while at + 7 <= len(data):  # LevelDB's log: blocks of 32 KiB with pieces of records, each behind 7 bytes
    _, length, kind = struct.unpack_from("<IHB", data, at)
    if 32768 - at % 32768 < 7:
        at += 32768 - at % 32768
        continue
    whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
    if kind in (1, 4):  # the only piece, or the last
        record, whole = wandb_internal_pb2.Record.FromString(whole), b""
        ended = ended or record.HasField("exit")
        if record.HasField("history"):
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            points.append([record.history.step.num, values])
print(json.dumps([ended, points]))
""",
    "mlflow": """
import json, mlflow
client = mlflow.MlflowClient()
(run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
points = {}
for key in run.data.metrics:
    for metric in client.get_metric_history(run.info.run_id, key):
        points.setdefault(metric.step, {})[key] = metric.value
print(json.dumps([run.info.status == "FINISHED" and run.info.run_name == "play", sorted(points.items())]))
""",
}


def program_with(package: str) -> str:
    (program,) = [block for block in blocks("python", PAGE) if f"import {package}\n" in block]
    return program


def run(folder: Path, program: str) -> str:
    python = from_environment("GPT2SIMPLE_WATCH_PYTHON", "a Python with wandb, mlflow and what this package needs")
    local = {
        "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": "cache", "WANDB_MODE": "offline", "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "HOME": str(folder),
    }  # fmt: skip
    done = subprocess.run(
        [python, "-c", program], cwd=folder, env={**os.environ, **local}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("package", READ)
def test_the_callbacks_are_short(package: str) -> None:
    _, _, callback = program_with(package).partition("class ")
    lines = [line for line in callback.partition("\n\n\n")[0].splitlines() if line.strip()]
    assert len(lines) <= LONGEST_CALLBACK


@pytest.mark.slow
@pytest.mark.parametrize("package", READ)
def test_the_program_sends_the_figures_of_each_evaluation(package: str, tmp_path: Path) -> None:
    (tmp_path / "script.txt").write_text(SCRIPT.read_text(encoding="ascii")[:8000], encoding="ascii")
    call = 'run_name="play", '
    program = program_with(package)
    assert call in program
    run(tmp_path, program.replace(call, f"{call}steps=4, eval_every=2, window=64, sample_every=0, "))
    has_ended, points = json.loads(run(tmp_path, READ[package]).splitlines()[-1])
    assert has_ended
    recorded = read_metrics(tmp_path / "checkpoint" / "play")
    losses = {record.step: record.figures.loss for record in recorded.evaluations if record.step}
    steps = {record.step: record for record in recorded.steps}
    assert [step for step, _ in points] == [2, 4] == list(losses)
    for step, values in points:
        expected = {
            "val_loss": losses[step],
            "loss": steps[step].loss,
            "learning_rate": steps[step].learning_rate,
            "gradient_norm": steps[step].gradient_norm,
        }
        assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        assert documented_keys() <= values.keys(), f"the page names {documented_keys()}"


def documented_keys() -> set[str]:
    """The keys of the page's table."""
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    return {word.strip(" `") for cell in cells for word in cell.split(",")}
