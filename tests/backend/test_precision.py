"""Which precision is chosen, and the reason that is given: by the GPU, by the processor's flags, or by measurement."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2simple.api.session import Session
from gpt2simple.backend import precision, speed
from gpt2simple.backend.precision import precision_for_capability, precision_for_processor, read_flags
from gpt2simple.backend.speed import best_in_turns
from tests.helpers.small_runs import QUICK, write_model_and_text

# The beginnings of what Linux says on two kinds of processor.
ZEN_4 = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni
bugs\t\t: sysret_ss_attrs

processor\t: 1
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni
"""
GRAVITON_3 = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd svebf16 i8mm bf16
"""


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (ZEN_4, {"fpu", "sse2", "avx2", "avx512f", "avx512_bf16", "avx512_vnni"}),
        (GRAVITON_3, None),
        ("flags\t:\n", None),
        ("", None),
    ],
)
def test_flags_are_those_of_an_x86_processor(tmp_path: Path, text: str, flags: set[str] | None) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert read_flags(tmp_path / "cpuinfo") == flags


def test_a_system_without_that_file_says_nothing(tmp_path: Path) -> None:
    assert read_flags(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("flags", "chosen", "reason"),
    [
        ({"avx512f", "avx512_bf16"}, "bfloat16", "this processor has bfloat16 units (avx512_bf16)"),
        ({"avx512_bf16", "amx_bf16"}, "bfloat16", "this processor has bfloat16 units (amx_bf16)"),
        ({"avx2", "avx512f"}, "float32", "this processor has no bfloat16 units"),
        ({"avx_ne_convert"}, "float32", "this processor has no bfloat16 units"),
    ],
)
def test_flags_decide_without_a_measurement(flags: set[str], chosen: str, reason: str) -> None:
    assert precision_for_processor(frozenset(flags), lambda: pytest.fail("measured")) == (chosen, reason)


@pytest.mark.parametrize(
    ("gain", "chosen", "reason"),
    [
        (2.04, "bfloat16", "measured here, its products are 2.0 times as fast as those in float32"),
        (1.3, "bfloat16", "measured here, its products are 1.3 times as fast as those in float32"),
        (1.24, "float32", "measured here, products in bfloat16 are only 1.2 times as fast"),
        (0.2, "float32", "measured here, products in bfloat16 are only 0.2 times as fast"),
    ],
)
def test_without_flags_the_measurement_decides(gain: float, chosen: str, reason: str) -> None:
    assert precision_for_processor(None, lambda: gain) == (chosen, reason)


def test_with_onednn_turned_off_the_flags_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF_ENABLE_ONEDNN_OPTS=0 leaves the units idle: on a processor with them, both products took the same time."""
    monkeypatch.setattr(precision, "found_gpus", list)
    monkeypatch.setattr(precision, "read_flags", lambda: frozenset({"avx512_bf16"}))
    monkeypatch.setattr(precision, "_measured_gain", lambda: 0.95)
    for in_use, chosen in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(precision, "uses_onednn", lambda in_use=in_use: in_use)
        assert precision.choose_precision("auto").training == chosen


class BusyMachine:
    """Products that take some milliseconds, and four times that during the first of all that are computed."""

    def __init__(self, slow: int) -> None:
        self.slow, self.computed = slow, 0

    def product(self, seconds: float) -> speed.Product:
        def run() -> float:
            self.computed += 1
            return seconds * (4 if self.computed <= self.slow else 1)

        return run


@pytest.mark.parametrize("slow", [0, 5, 10, 15])
def test_a_machine_that_is_busy_for_a_while_does_not_turn_the_comparison(slow: int) -> None:
    """bfloat16 once had all of its five trials while another program computed, and seemed the slower one."""
    machine = BusyMachine(slow)
    assert best_in_turns([machine.product(0.006), machine.product(0.012)]) == [0.006, 0.012]


def test_slow_products_are_compared_in_fewer_rounds() -> None:
    machine = BusyMachine(0)
    best_in_turns([machine.product(0.4), machine.product(0.1)])
    assert machine.computed == 2 * 4
    machine = BusyMachine(0)
    best_in_turns([machine.product(0.01), machine.product(0.01)])
    assert machine.computed == 2 * 15


def test_a_product_is_really_computed_and_its_rate_plausible() -> None:
    assert 0 < speed.timed_product("float32")() < 10
    assert 1e8 < speed.product_rate("float32") < 1e17


@pytest.mark.parametrize(
    ("capability", "chosen", "reason"),
    [
        ((9, 0), "bfloat16", "a GPU of compute capability 9.0 has bfloat16 units"),
        ((8, 0), "bfloat16", "a GPU of compute capability 8.0 has bfloat16 units"),
        ((7, 5), "float16", "a GPU of compute capability 7.5 has float16 units; the loss is scaled"),
        ((7, 0), "float16", "a GPU of compute capability 7.0 has float16 units; the loss is scaled"),
        ((6, 1), "float32", "a GPU of compute capability 6.1 has no units for 16 bits"),
        (None, "float32", "the GPU does not report its capability"),
    ],
)
def test_a_gpus_capability_decides(capability: tuple[int, int] | None, chosen: str, reason: str) -> None:
    assert precision_for_capability(capability) == (chosen, reason)


def test_what_was_asked_for_is_chosen_and_int8_is_for_generating_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "found_gpus", list)
    monkeypatch.setattr(precision, "read_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(precision, "uses_onednn", lambda: True)
    for name in ("float32", "bfloat16", "float16"):
        assert precision.choose_precision(name) == precision.Precision(name, name, "as requested", named=True)
    of_processor = "this processor has bfloat16 units (amx_bf16)"
    assert precision.choose_precision("auto") == precision.Precision("bfloat16", "float32", of_processor)
    assert precision.choose_precision("int8") == precision.Precision("bfloat16", "int8", of_processor)


def test_the_session_says_what_it_chose_and_why(monkeypatch: pytest.MonkeyPatch, messages: list[str]) -> None:
    for flags, line in (
        ({"avx512_bf16"}, " in bfloat16 for training: this processor has bfloat16 units (avx512_bf16)."),
        ({"avx2"}, "in float32: this processor has no bfloat16 units."),
    ):
        monkeypatch.setattr(precision, "found_gpus", list)
        monkeypatch.setattr(precision, "uses_onednn", lambda: True)
        monkeypatch.setattr(precision, "read_flags", lambda flags=flags: frozenset(flags))
        messages.clear()
        Session().close()
        assert len(messages) == 1
        assert messages[0].startswith("Computing on ")
        assert messages[0].endswith(line)


def test_a_run_that_goes_on_in_another_precision_than_the_session_chose_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    write_model_and_text(tmp_path)
    monkeypatch.setattr(precision, "found_gpus", list)
    monkeypatch.setattr(precision, "uses_onednn", lambda: True)
    for steps, flags in ((1, {"avx2"}), (2, {"avx512_bf16"})):
        assert not any("continues in" in message for message in messages)
        monkeypatch.setattr(precision, "read_flags", lambda flags=flags: frozenset(flags))
        with Session("small", model_dir=tmp_path, checkpoint_dir=tmp_path, run_name="run1") as session:
            session.finetune(tmp_path / "text.txt", steps=steps, cache_dir=str(tmp_path / "cache"), **QUICK)
    expected = "This run started in float32 and continues in float32; pass precision='bfloat16' to change it."
    assert expected in messages
