"""A process that is killed at any instant leaves a run that can go on, and loses nothing it had saved."""

from __future__ import annotations

import functools
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.runs.writer import RunWriter
from tests.helpers import run_folders
from tests.helpers.run_folders import begin, disk_operations, require_consistent, require_repairable, save

KILLS = 20


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_run_survives_being_killed_at_random_instants(tmp_path: Path, messages: list[str]) -> None:
    """Twenty times: save in a loop in another process, SIGKILL it, look, and let the next one go on."""
    draw = random.Random(20)
    folder = tmp_path / "run1"
    saved = 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, run_folders.__file__, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(gpt2simple.__file__).parents[1])},
        )
        assert child.stdout is not None
        first = child.stdout.readline()  # an empty one: it died by itself
        time.sleep(draw.uniform(0, 0.08))
        child.kill()
        rest, errors = child.communicate()
        assert first, errors.decode()
        saved = int((first + rest).split(b"\n")[-2])  # the last whole line

        latest = RunWriter(folder).latest()
        assert latest is not None
        assert latest.step >= saved
        require_consistent(latest)
        best = RunWriter(folder).best()
        assert best is not None
        assert latest.step < run_folders.BEST_EVERY or best.step % run_folders.BEST_EVERY == 0
        require_consistent(best)
    assert messages == []
    require_repairable(folder)
    assert saved > KILLS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.usefixtures("messages")  # of damage and repair
@pytest.mark.parametrize("what", ["save", "save the same step", "repair", "rewind", "overwrite"])
def test_a_run_survives_a_kill_at_every_disk_operation(tmp_path: Path, what: str) -> None:
    """One process ends without clean-up before its first disk operation, the next one before its second, and so on."""
    begin(tmp_path / "begun", 3, 6, 9, best=3)
    for kill_at in itertools.count(1):
        folder = shutil.copytree(tmp_path / "begun", tmp_path / f"run{kill_at}")
        if what == "repair":
            (folder / "model.safetensors").unlink()
            (folder / "config.json").write_bytes(b"{")
            (folder / "step-000009" / "state.json").write_bytes(b"")
        if not _killed_at(kill_at, functools.partial(_do, what, folder)):
            break
        found = RunWriter(folder).latest()
        if what == "overwrite" and found is None:
            continue  # the old run is gone, the new one has not saved yet
        assert found is not None
        assert found.step >= {"repair": 6, "rewind": 6, "overwrite": 3}.get(what, 9), kill_at
        require_consistent(found)
        require_repairable(folder)
    assert kill_at > 10


def _do(what: str, folder: Path) -> None:
    run = RunWriter(folder)
    with run.lock():
        if what == "save":
            save(run, 12)
            run.prune(2)
        elif what == "save the same step":
            save(run, 9, is_best=True)
        elif what == "repair":
            run.repair()
        elif what == "rewind":
            run.rewind(6)
        else:
            run.create(run_folders.description(), run_folders.MODEL_FILES, overwrite=True)


def _killed_at(operation: int, work: Callable[[], None]) -> bool:
    """Work in a copy of this process that ends uncleanly before its n-th disk operation; whether it got there."""
    child = os.fork()
    if child == 0:
        left = operation

        def before(_: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)

        code = 1
        try:
            with disk_operations(before):
                work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9
