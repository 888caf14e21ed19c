"""A share of the random calls and command lines; `benchmarks/fuzz.py` tries thousands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import BENCHMARKS


@pytest.fixture
def fuzz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, in a folder made for it."""
    for name in ("GPT2SIMPLE_CACHE", "HF_ENDPOINT", "GPT2SIMPLE_OPENAI_URL"):
        monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz

    return fuzz


@pytest.mark.slow
def test_no_random_call_or_line_ends_in_a_traceback(fuzz: Any, tmp_path: Path) -> None:
    fuzz.make_place(tmp_path)
    told: list[str] = []
    found = fuzz.fuzz(60, 30, 0, seed=1, tell=told.append)
    assert (found["foreign"], found["hang"], found["long"]) == (0, 0, 0), told


def test_faults_are_seen(fuzz: Any) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    assert fuzz.fault_of_call(broken, {})[0] == "foreign"
    assert fuzz.fault_of_output("Traceback (most recent call last)\n")[0] == "foreign"
    assert fuzz.fault_of_output("Error: " + "x" * 3000) == ("long", "3007 characters")
    assert fuzz.fault_of_output("Error: no") is None
