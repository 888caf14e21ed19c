"""Settings of a session: what they take, and that no function takes another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from gpt2simple.errors import SettingsError
from gpt2simple.settings import SessionSettings, only


def test_paths_are_taken_as_their_names(tmp_path: Path) -> None:
    settings = SessionSettings(model_name=tmp_path, model_dir=tmp_path, checkpoint_dir=tmp_path / "runs")  # type: ignore[arg-type]
    assert settings == SessionSettings(
        model_name=str(tmp_path), model_dir=str(tmp_path), checkpoint_dir=str(tmp_path / "runs")
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_name": 3}, r"^model_name is 3; expected Path or str\.$"),
        ({"run_name": Path("run1")}, r"^run_name is .*Path\('run1'\); expected str\.$"),
        ({"model_dir": None}, r"^model_dir is None; expected Path or str\.$"),
        (
            {"precision": "half"},
            r"^precision is 'half'; expected 'auto', 'float32', 'bfloat16', 'float16' or 'int8'",
        ),
        ({"threads": 0, "seed": -1}, r"^seed is -1; .* at least 0\.\nthreads is 0; .* at least 1\.$"),
    ],
)
def test_what_no_session_can_use_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SessionSettings(**settings)
    with pytest.raises(SettingsError, match=message):
        gpt2simple.start_session(**settings)


def test_some_settings_of_a_class_are_a_class() -> None:
    two = only(SessionSettings, "threads", "model_dir")
    assert (two().threads, two().model_dir) == (None, "models")
    with pytest.raises(TypeError, match="seed"):
        two(seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gpt2simple.start_session(thread=1),
            r"^start_session\(\) has no setting named 'thread'\. Did you mean",
        ),
        (
            lambda: gpt2simple.Session(run_nam="a"),
            r"^Session\(\) has no setting named 'run_nam'\. Did you mean run_name",
        ),
        (
            lambda: gpt2simple.finetune("a", callback=[]),
            r"^finetune\(\) has .* named 'callback'\. Did you mean callb",
        ),
        (lambda: gpt2simple.evaluate("a", seed=1), r"^evaluate\(\) has no setting named 'seed'\. "),
        (
            lambda: gpt2simple.score("a", session_=1),
            r"^score\(\) has no setting named 'session_'\. Did you mean ses",
        ),
        (lambda: gpt2simple.compare("a", [], run_name="a"), r"^compare\(\) has no setting named 'run_name'\. Did you"),
        (
            lambda: gpt2simple.report("a", xyz=1),
            r"^report\(\) has .* named 'xyz'\. help\(gpt2simple\.report\) lists them",
        ),
    ],
)
def test_what_a_function_does_not_take_is_refused_with_the_nearest_name(call: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call()
