"""Files damaged at random end in a result or in one clear error; the quick test is a small share of the slow one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.fuzzing import TARGETS, Fuzzer

QUICK = {name: target for name, target in TARGETS.items() if name not in ("h5", "TF1", "comparison")}  # TensorFlow
FINE = {"read", "refused"}


def test_files_damaged_at_random_are_read_or_refused(tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, QUICK)
    found = [fuzzer.attempt(number, seed=0) for number in range(8 * len(QUICK))]
    assert [each for each in found if each["outcome"] not in FINE] == []
    assert {each["outcome"] for each in found} == FINE


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("module", "fine"), [("fuzzing", FINE), ("disk_tries", {"done", "refused"})])
def test_thousands_of_damaged_files_and_a_hundred_odd_disks(module: str, fine: set[str]) -> None:
    """As ``python -m tests.helpers.fuzzing`` and ``python -m tests.helpers.disk_tries`` show it."""
    command = [sys.executable, "-m", f"tests.helpers.{module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert fine & json.loads(done.stdout.splitlines()[-1]).keys()
