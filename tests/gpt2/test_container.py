"""Where there is no transformers 4, a model of our own holds the same variables; nothing but training needs either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gpt2simple
from gpt2simple.backend import packages
from gpt2simple.gpt2 import container
from gpt2simple.gpt2.container import GPT2Container, build_model, model_config, named_variables
from gpt2simple.testing import SMALL_CONFIG
from tests.helpers.small_runs import QUICK, last_state, work_in, write_model_and_text

IDS = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_transformers_classes", lambda: None)


def test_it_has_the_same_variables_and_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = build_model(SMALL_CONFIG, seed=3, initializer_range=0.1)
    monkeypatch.setattr(container, "_transformers_classes", lambda: None)
    ours = build_model(SMALL_CONFIG, seed=3, initializer_range=0.1)
    assert isinstance(ours, GPT2Container)
    assert not isinstance(theirs, GPT2Container)
    assert [(v.name, v.shape) for v in ours.weights] == [(v.name, v.shape) for v in theirs.weights]
    for name, variable in named_variables(theirs).items():
        np.testing.assert_array_equal(named_variables(ours)[name], variable)
    np.testing.assert_allclose(ours(IDS).logits, theirs(IDS).logits, atol=1e-5)
    assert model_config(ours) == model_config(theirs) == SMALL_CONFIG


@pytest.mark.slow
def test_a_run_goes_on_from_one_to_the_other_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, tmp_path)
    write_model_and_text(tmp_path)

    def train(run: str, steps: int) -> None:
        gpt2simple.finetune("text.txt", model_name="small", model_dir=".", run_name=run, steps=steps, **QUICK)

    train("whole", 8)
    train("begun", 4)
    monkeypatch.setattr(container, "_transformers_classes", lambda: None)
    train("begun", 8)
    train("ours", 8)
    of_whole, of_begun, of_ours = (last_state(tmp_path / "checkpoint" / run) for run in ("whole", "begun", "ours"))
    assert of_begun == of_whole
    assert of_ours == of_whole


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize(
    ("version", "reason"),
    [(None, "transformers is not installed: "), ("5.15.0", "transformers 5.15.0 has no TFGPT2LMHeadModel: ")],
)
def test_a_session_says_once_what_its_model_is(
    monkeypatch: pytest.MonkeyPatch, messages: list[str], version: str | None, reason: str
) -> None:
    monkeypatch.setattr(packages, "version", lambda name: version)
    with gpt2simple.start_session("tiny") as session:
        assert session.model is session.model
    told = [message for message in messages if "TFGPT2LMHeadModel" in message or "transformers" in message]
    assert told == [
        f"{reason}the model is a Keras model of gpt2simple with the same variables. transformers 4.57 has that class; "
        "nothing else here needs it."
    ]


@pytest.mark.parametrize(("version", "there"), [(None, False), ("5.0.0", False), ("4.57.6", True)])
def test_the_version_of_transformers_decides(monkeypatch: pytest.MonkeyPatch, version: str | None, there: bool) -> None:
    monkeypatch.setattr(packages, "version", lambda name: version)
    container._transformers_classes.cache_clear()
    try:
        assert (container._transformers_classes() is not None) == there
    finally:
        container._transformers_classes.cache_clear()
