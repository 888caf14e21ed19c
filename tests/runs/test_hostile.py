"""No content of a run's folder ends in anything but one clear error, and one damaged run does not hide the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.api.info import get_info
from gpt2simple.errors import RunError
from gpt2simple.runs import metrics, samples
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.curves import Curves
from gpt2simple.runs.description import Manifest, RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.samples import SampleFiles
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import SessionSettings
from tests.helpers.hostile import JSON, LONGEST_MESSAGE, changed, require_clear
from tests.helpers.records import evaluation, plan, sample, step
from tests.helpers.run_folders import begin, description


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run1"
    begin(folder, 3, 6, best=3)
    return folder


def use(folder: Path) -> None:
    """What commands read of a run."""
    run = RunFolder(folder)
    run.best_mark()
    run.best()
    info = run.info
    assert isinstance(info.description.model_name, str)
    json.dumps(info.to_json()).encode()
    run.model_folder()


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples/step-000003.txt", "samples/index.json", ".lock"])
def test_a_folder_or_a_link_in_place_of_a_file_is_one_clear_error(tmp_path: Path, whole: Path, name: str) -> None:
    for how in ("folder", "loop"):
        folder = Path(shutil.copytree(whole, tmp_path / how))
        SampleFiles(folder).on_sample(sample(3))
        path = folder / name
        path.unlink(missing_ok=True)
        path.mkdir() if how == "folder" else path.symlink_to(path)

        def read(folder: Path = folder) -> None:
            metrics.read(folder), samples.read(folder)
            SampleFiles(folder).on_start(plan(folder))
            with RunWriter(folder).lock():
                pass

        message = require_clear(read, tmp_path)
        if name == "metrics.jsonl":
            assert message is not None
            assert "metrics.jsonl cannot be read (" in message
            assert message.endswith("Put it back from a copy, or move it away.")
        elif name == ".lock":
            assert message is not None
            assert "Cannot write " in message
        else:
            assert message is None


@pytest.mark.parametrize("name", ["run.json", "manifest.json", "state.json"])
@pytest.mark.parametrize("content", JSON)
def test_damaged_json_is_one_clear_error(
    tmp_path: Path, whole: Path, name: str, content: str, messages: list[str]
) -> None:
    shutil.copytree(whole, tmp_path / "run1")
    for path in (tmp_path / "run1").rglob(name):
        path.write_bytes(JSON[content])
    require_clear(lambda: use(tmp_path / "run1"), tmp_path)
    require_clear(lambda: RunWriter(tmp_path / "run1").checkpoints()[0].state, tmp_path)
    assert len(get_info(settings(tmp_path)).runs) == 1
    assert all(len(message.replace(str(tmp_path), "")) <= LONGEST_MESSAGE for message in messages)


def settings(folder: Path) -> SessionSettings:
    return SessionSettings(checkpoint_dir=str(folder), model_dir=str(folder / "models"))


def test_a_value_of_another_kind_in_run_json_is_one_clear_error(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3, best=3)
    path = tmp_path / "run1" / "run.json"
    values = json.loads(path.read_text())
    keys = [*values, "data/fingerprint", "data/summary", "settings/steps", "model_files/config.json"]
    for number, content in enumerate(changed(values, *keys)):
        path.write_text(json.dumps(content))

        def read() -> None:
            json.dumps(RunInfo.read(path.parent).to_json())

        message = require_clear(read, tmp_path)
        assert message is None or "run.json" in message, number


def test_a_value_of_another_kind_in_a_manifest_is_damage(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3, best=3)
    folder = tmp_path / "run1" / "step-000003"
    values = json.loads((folder / "manifest.json").read_text())
    for content in changed(values, *values, "best/step", "best/figures", "files/state.json", "files/state.json/bytes"):
        (folder / "manifest.json").write_text(json.dumps(content))
        RunFolder(folder.parent).best_mark()
        StepCheckpoint(3, folder).damage()
    (folder / "manifest.json").write_text(
        json.dumps(values | {"files": {"../run.json": values["files"]["state.json"]}})
    )
    with pytest.raises(ValueError, match=r"manifest\.json cannot be read"):
        Manifest.read(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_name", 5, r"run\.json cannot be read \(model_name is 5\)\. Every run has this file; put it back"),
        ("ended", ["x"], r"run\.json cannot be read \(ended is \['x'\]\)"),
        ("best_step", "3", r"run\.json cannot be read \(the best step is '3' with"),
        ("changes", [5], r"run\.json cannot be read \(changes is \[5\]\)"),
    ],
)
def test_info_shows_the_other_runs_and_names_the_broken_one(tmp_path: Path, key: str, value: Any, message: str) -> None:
    for name in ("broken", "whole"):
        run = RunWriter(tmp_path / name)
        with run.lock():
            run.create(description(), {})
    path = tmp_path / "broken" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(RunError, match=message):
        _ = RunFolder(path.parent).info
    broken, whole = get_info(settings(tmp_path)).runs
    assert broken.problem is not None
    assert (whole.name, whole.model_name, whole.problem) == ("whole", "tiny", None)
    shown = get_info(settings(tmp_path)).summary()
    assert "broken: " in shown
    assert "whole: step 0, model tiny" in shown


@pytest.mark.parametrize("content", JSON)
def test_a_damaged_index_of_samples_counts_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "index.json").write_bytes(JSON[content])
    assert samples.read(tmp_path) == []
    files = SampleFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_sample(sample(5, "text"))
    assert samples.read(tmp_path) == [sample(5, "text")]


def test_damaged_entries_of_the_index_are_left_out(tmp_path: Path) -> None:
    files = SampleFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_sample(sample(5, "text"))
    path = tmp_path / "samples" / "index.json"
    good = json.loads(path.read_text())
    entries = good["samples"]
    hostile = [content["a"] for content in changed({"a": entries[0]}, "a", "a/step", "a/file") if "a" in content]
    path.write_text(json.dumps({"samples": [*hostile, *entries]}))
    assert sample(5, "text") in samples.read(tmp_path)
    for content in changed(good):
        path.write_text(json.dumps(content))
        samples.read(tmp_path)


def test_damaged_lines_of_the_metrics_are_left_out(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_step(step(1))
    files.on_evaluation(evaluation(1, 2.0, is_best=True))
    path = tmp_path / "metrics.jsonl"
    good = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in good:
        for content in (*JSON.values(), *(json.dumps(values).encode() for values in changed(line))):
            others = [json.dumps(other).encode() for other in good if other is not line]
            path.write_bytes(b"\n".join([*others, content, b""]))
            recorded = metrics.read(tmp_path)
            assert isinstance(Curves.of(recorded.steps, recorded.evaluations), Curves)
            [each.figures.scalars() for each in recorded.evaluations]
    metrics.truncate(tmp_path, 1)
