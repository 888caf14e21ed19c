"""What a call asks for, completed by its run or by the folder that it begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.api.language import LANGUAGE
from gpt2simple.api.request import Request, complete_request
from gpt2simple.backend.precision import Precision
from gpt2simple.errors import CheckpointError, RunError, SettingsError
from gpt2simple.gpt2.hub.registry import resolve
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import SessionSettings
from tests.helpers.run_folders import begin
from tests.helpers.small_runs import ONE_LAYER, write_small_model
from tests.helpers.weight_layouts import random_weights, write_pytorch

pytestmark = pytest.mark.usefixtures("no_unread_messages")


def request(
    run: Path, model_name: str | None = None, *, precision: str = "float32", keeps_precision: bool = False,
    **settings: Any,
) -> Request:  # fmt: skip
    return complete_request(
        LANGUAGE, RunWriter(run), "text.txt", settings, {}, [],
        session=SessionSettings(model_name=model_name, model_dir=run.parent / "models"),
        precision=Precision(precision, precision, "", named=keeps_precision), next_seed=lambda: 11,
    )  # fmt: skip


def test_a_new_run_is_begun_as_the_session_chose(tmp_path: Path) -> None:
    asked = request(tmp_path / "run1", precision="bfloat16")
    assert (asked.precision, asked.messages, asked.seed, asked.model_name) == ("bfloat16", (), 11, "124M")


@pytest.mark.parametrize(
    ("chosen", "by_name", "used", "notices"),
    [
        ("float32", False, "float32", ()),
        ("bfloat16", True, "bfloat16", ()),
        (
            "bfloat16", False, "float32",
            ("This run started in float32 and continues in float32; pass precision='bfloat16' to change it.",),
        ),
    ],
)  # fmt: skip
def test_a_run_keeps_the_precision_that_it_was_begun_in(
    tmp_path: Path, chosen: str, by_name: bool, used: str, notices: tuple[str, ...]
) -> None:
    """The session's line names what it chose for itself: where the run does not follow, that must be said."""
    begin(tmp_path / "run1", 3)
    asked = request(tmp_path / "run1", precision=chosen, keeps_precision=by_name)
    assert (asked.precision, asked.messages, asked.seed) == (used, notices, 7)


def test_a_folder_of_a_model_gives_its_path_as_the_name(tmp_path: Path) -> None:
    folder = write_small_model(tmp_path / "mine")
    asked = request(tmp_path / "run1", restore_from=str(folder))
    assert (asked.weights_from, asked.model_name) == (folder, str(folder))


def test_a_run_gives_the_name_of_its_model_also_from_one_of_its_checkpoints(tmp_path: Path) -> None:
    begin(tmp_path / "trained", 3)
    step = tmp_path / "trained" / "step-000003"
    for folder in (tmp_path / "trained", step):
        write_small_model(folder)
        asked = request(tmp_path / "run1", restore_from=str(folder))
        assert (asked.weights_from, asked.model_name) == (folder, "tiny")
    (step / "run.json").write_text("{torn")
    assert request(tmp_path / "run1", restore_from=str(step)).model_name == str(step)


def test_a_model_of_a_known_size_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_small_model(tmp_path / "mine")
    monkeypatch.setattr("gpt2simple.gpt2.hub.locate.KNOWN_MODELS", {"355M": replace(resolve("355M"), config=ONE_LAYER)})
    assert request(tmp_path / "run1", restore_from=str(folder)).model_name == "355M"


def test_the_model_that_is_named_must_be_of_the_shape_of_the_folder(tmp_path: Path) -> None:
    """By the published shape where it is not downloaded, by what lies there where it is."""
    folder = write_small_model(tmp_path / "mine")
    for name in (str(folder), "own", "124M"):
        if name != str(folder):
            write_small_model(tmp_path / "models" / name)
        assert request(tmp_path / "run1", name, restore_from=str(folder)).model_name == name
    message = (
        r"^The run would start from .*mine, a model of 1 layers of width 16 with 2 heads, 32 tokens of "
        r"context and a vocabulary of 257, but model_name is '355M', a model of 24 layers of width 1024 with 16 heads, "
        r"1024 tokens of context and a vocabulary of 50257\. Leave model_name out, or name the model that the folder "
        r"comes from\.$"
    )
    with pytest.raises(SettingsError, match=message):
        request(tmp_path / "run1", "355M", restore_from=str(folder))
    with pytest.raises(SettingsError, match=r"model_name is 'tiny', a model of \d+ layers"):
        request(tmp_path / "run1", "tiny", restore_from=str(folder))
    deeper = replace(ONE_LAYER, n_layer=3)
    write_pytorch(tmp_path / "models" / "other", random_weights(deeper), deeper)
    with pytest.raises(SettingsError, match=r"model_name is 'other', a model of 3 layers"):
        request(tmp_path / "run1", "other", restore_from=str(folder))


def test_what_cannot_be_begun_with_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    folder = write_small_model(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    begin(tmp_path / "run1", 3)
    with pytest.raises(RunError, match=r"run1 holds a run already, at step 3, .*Add overwrite=True"):
        request(tmp_path / "run1", restore_from=str(folder))
    assert request(tmp_path / "run1", restore_from=str(folder), overwrite=True).weights_from == folder
    with pytest.raises(RunError, match=r"restore_from is 'lastest'; expected"):
        request(tmp_path / "run2", restore_from="lastest")
    with pytest.raises(CheckpointError, match=r"empty holds no GPT-2 weights; it is empty"):
        request(tmp_path / "run2", restore_from=str(tmp_path / "empty"))
    with pytest.raises(SettingsError, match=r"model_name is 'absent', which is not a known model"):
        request(tmp_path / "run2", "absent", restore_from=str(folder))
