"""The callbacks of every run, together."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from gpt2simple.runs import metrics
from gpt2simple.training.callbacks.base import CallbackGroup, standard_callbacks
from tests.helpers.records import end, evaluation, overfitted_run, plan, sample, step


def test_a_run_resumed_after_a_kill_leaves_a_folder_as_if_it_had_never_stopped(
    tmp_path: Path, messages: list[str]
) -> None:
    steps, evaluations = overfitted_run(100, every=20)

    def watch(run_dir: Path, first_step: int, last_step: int) -> None:
        group = CallbackGroup(standard_callbacks(run_dir, stream=io.StringIO()))
        group.on_start(plan(run_dir, first_step=first_step))
        for record in steps[first_step:last_step]:
            group.on_step(record)
            for look in evaluations:
                if look.step == record.step:
                    group.on_evaluation(look)
                    group.on_sample(sample(look.step, f"at {look.step}"))
        if last_step == 100:
            group.on_end(end(100, best_step=100))

    watch(tmp_path / "straight", 0, 100)
    watch(tmp_path / "killed", 0, 73)
    watch(tmp_path / "killed", 60, 100)
    straight, killed = (metrics.read(tmp_path / name) for name in ("straight", "killed"))
    assert killed.steps == straight.steps == steps
    assert killed.evaluations == straight.evaluations == evaluations
    names = {"metrics.jsonl", "metrics.csv", "loss.png", "samples", "tensorboard"}
    for name in ("straight", "killed"):
        assert {path.name for path in (tmp_path / name).iterdir()} == names
    same = ("metrics.csv", "samples/index.json", "samples/step-000080.txt")
    for name in same:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert messages == []


def test_a_run_goes_on_when_its_folder_cannot_be_written(tmp_path: Path, messages: list[str]) -> None:
    (tmp_path / "run1").write_text("a file where the folder should be", encoding="utf-8")
    group = CallbackGroup(standard_callbacks(tmp_path / "run1", stream=io.StringIO()))
    group.on_start(plan(tmp_path / "run1"))
    group.on_step(step(1))
    group.on_evaluation(evaluation(1, 3.0, is_best=True))
    group.on_end(end(1))
    assert any(text.startswith("MetricsFiles failed in on_start (StorageError: Cannot write") for text in messages)
    assert "Progress" in [type(member).__name__ for member in group.members]


def test_reports_can_read_metrics_and_samples_without_tensorflow_or_matplotlib() -> None:
    program = (
        "import sys; from gpt2simple.runs import metrics, samples, curves; "
        "from gpt2simple.training.callbacks import progress; "
        "print([name for name in ('tensorflow', 'matplotlib', 'keras') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
