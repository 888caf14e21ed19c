"""What a call asks for, completed by its run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_folders import begin, run_in

from gpt2simple.request import Request, complete_request


def request(run: Path, *, precision: str, keeps_precision: bool = False, **settings: Any) -> Request:
    return complete_request(
        run_in(run), "text.txt", settings, {}, [], model_name=None, precision=precision,
        keeps_precision=keeps_precision, next_seed=lambda: 11,
    )  # fmt: skip


def test_a_new_run_is_begun_as_the_session_chose(tmp_path: Path) -> None:
    asked = request(tmp_path / "run1", precision="bfloat16")
    assert (asked.precision, asked.notices, asked.seed, asked.model_name) == ("bfloat16", (), 11, "124M")


@pytest.mark.parametrize(
    ("chosen", "by_name", "used", "notices"),
    [
        ("float32", False, "float32", ()),
        ("bfloat16", True, "bfloat16", ()),
        (
            "bfloat16", False, "float32",
            (
                "The run was begun in float32 and goes on in it; precision='bfloat16', said by name, would change "
                "that.",
            ),
        ),
    ],
)  # fmt: skip
def test_a_run_keeps_the_precision_that_it_was_begun_in(
    tmp_path: Path, chosen: str, by_name: bool, used: str, notices: tuple[str, ...]
) -> None:
    """The session's line names what it chose for itself: where the run does not follow, that must be said."""
    begin(tmp_path / "run1", 3)
    asked = request(tmp_path / "run1", precision=chosen, keeps_precision=by_name)
    assert (asked.precision, asked.notices, asked.seed) == (used, notices, 7)
