"""A group of callbacks: everyone is called, and nobody can stop the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt2simple.runs.records import EndRecord, SampleRecord, TrainingCallback
from gpt2simple.training.callbacks.base import CallbackGroup

SAMPLE = SampleRecord(step=3, text="to be")
END = EndRecord(step=3, reason="finished", best_step=None, resume_hint="")


class Remembering(TrainingCallback):
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *arguments: self.calls.append((name, arguments))


class Failing(TrainingCallback):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_sample(self, record: SampleRecord) -> None:
        raise self.error


def test_every_method_of_an_observer_reaches_every_member_with_its_arguments(messages: list[str]) -> None:
    members = [Remembering(), Remembering()]
    group = CallbackGroup(members)
    methods = [name for name in vars(TrainingCallback) if name.startswith("on_")]
    for name in methods:
        arguments = (7, Path("step-7")) if name == "on_save" else (name,)
        getattr(group, name)(*arguments)
    for member in members:
        assert [name for name, _ in member.calls] == methods
        assert ("on_save", (7, Path("step-7"))) in member.calls
        assert ("on_step", ("on_step",)) in member.calls
    assert messages == []


def test_a_failing_member_is_reported_once_and_left_out_while_the_others_go_on(messages: list[str]) -> None:
    witness = Remembering()
    group = CallbackGroup([Failing(OSError(28, "No space left on device")), witness])
    group.on_sample(SAMPLE)
    group.on_sample(SAMPLE)
    group.on_end(END)
    assert messages == [
        "Failing failed in on_sample (OSError: [Errno 28] No space left on device); training continues without it."
    ]
    assert [name for name, _ in witness.calls] == ["on_sample", "on_sample", "on_end"]
    assert group.members == (witness,)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interruption_goes_through(error: BaseException, messages: list[str]) -> None:
    group = CallbackGroup([Failing(error)])
    with pytest.raises(type(error)):
        group.on_sample(SAMPLE)
    assert messages == []
