"""A run that is killed with SIGKILL again and again equals one that was left alone: the benchmark, made smaller."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from tests.api.test_pairs import SETTINGS, pairs
from tests.helpers.paths import BENCHMARKS, ROOT
from tests.helpers.small_runs import differing, last_state, work_in, write_small_model

SCRIPT = BENCHMARKS / "kill_resume.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("lora_rank", [0, 4])
@pytest.mark.parametrize("task", ["language modeling", "classification", "pairs"])
def test_killed_and_resumed_equals_straight(task: str, lora_rank: int) -> None:
    command = [sys.executable, SCRIPT, "--task", task, "--kills", "4", "--steps", "400", "--lora-rank", str(lora_rank)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["differing"] == []
    assert figures["kills_before_the_end"] >= 2, "too few kills found work; this proves little"


KILLED = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
import gpt2simple
from gpt2simple.backend.keras import keras
from tests.training.test_kill import train_on_pairs

class Kills(keras.callbacks.Callback):
    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 7:
            os.kill(os.getpid(), signal.SIGKILL)

train_on_pairs("killed", callbacks=Kills())
"""


def train_on_pairs(run_name: str, **also: Any) -> Any:
    """A run of ten steps in the current folder that saves every four and shows outputs every three."""
    return gpt2simple.finetune(
        "pairs.json", model_name="small", run_name=run_name, steps=10, save_every=4, eval_every=5, sample_every=3,
        sample_length=3, dropout=0.1, **SETTINGS, **also,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_on_pairs_that_was_killed_goes_on_to_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(monkeypatch, tmp_path)
    write_small_model(tmp_path / "small")
    records = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs(60)]
    Path("pairs.json").write_text(json.dumps(records), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    runs = [tmp_path / "checkpoint" / name for name in ("killed", "straight")]
    assert last_state(runs[0])["step"] < 6
    assert (runs[0] / "samples/step-000006.txt").is_file(), "of a step that is taken again"
    for run in runs:
        assert train_on_pairs(run.name).steps == 10
    assert differing(*map(last_state, runs)) == []
    written = [{path.name: path.read_bytes() for path in (run / "samples").iterdir()} for run in runs]
    assert written[0] == written[1]
    assert sorted(written[0]) == ["index.json", *(f"step-00000{step}.txt" for step in (3, 6, 9))]
