"""Remarks and bars where standard error is closed, as it is in a program without a console."""

from __future__ import annotations

import sys

import pytest

from gpt2simple.api import console


def test_a_remark_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.tell("A remark.")
    assert tuple(capsys.readouterr()) == ("", "A remark.\n")


def test_without_stderr_a_remark_does_not_go_among_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It once went to stdout, in front of the JSON."""
    monkeypatch.setattr(sys, "stderr", None)
    console.tell("A remark.")
    assert capsys.readouterr().out == ""


def test_without_stderr_a_text_is_read_without_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(console, "_SECONDS_BEFORE_A_BAR", 0.0)
    with console.reading_bar("Reading") as show:
        show(1, 2)
        show(2, 2)
