"""The bars of memory: a model of a real shape is trained, goes on, generates and is merged by fresh processes."""

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
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("size", ["355M", "774M", "1558M"])
@pytest.mark.parametrize("base", ["bfloat16", "int8"])
def test_large_models_stay_below_their_bars(lora_memory: Any, tmp_path: Path, size: str, base: str) -> None:
    """Up to 13 GB of disk, and half an hour for the largest."""
    found = lora_memory.measure_method(tmp_path, size, base, steps=20)
    assert found["loss_fell"]
    assert found["peak_gb"] <= found["bar_gb"]
