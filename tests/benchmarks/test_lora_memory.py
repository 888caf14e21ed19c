"""A model of a real shape is trained, goes on, generates and is merged by fresh processes, below its bar."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import BENCHMARKS


@pytest.fixture
def lora_memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import lora_memory

    return lora_memory


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize(("size", "base"), [("355M", "bfloat16"), ("355M", "int8"), ("1558M", "int8")])
def test_large_models_stay_below_their_bars_and_near_what_users_are_told(
    lora_memory: Any, tmp_path: Path, size: str, base: str
) -> None:
    """Up to 10 GB of disk, and a quarter of an hour for the largest."""
    found = lora_memory.measure_method(tmp_path, size, base, steps=4)
    assert found["loss_fell"]
    assert found["peak_gb"] <= found["bar_gb"]
    assert found["peak_gb"] <= 1.15 * found["estimate_gb"]
