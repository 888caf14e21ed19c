"""Which precision is used for what, and what is said of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.api.session import Session
from gpt2simple.backend import precision
from gpt2simple.gpt2.config import ModelConfig
from tests.helpers.small_runs import QUICK, write_model_and_text

UNITS = ("bfloat16", "this processor has bfloat16 units (avx512_bf16)")


@pytest.fixture(autouse=True)
def _a_processor_with_units_for_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "found_gpus", list)
    monkeypatch.setattr(precision, "_for_this_processor", lambda: UNITS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_and_text(tmp_path_factory.mktemp("precision"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("auto", f"in float32 for generating text and in bfloat16 for training: {UNITS[1]}"),
        ("float32", "in float32: as requested"),
        ("bfloat16", "in bfloat16: as requested"),
        ("float16", "in float16: as requested"),
        (
            "int8",
            f"with int8 weights for generating text, as requested, and in bfloat16 for training: {UNITS[1]}",
        ),
    ],
)
def test_a_session_says_once_what_it_computes_in_and_does_so(
    place: Path, monkeypatch: pytest.MonkeyPatch, asked: str, said: str, messages: list[str]
) -> None:
    """int8 was once passed over: the line named the precision of training alone.

    Which precision the generator is made with is what counts here; it then computes in float32, compiled once for all.
    """
    from gpt2simple.generation import generator
    from gpt2simple.gpt2.network import decode_weights

    used: list[str] = []
    original = decode_weights.decode_weights

    def watched(variables: Any, config: ModelConfig, precision: str) -> Any:
        used.append(precision)
        return original(variables, config, "float32")

    monkeypatch.setattr(generator, "decode_weights", watched)
    with Session(str(place / "small"), precision=asked) as session:
        session.generate("The", length=2)
        session.generate("The", length=2)
    assert len(messages) == 1
    assert re.fullmatch(rf"Computing on [^,]+(, no GPU found)?, {re.escape(said)}\.", messages[0])
    assert used == ["float32" if asked == "auto" else asked]


@pytest.mark.parametrize("asked", ["auto", "int8", "bfloat16"])
def test_measuring_in_another_precision_is_said_once(place: Path, asked: str, messages: list[str]) -> None:
    with Session(str(place / "small"), precision=asked) as session:
        result = session.evaluate(place / "text.txt", cache_dir=str(place / "cache"))
        session.score("The ")
    said = "Evaluating in float32, for comparison with published results; set precision to change that."
    assert result.precision == ("bfloat16" if asked == "bfloat16" else "float32")
    assert messages.count(said) == (0 if asked == "bfloat16" else 1)


def test_a_run_goes_on_in_the_precision_in_which_it_was_begun_and_says_so(place: Path, messages: list[str]) -> None:
    settings: dict[str, Any] = QUICK | {"cache_dir": str(place / "cache")}
    with Session(str(place / "small"), precision="float32", checkpoint_dir=place / "runs") as session:
        session.finetune(place / "text.txt", steps=2, **settings)
    messages.clear()
    with Session(checkpoint_dir=place / "runs") as session:
        session.finetune(place / "text.txt", steps=3)
    assert messages[0].endswith(f"in bfloat16 for training: {UNITS[1]}.")
    assert [line for line in messages if "started" in line] == [
        "This run started in float32 and continues in float32; pass precision='bfloat16' to change it."
    ]
