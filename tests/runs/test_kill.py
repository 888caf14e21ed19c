"""A process that is killed at any instant leaves a run that can go on, and loses nothing it had saved."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpt2simple.runs.writer import RunWriter
from tests.helpers.killed_saves import ACTIONS, BEST_EVERY
from tests.helpers.paths import ROOT
from tests.helpers.run_folders import require_consistent, require_repairable

KILLS = 12
PROGRAM = [sys.executable, "-m", "tests.helpers.killed_saves"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_run_survives_being_killed_at_random_instants(tmp_path: Path, messages: list[str]) -> None:
    """Twelve times: save in a loop in another process, SIGKILL it, look, and let the next one go on."""
    draw = random.Random(20)
    folder = tmp_path / "run1"
    saved = 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            [*PROGRAM, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )  # fmt: skip
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
        assert latest.step < BEST_EVERY or best.step % BEST_EVERY == 0
        require_consistent(best)
    assert messages == []
    require_repairable(folder)
    assert saved > KILLS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_run_survives_a_kill_at_every_disk_operation(tmp_path: Path, action: str) -> None:
    command = [*PROGRAM, str(tmp_path), action]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
