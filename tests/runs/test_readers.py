"""Reading a run that trains: checkpoints are removed at any moment, and no reader fails or takes another for it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.errors import CheckpointError
from gpt2simple.runs.checkpoint import CheckpointRemovedError, StepCheckpoint, require_undamaged
from gpt2simple.runs.folder import RunFolder, read_named_model
from gpt2simple.runs.layout import list_runs
from tests.helpers.paths import ROOT
from tests.helpers.run_folders import begin, disk_looks, go_on


def whole_step(folder: Path) -> int:
    """The step of a checkpoint, after all of its files were read."""
    found = StepCheckpoint(int(folder.name.split("-")[1].removesuffix(".new")), folder)
    for _, values in (*found.weights(), *found.optimizer()):
        assert values.size
    for name in ("config.json", "tokenizer.json", "merges.txt", "run.json"):
        (folder / name).read_bytes()
    return found.step


READERS: dict[str, Callable[[RunFolder], int | None]] = {
    "best": lambda run: (found := run.best(weights_only=True)) and found.step,
    "latest": lambda run: (found := run.latest()) and found.step,
    "best mark": lambda run: (mark := run.best_mark()) and mark.step,
    "model of the best": lambda run: run.read_model("best", whole_step),
    "model of the latest": lambda run: run.read_model("latest", whole_step),
    "info": lambda run: run.info.latest_step,
    "list": lambda run: max(c.step for c in run.checkpoints()) if list_runs(run.path.parent) == ["run1"] else None,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_checkpoint_that_training_removes_at_any_moment_is_chosen_again(tmp_path: Path, reader: str) -> None:
    """Training goes on before the first look at the disk, in another run before the second, and so on."""
    for moment in itertools.count(1):
        left, folder = moment, tmp_path / str(moment) / "run1"
        begin(folder, 3, best=3)

        def before(folder: Path = folder) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                go_on(folder)

        with disk_looks(before):
            found = READERS[reader](RunFolder(folder))
        if left > 0:
            assert moment > 1
            return
        assert found in (3, 4), moment


def test_a_reader_that_is_overtaken_again_and_again_gets_there(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3, best=3)
    overtaken = iter(range(5))

    def read(folder: Path) -> int:
        if next(overtaken, None) is not None:
            go_on(tmp_path / "run1")
        return whole_step(folder)

    assert RunFolder(tmp_path / "run1").read_model("best", read) == 8


def test_an_error_in_a_checkpoint_that_is_still_there_is_the_callers(tmp_path: Path) -> None:
    begin(tmp_path / "run1", 3)

    def read(folder: Path) -> int:
        raise CheckpointError(f"{folder} is of no use")

    with pytest.raises(CheckpointError, match=r"step-000003 is of no use"):
        RunFolder(tmp_path / "run1").read_model("latest", read)


def test_a_checkpoint_that_is_gone_is_not_called_damaged(tmp_path: Path) -> None:
    gone = StepCheckpoint(3, begin(tmp_path / "run1", 3).path / "step-000003")
    go_on(tmp_path / "run1")
    for look in (gone.damage, lambda: gone.best):
        with pytest.raises(
            CheckpointRemovedError, match=r"step-000003 was removed while it was read\. Repeat the call"
        ):
            look()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "merges.txt", "run.json", "state.json"])
def test_every_file_that_generating_reads_is_as_it_was_written(tmp_path: Path, name: str, messages: list[str]) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=6)
    path = run.path / "step-000006" / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    assert run.model_folder("best").name == "step-000003"
    assert messages[0].endswith(f"step 6, cannot be used: the content of {name} has changed.")
    with pytest.raises(
        CheckpointError,
        match=rf"step-000006 is damaged: the content of {name} has changed\. Put that file back from a copy, or name",
    ):
        require_undamaged(path.parent)
    require_undamaged(run.path / "step-000003")
    require_undamaged(run.path)


def test_a_run_that_is_named_as_a_model_is_its_best_checkpoint(tmp_path: Path, messages: list[str]) -> None:
    run = begin(tmp_path / "run1", 3, 6, best=6)
    assert read_named_model(run.path, lambda folder: folder.name) == "step-000006"
    (run.path / "model.safetensors").unlink(missing_ok=True)  # it may be a second name of the checkpoint's
    (run.path / "model.safetensors").write_bytes(b"damaged, and read by nobody")
    assert read_named_model(run.path, lambda folder: folder.name) == "step-000006"
    path = run.path / "step-000006" / "config.json"
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    assert read_named_model(run.path, lambda folder: folder.name) == "step-000003"
    assert messages[0].endswith("step 6, cannot be used: the content of config.json has changed.")
    with pytest.raises(CheckpointError, match="step-000006 is damaged: the content of config"):
        read_named_model(path.parent, lambda folder: folder.name)
    (tmp_path / "model").mkdir()
    assert read_named_model(tmp_path / "model", lambda folder: folder.name) == "model"


def test_a_file_that_nobody_recorded_is_not_read(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    (run.path / "step-000003" / "tokenizer_config.json").write_text('{"eos_token": "a"}')
    assert run.checkpoints()[0].damage(weights_only=True) == "tokenizer_config.json is not listed"


SAVE = """
import sys
from pathlib import Path
from tests.helpers.run_folders import go_on
while True:
    go_on(Path(sys.argv[1]))
"""


def test_a_listing_that_missed_a_checkpoint_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    run = begin(tmp_path / "run1", 2, 4, best=2)
    whole = run.checkpoints()
    listings = iter([whole[1:]])  # as while step 2 was replaced by a checkpoint of the same step
    monkeypatch.setattr(run, "checkpoints", lambda: next(listings, whole))
    assert run.best() == whole[0]
    assert messages == []


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_thousands_of_readings_while_another_process_saves(tmp_path: Path, reader: str) -> None:
    folder = tmp_path / "run1"
    begin(folder, 3, best=3)
    child = subprocess.Popen([sys.executable, "-c", SAVE, str(folder)], cwd=ROOT)
    try:
        steps: list[Any] = [3]
        while len(steps) < 2000 or steps[-1] < 200:
            steps.append(READERS[reader](RunFolder(folder)))
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    assert steps == sorted(steps)
