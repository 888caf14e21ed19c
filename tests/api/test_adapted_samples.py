"""What a run with an adapter writes while it trains and after: by the weights in memory, of which no copy is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2simple import start_session
from gpt2simple.generation import generator
from tests.helpers.small_runs import QUICK, work_in, write_model_and_text


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work_in(monkeypatch, tmp_path)
    return write_model_and_text(tmp_path)


def trained(**settings: Any) -> Any:
    session = start_session("small", run_name="adapted", seed=1, precision="float32")
    session.finetune("text.txt", steps=4, lora_rank=2, **QUICK | {"sample_every": 4, "sample_length": 8} | settings)
    return session


@pytest.mark.parametrize("base", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_samples_and_texts_are_written_without_a_copy(place: Path, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    def copy(*_: Any) -> Any:
        raise AssertionError("decoding made a copy of the weights")

    monkeypatch.setattr(generator, "decode_weights", copy)
    session = trained(base_precision=base)
    assert len(session.generate("The", length=8, temperature=0.0)[0]) > 3
    assert list((session.run_dir / "samples").iterdir())


@pytest.mark.parametrize(
    "base", [*(pytest.param(base, marks=pytest.mark.slow) for base in ("float32", "bfloat16")), "int8"]
)
def test_a_new_session_writes_the_same(place: Path, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    """By the merged weights if they are float32 in any case, else without a copy in float32."""
    session = trained(base_precision=base)
    how = {"length": 40, "temperature": 0.0}
    ours = session.generate(["The", "my "], **how)
    drawn = session.generate("The", length=40, seed=3)
    copies, copy = [], generator.decode_weights
    monkeypatch.setattr(generator, "decode_weights", lambda *given: copies.append(given) or copy(*given))
    anew = start_session(run_name="adapted", precision="float32")
    assert anew.generate(["The", "my "], **how) == ours
    assert anew.generate("The", length=40, seed=3) == drawn
    assert len(copies) == (base == "float32")
