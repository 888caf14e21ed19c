"""A disk that fills up during a save costs that save only, whichever write meets it."""

from __future__ import annotations

import errno
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2simple.errors import StorageError
from gpt2simple.runs.writer import RunWriter
from tests.helpers.run_folders import begin, disk_operations, require_consistent, require_repairable, save


def full_from(operation: int, made: list[str]) -> Callable[[str], None]:
    """A disk that takes nothing any more from the n-th operation on, but still lets files be removed and renamed."""
    left = operation

    def before(name: str) -> None:
        nonlocal left
        if name in ("open", "write", "mkdir", "fsync", "link"):
            left -= 1
            if left <= 0:
                made.append(name)
                raise OSError(errno.ENOSPC, "No space left on device")

    return before


@pytest.mark.parametrize("same_step", [False, True])
def test_a_full_disk_keeps_the_earlier_checkpoint_at_every_possible_write(
    tmp_path: Path, messages: list[str], same_step: bool
) -> None:
    begin(tmp_path / "begun", 3, 6, best=3)
    met: set[str] = set()
    for operation in itertools.count(1):
        folder = shutil.copytree(tmp_path / "begun", tmp_path / f"run{operation}")
        run = RunWriter(folder)
        refused: list[str] = []
        problem: StorageError | None = None
        with run.lock(), disk_operations(full_from(operation, refused)):
            try:
                save(run, 6 if same_step else 9)
            except StorageError as error:
                problem = error
        if problem is not None:
            assert "the disk is full. Free some space" in str(problem)
            assert problem.errno == errno.ENOSPC
        met.update(refused)
        messages.clear()
        latest = RunWriter(folder).latest()
        assert messages == []
        assert latest is not None
        assert latest.step == 9 if problem is None and not same_step else latest.step >= 6
        require_consistent(latest)
        require_repairable(folder)
        if not refused:
            break
    assert met == {"open", "write", "mkdir", "fsync", "link"}
    assert operation > 20


def test_the_message_of_a_full_disk_names_the_checkpoint_that_is_kept(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    with (
        run.lock(),
        disk_operations(full_from(1, [])),
        pytest.raises(StorageError, match=r"the disk is full.*The checkpoint of step 3 is kept\."),
    ):
        save(run, 6)


def test_the_first_save_on_a_full_disk_says_that_nothing_is_kept(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1")
    with (
        run.lock(),
        disk_operations(full_from(1, [])),
        pytest.raises(StorageError, match=r"the disk is full.*No checkpoint was saved before\."),
    ):
        save(run, 6)


def test_missing_space_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(tmp_path / "run1", 3)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with run.lock(), pytest.raises(StorageError, match=r"Saving step 6 of .*run1 needs 33\.0 kB.*step 3 is kept\."):
        save(run, 6)


def test_the_end_of_training_on_a_full_disk_hides_no_other_error(tmp_path: Path) -> None:
    run = begin(tmp_path / "run1", 3)
    refused: list[str] = []
    with run.lock(), disk_operations(full_from(1, refused)):
        run.mark_ended("failed")
    assert refused
    assert RunWriter(tmp_path / "run1").info.ended is None
