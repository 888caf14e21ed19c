"""A run folder: begun, saved into, pruned, rewound, locked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpt2simple.errors import RunError, RunLockedError
from gpt2simple.runs.description import BestMark
from gpt2simple.runs.layout import CHAT_TEMPLATE_FILE
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import FinetuneSettings
from tests.helpers.paths import ROOT
from tests.helpers.run_folders import (
    MODEL_FILES,
    begin,
    description,
    require_consistent,
    require_repairable,
    save,
    tensor_of,
)
from tests.runs.test_layout import legacy_run


def steps_of(run: RunWriter) -> list[int]:
    return [checkpoint.step for checkpoint in run.checkpoints()]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1")
    state = {"step": 5, "smoothed": 0.1 + 0.2, "scale": np.float32(2.5), "best": None, "rows": [1, 2], "n": np.int64(3)}
    weights = {"transformer.wte.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    optimizer = {"m": np.full((2,), 0.5, np.float16), "iterations": np.asarray(2**40, np.int64)}
    with run.lock():
        path = run.save(
            5,
            weights=[tensor_of(*item) for item in weights.items()],
            optimizer=[tensor_of(*item) for item in optimizer.items()],
            state=state,
        )
    latest = run.latest()
    assert latest is not None
    assert (latest.step, latest.path) == (5, path)
    assert latest.state == state
    for name, values in latest.weights():
        np.testing.assert_array_equal(values, weights.pop(name), strict=True)
    for name, values in latest.optimizer():
        np.testing.assert_array_equal(values, optimizer.pop(name), strict=True)
    assert weights == optimizer == {}


def test_a_state_that_is_no_json_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    with run.lock(), pytest.raises(TypeError, match="ndarray is not a JSON value; give plain numbers"):
        run.save(6, weights=[], optimizer=[], state={"array": np.zeros(3)})
    assert steps_of(run) == [3]
    require_repairable(tmp_path / "run1")


def test_a_checkpoint_is_a_model_folder_of_its_own_and_so_is_the_root(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    for folder in (tmp_path / "run1", tmp_path / "run1" / "step-000003"):
        for name, content in MODEL_FILES.items():
            assert (folder / name).read_bytes() == content
        header = (folder / "model.safetensors").read_bytes()[8:200]
        assert b'{"format":"pt"}' in header  # transformers takes the file for PyTorch's
    assert (tmp_path / "run1" / "model.safetensors").samefile(tmp_path / "run1" / "step-000003" / "model.safetensors")


def test_best_and_latest_are_told_apart_and_the_root_holds_the_best(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6, 9, best=6)
    best, latest = run.best(), run.latest()
    assert best is not None
    assert latest is not None
    assert (best.step, latest.step) == (6, 9)
    assert run.best_mark() == BestMark(6, {"loss": 1 / 7}) == run.info.best
    assert (run.info.latest_step, run.info.ended) == (9, None)
    assert (run.model_folder("best").name, run.model_folder("latest").name) == ("step-000006", "step-000009")
    require_repairable(tmp_path / "run1")


def test_without_a_mark_the_latest_is_the_best(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6)
    assert run.best() == run.latest()
    assert run.best_mark() is None
    require_repairable(tmp_path / "run1")


def test_a_run_without_checkpoints_has_neither_and_cannot_generate(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1")
    assert run.exists
    assert run.best() is run.latest() is None
    with run.lock():
        run.repair()
        run.publish()
        run.prune(1)
    with pytest.raises(RunError, match=r"run1 holds no trained model yet: .*Call gpt2simple\.finetune on it"):
        run.model_folder("best")


def test_the_root_alone_is_enough_to_generate(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    (tmp_path / "run1" / "step-000003").rename(tmp_path / "elsewhere")
    assert run.model_folder("best") == tmp_path / "run1"


@pytest.mark.parametrize(
    ("keep", "left"), [(1, [6, 12]), (2, [6, 12]), (3, [6, 9, 12]), (4, [3, 6, 9, 12]), (9, [3, 6, 9, 12])]
)
def test_pruning_keeps_the_newest_and_always_the_best_and_the_latest(
    tmp_path: Path, keep: int, left: list[int]
) -> None:
    run = begin(tmp_path / "run1", 3, 6, 9, 12, best=6)
    with run.lock():
        run.prune(keep)
    assert steps_of(run) == left
    require_repairable(tmp_path / "run1")


def test_pruning_without_a_best_keeps_the_newest(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6, 9)
    with run.lock():
        run.prune(1)
    assert steps_of(run) == [9]


def test_saving_a_step_again_replaces_it_and_can_mark_it_best(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=3)
    with run.lock():
        assert save(run, 6, is_best=True).name == "step-000006"
    best = run.best()
    assert best is not None
    assert best.step == 6
    assert steps_of(run) == [3, 6]
    require_repairable(tmp_path / "run1")


def test_going_back_removes_later_checkpoints_aloud_and_the_best_is_what_it_was_then(
    tmp_path: Path, messages: list[str]
) -> None:
    run = begin(tmp_path / "run1", 3, best=3)
    with run.lock():
        save(run, 6)
        save(run, 9, is_best=True)
        run.rewind(6)
    assert steps_of(run) == [3, 6]
    assert messages == ["Going back to step 6: removed the later checkpoint step-000009."]
    assert run.info.best == run.best_mark() == BestMark(3, {"loss": 0.25})
    require_repairable(tmp_path / "run1")
    with run.lock():
        save(run, 7)
    require_repairable(tmp_path / "run1")


def test_saving_an_earlier_step_without_going_back_is_a_mistake_of_ours(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 6)
    with run.lock(), pytest.raises(AssertionError, match="step 3 after step 6: rewind first"):
        save(run, 3)


def test_the_end_and_changed_settings_are_recorded(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    with run.lock():
        run.mark_ended("interrupted")
        assert RunWriter(tmp_path / "run1").info.ended == "interrupted"
        run.describe(description(learning_rate=5e-5), 3, {"learning_rate": (1e-4, 5e-5)})
        run.describe(description(learning_rate=5e-5), 3, {})
    info = RunWriter(tmp_path / "run1").info
    assert info.ended is None
    assert info.description.settings == FinetuneSettings(learning_rate=5e-5)
    assert info.changes == ({"step": 3, "settings": {"learning_rate": [1e-4, 5e-5]}},)


def test_a_run_is_not_begun_over_another_one(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    before = {path: path.read_bytes() for path in (tmp_path / "run1").rglob("*") if path.is_file()}
    with (
        run.lock(),
        pytest.raises(RunError, match=r"run1 holds a run already\. Continue it.*or choose another run_name"),
    ):
        run.create(description(), MODEL_FILES)
    assert {path: path.read_bytes() for path in before} == before


def test_overwriting_removes_what_the_old_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3, 6)
    for name in ("metrics.jsonl", "metrics.csv", "loss.png", "samples/a.txt", "tensorboard/events", "notes.txt"):
        (tmp_path / "run1" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run1" / name).write_text("x")
    (tmp_path / "run1" / CHAT_TEMPLATE_FILE).write_text("of pairs")  # the new run is of a plain text
    with run.lock():
        run.create(description(seed=8), MODEL_FILES, overwrite=True)
    left = sorted(path.name for path in (tmp_path / "run1").iterdir())
    assert left == [".lock", *sorted([*MODEL_FILES, "notes.txt", "run.json"])]
    assert run.info.description.seed == 8
    assert run.info.latest_step is None


def test_a_model_of_other_origin_is_not_overwritten_unless_told_to(tmp_path: Path) -> None:
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / "model.safetensors").write_text("precious")
    run = RunWriter(tmp_path / "run1")
    with (
        run.lock(),
        pytest.raises(RunError, match=r"run1 holds files that no run .* wrote: model\.safetensors\. Choose another"),
    ):
        run.create(description(), MODEL_FILES)
    assert (tmp_path / "run1" / "model.safetensors").read_text() == "precious"
    with run.lock():
        run.create(description(), MODEL_FILES, overwrite=True)
        save(run, 1)
    require_repairable(tmp_path / "run1")


@pytest.mark.parametrize("name", ["loss.png", "metrics.jsonl", "metrics.csv", "samples/a.txt", "tensorboard/a"])
def test_files_of_the_user_that_a_run_would_write_are_not_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run1" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    (tmp_path / "run1" / "notes.txt").write_text("no obstacle")
    run = RunWriter(tmp_path / "run1")
    told = rf"run1 holds files that no run .* wrote: {name.split('/')[0]}\. Choose another run_name, or replace them"
    with run.lock(), pytest.raises(RunError, match=told):
        run.create(description(), MODEL_FILES)
    assert path.read_text() == "precious"
    path.unlink()
    begin(tmp_path / "run1", 3)  # an empty folder may be there


def test_a_run_that_was_killed_before_its_first_checkpoint_is_begun_again(tmp_path: Path) -> None:
    begin(tmp_path / "run1")
    run = begin(tmp_path / "run1", 3)
    assert steps_of(run) == [3]


def test_the_files_of_gpt_2_simple_are_never_touched(tmp_path: Path, messages: list[str]) -> None:
    folder = legacy_run(tmp_path / "run1", 10, pointer="model-10")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    run = RunWriter(folder)
    assert (run.exists, run.legacy_step) == (False, 10)
    assert run.model_folder("best") == folder
    run = begin(folder, 13, 16, best=13)
    with run.lock():
        run.prune(1)
        run.rewind(13)
        (folder / "model.safetensors").unlink()
        run.repair()
        run.create(description(), MODEL_FILES, overwrite=True)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert messages == [
        "Going back to step 13: removed the later checkpoint step-000016.",
        f"Restored from the checkpoints of {folder}: model.safetensors.",
    ]


def test_a_run_is_written_under_its_lock_only(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    for write in (run.repair, run.publish, lambda: run.prune(1), lambda: run.rewind(3), lambda: save(run, 6)):
        with pytest.raises(AssertionError, match="a run is written only while its lock is held"):
            write()


def test_a_second_session_of_one_process_is_refused(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    message = r"run1 is being trained by another session of this process\. Wait until it has ended or stop it"
    with run.lock(), pytest.raises(RunLockedError, match=message), RunWriter(tmp_path / "run1").lock():
        pass
    with run.lock():  # and once more, after it was given back
        run.repair()


def test_another_process_is_refused_and_told_who_is_writing(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)
    program = (
        "import sys; from pathlib import Path; from gpt2simple.runs.writer import RunWriter\n"
        "with RunWriter(Path(sys.argv[1])).lock():\n    print('held', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run1")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    run = RunWriter(tmp_path / "run1")
    message = rf"run1 is being trained by another process \(PID {other.pid} on .*, since 20.*\)\. Wait until"
    with pytest.raises(RunLockedError, match=message), run.lock():
        pass
    latest = run.latest()  # reading goes on
    assert latest is not None
    require_consistent(latest)
    (tmp_path / "run1" / ".lock-owner.json").write_text("")
    with pytest.raises(RunLockedError, match=r"being trained by another process\. Wait until"), run.lock():
        pass
    other.kill()
    other.communicate()
    with run.lock():  # the lock died with its process
        run.repair()


def test_run_json_explains_the_run(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3, best=3)
    told = json.loads((tmp_path / "run1" / "run.json").read_text())
    assert told["schema"] == 1
    assert told["model_name"] == "tiny"
    assert told["settings"]["batch_size"] == 1
    assert told["data"] == {"fingerprint": "text-1", "summary": {"tokens": 1000}}
    assert (told["seed"], told["latest_step"], told["best_step"]) == (7, 3, 3)
    assert told["best_figures"] == {"loss": 0.25}
    assert told["environment"]["gpt2simple"] == "1.0.0"
    assert set(told["model_files"]) == set(MODEL_FILES)


def test_what_another_session_wrote_is_seen_once_the_lock_is_held(tmp_path: Path) -> None:
    run, other = begin(tmp_path / "run1", 3), RunWriter(tmp_path / "run1")
    assert run.info.best is None
    with other.lock():
        save(other, 6, is_best=True)
    with run.lock():
        save(run, 9)
    assert run.info.best == run.best_mark() == BestMark(6, {"loss": 1 / 7})
