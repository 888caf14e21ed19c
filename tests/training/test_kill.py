"""A run that is killed with SIGKILL again and again equals one that was left alone: the benchmark, made smaller."""

import json
import subprocess
import sys

import pytest

from tests.helpers.paths import BENCHMARKS

SCRIPT = BENCHMARKS / "kill_resume.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("task", ["language modeling", "classification"])
def test_killed_and_resumed_equals_straight(task: str) -> None:
    command = [sys.executable, SCRIPT, "--task", task, "--kills", "4", "--steps", "400"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["differing"] == []
    assert figures["kills_before_the_end"] >= 2, "too few kills found work; this proves little"
