"""Random weights of a model's shape as a start, and the control of a classifier: the same training from these."""

from __future__ import annotations

import gc
import html
import json
import logging
import signal
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.api.finetune import before_start
from gpt2simple.backend.keras import keras
from gpt2simple.cli.group import cli
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.layout import PREDICTIONS_FILE
from gpt2simple.runs.resume import is_control
from tests.api.test_classifier import SETTINGS, reviews, weights_of
from tests.helpers.small_runs import QUICK, last_state, work_in, write_small_model, write_text

RUN, CONTROL = "films", "films-control"
STEPS = {**SETTINGS, "steps": 12}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, labelled texts, and a classifier with its control."""
    folder = tmp_path_factory.mktemp("control")
    write_small_model(folder / "small")
    write_text(folder / "text.txt")
    rows = [f'"{text}",{label}' for text, label in reviews()]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        train(RUN)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def train(run_name: str, dataset: Any = "reviews.csv", *, control: bool = True, **settings: Any) -> Any:
    given = {**STEPS, "model_name": "small", **settings}
    return gpt2simple.finetune_classifier(dataset, run_name=run_name, control=control, **given)


def run_of(name: str) -> Path:
    return Path("checkpoint") / name


class PressCtrlC(keras.callbacks.Callback):
    """Ctrl-C in the first step of the runs from a given one on."""

    def __init__(self, run: int = 1) -> None:
        super().__init__()
        self._left = run

    def on_train_begin(self, logs: Any = None) -> None:
        self._left -= 1
        if self._left <= 0:
            signal.raise_signal(signal.SIGINT)


class KilledError(Exception):
    """In the place of a crash before the first checkpoint."""


class Kill(keras.callbacks.Callback):
    """Such a crash in a given run."""

    def __init__(self, run: int = 1) -> None:
        super().__init__()
        self._left = run

    def on_train_begin(self, logs: Any = None) -> None:
        self._left -= 1
        if self._left == 0:
            raise KilledError


def test_random_weights_are_gpt2s_initialisation_and_follow_from_the_seed() -> None:
    one, same, other = (LoadedModel.load(Path("small"), random_seed=seed) for seed in (1, 1, 2))
    names = list(one.weights)
    assert all((one.read(name) == same.read(name)).all() for name in names)
    assert not (one.read("wte.weight") == other.read("wte.weight")).all()
    assert one.read("wte.weight").std() == pytest.approx(0.02, rel=0.1)
    assert one.read("h.0.mlp.c_proj.weight").std() == pytest.approx(0.02 / np.sqrt(2), rel=0.1)
    assert (one.read("h.0.ln_1.weight") == 1).all()
    assert (one.read("h.0.attn.c_attn.bias") == 0).all()
    assert one.tokenizer.fingerprint == LoadedModel.load(Path("small")).tokenizer.fingerprint


def test_a_language_model_starts_from_random_weights_and_continues_as_any_run() -> None:
    options: dict[str, Any] = {**QUICK, "model_name": "small", "window": 16}
    for steps in (2, 4):
        start = "random" if steps == 2 else "latest"
        gpt2simple.finetune("text.txt", run_name="parts", restore_from=start, **options, steps=steps)
    gpt2simple.finetune("text.txt", run_name="whole", restore_from="random", steps=4, **options)
    parts, whole = (weights_of(run_of(name) / "step-000004") for name in ("parts", "whole"))
    assert all((parts[name] == whole[name]).all() for name in whole)
    gpt2simple.finetune("text.txt", run_name="trained", steps=4, **options)
    assert not (whole["transformer.wpe.weight"] == weights_of(run_of("trained"))["transformer.wpe.weight"]).all()
    assert RunInfo.read(run_of("parts")).description.settings.restore_from == "random", "how it began stays on record"
    with pytest.raises(RunError, match=r"whole holds a run already, at step 4, and restore_from='random' would"):
        gpt2simple.finetune("text.txt", run_name="whole", restore_from="random", steps=8, **options)


@pytest.mark.slow
def test_a_run_stopped_before_its_first_checkpoint_starts_from_the_same_random_weights() -> None:
    options: dict[str, Any] = {**QUICK, "seed": None, "model_name": "small", "window": 16, "steps": 2}
    with pytest.raises(KilledError):
        gpt2simple.finetune("text.txt", run_name="killed", restore_from="random", callbacks=[Kill()], **options)
    seed = RunInfo.read(run_of("killed")).description.seed
    gpt2simple.finetune("text.txt", run_name="killed", **options)
    gpt2simple.finetune("text.txt", run_name="straight", restore_from="random", **{**options, "seed": seed})
    again, straight = (weights_of(run_of(name)) for name in ("killed", "straight"))
    assert all((again[name] == straight[name]).all() for name in straight)


def test_no_folder_named_otherwise_is_taken_for_random() -> None:
    with pytest.raises(
        RunError, match=r"restore_from is 'randem'; expected \"latest\", \"best\", \"fresh\", \"random\""
    ):
        gpt2simple.finetune("text.txt", run_name="odd", restore_from="randem", model_name="small")


def test_the_result_has_the_control_beside_the_other_baselines(caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_of(CONTROL).rglob("model.safetensors")}
    with caplog.at_level(logging.INFO, logger="gpt2simple"):
        result = train(RUN)
    assert (result.reason, result.control.reason) == ("done", "done"), "a finished one is not repeated"
    assert before == {path: path.stat().st_mtime_ns for path in run_of(CONTROL).rglob("model.safetensors")}
    assert [one.name for one in result.test.baselines] == ["majority class", "bag of words", "random weights"]
    last = result.test.comparisons[-1]
    assert last.sentence() in result.test.conclusion()
    assert "the same model with random weights" in result.summary()
    assert f"Control, from random weights: {run_of(CONTROL)}." in result.summary()
    shown = json.loads(json.dumps(result.to_json()))
    assert shown["test"]["baselines"][-1]["name"] == "random weights"
    assert (shown["control"]["run_dir"], shown["control"]["test"]) == (str(run_of(CONTROL)), None)


def test_the_control_is_the_same_training_from_random_weights() -> None:
    main, control = (RunInfo.read(run_of(name)).description for name in (RUN, CONTROL))
    assert is_control(control, main)
    assert not is_control(main, main)
    assert (control.seed, control.model_name, control.settings.restore_from) == (main.seed, "small", "random")
    untrained = LoadedModel.load(Path("small"), random_seed=main.seed)
    moved = weights_of(run_of(CONTROL))["transformer.wte.weight"] - untrained.read("wte.weight")
    assert np.abs(moved).max() < 0.2, "the trained weights are near those of the same seed"
    kept = LoadedModel.load(Path("small"))
    moved = weights_of(run_of(RUN))["transformer.wte.weight"] - kept.read("wte.weight")
    assert np.abs(moved).max() < 0.2
    assert np.abs(untrained.read("wte.weight") - kept.read("wte.weight")).max() > 0.2


@pytest.mark.parametrize("part", ["test", "held_out"])
def test_evaluating_shows_the_finished_control(part: str) -> None:
    found: Any = gpt2simple.evaluate("reviews.csv", run_name=RUN, part=part)
    alone: Any = gpt2simple.evaluate("reviews.csv", run_name=CONTROL, part=part)
    control = found.baselines[-1]
    assert control.name == "random weights"
    assert (control.accuracy, control.f1) == (alone.accuracy, alone.f1)
    assert control.log_loss == pytest.approx(alone.log_loss, rel=1e-5)
    assert control.train_texts == 96
    assert [one.name for one in alone.baselines] == ["majority class", "bag of words"]
    trained: Any = gpt2simple.evaluate("reviews.csv", run_name=RUN, part="train")
    assert trained.baselines == ()


def test_the_report_shows_the_control() -> None:
    found: Any = gpt2simple.report(RUN)
    assert "random weights" in html.unescape(found.path.read_text(encoding="utf-8"))
    numbers = json.loads(found.json_path.read_text(encoding="utf-8"))["result"]
    assert numbers["comparisons"][-1]["baseline"] == "random weights"


@pytest.mark.slow
def test_a_control_of_another_training_or_a_damaged_one_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    train("longer", steps=2)
    train("longer", steps=3)
    train("longer", control=False, steps=4)
    found: Any = gpt2simple.evaluate("reviews.csv", run_name="longer", part="test")
    assert len(found.baselines) == 2, "the control has fewer steps"
    train("longer", steps=4)
    found = gpt2simple.evaluate("reviews.csv", run_name="longer", part="test")
    assert len(found.baselines) == 3
    (run_of("longer-control") / PREDICTIONS_FILE).write_bytes(b"PK torn")
    with caplog.at_level(logging.INFO, logger="gpt2simple"):
        found = gpt2simple.evaluate("reviews.csv", run_name="longer", part="test")
    assert len(found.baselines) == 2
    assert "longer-control is not shown: its figures cannot be read (" in caplog.text


@pytest.mark.slow
def test_a_run_whose_settings_changed_on_the_way_gets_no_control(caplog: pytest.LogCaptureFixture) -> None:
    """Its linear schedule had another slope at first, which the control would not have."""
    train("changed", control=False, steps=2)
    with caplog.at_level(logging.INFO, logger="gpt2simple"):
        result = train("changed", steps=4)
    assert result.control is None
    assert "No control is trained: the settings of changed changed on the way" in caplog.text
    assert not run_of("changed-control").exists()


@pytest.mark.slow
def test_a_name_too_long_for_a_control_has_none() -> None:
    name = "n" * 250
    train(name, control=False, steps=1)
    found: Any = gpt2simple.evaluate("reviews.csv", run_name=name, part="test")
    assert len(found.baselines) == 2


@pytest.mark.slow
def test_texts_that_can_be_read_once_are_enough_and_the_session_holds_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[LoadedModel]] = []
    load = LoadedModel.load

    def watched(*arguments: Any, **keywords: Any) -> LoadedModel:
        gc.collect()
        assert all(model() is None for model in made), "two models in memory"
        loaded = load(*arguments, **keywords)
        made.append(weakref.ref(loaded))
        return loaded

    monkeypatch.setattr(LoadedModel, "load", watched)
    with gpt2simple.start_session("small", run_name="once") as session:
        result = session.finetune_classifier(iter(reviews(60)), control=True, **{**STEPS, "steps": 2})
        assert result.test is not None
        assert result.test.baselines[-1].name == "random weights"
        assert session.run_name == "once"
        found = session.classify(["cast + 1"])[0]
    assert found.probabilities == pytest.approx(gpt2simple.classify("cast + 1", run_name="once")[0].probabilities)


@pytest.mark.slow
def test_an_interrupted_run_has_no_control_yet_and_an_interrupted_control_goes_on() -> None:
    result = train("stopped", callbacks=[PressCtrlC(1)])
    assert (result.reason, result.control, result.interrupted) == ("interrupted", None, True)
    assert not run_of("stopped-control").exists()
    with pytest.raises(KilledError):  # the control, before its first checkpoint
        train("stopped", callbacks=[Kill(2)])
    assert RunInfo.read(run_of("stopped-control")).latest_step is None
    with pytest.raises(RunError, match=r"no trained model yet: .* Call gpt2simple\.finetune_classifier on it"):
        gpt2simple.classify("cast + 1", run_name="stopped-control")
    result = train("stopped", callbacks=[PressCtrlC(1)])
    assert (result.reason, result.control.reason, result.interrupted) == ("done", "interrupted", True)
    assert len(result.test.baselines) == 2
    assert "interrupted at step 1; the same call continues it, and then shows its figures." in result.summary()
    result = train("stopped")
    assert (result.reason, result.control.reason) == ("done", "finished")
    assert len(result.test.baselines) == 3
    assert last_state(run_of("stopped-control"))["step"] == 12
    one, other = (weights_of(run_of(name)) for name in ("stopped-control", CONTROL))
    assert all((one[name] == other[name]).all() for name in other), "as one that was not interrupted"


@pytest.mark.slow
def test_a_run_started_without_a_control_gets_one_and_goes_on_without() -> None:
    train("later", control=False)
    assert train("later", control=True).control.reason == "finished"
    assert train("later", control=False, steps=14).control is None


@pytest.mark.slow
def test_both_are_replaced_together() -> None:
    train("again", steps=2)
    result = train("again", steps=3, seed=4, restore_from="fresh", overwrite=True)
    assert (result.control.steps, len(result.test.baselines)) == (3, 3)


@pytest.mark.slow
def test_another_run_of_that_name_is_refused_before_training_and_kept() -> None:
    train("mine-control", control=False, steps=1)
    kept = weights_of(run_of("mine-control"))
    message = (
        r"^The control would be the run .*mine-control, which is there already and is another one: it did not start "
        r"from random weights\. Rename that folder, or give another run_name, or leave control out\.$"
    )
    for options in ({}, {"restore_from": "fresh", "overwrite": True}):
        with pytest.raises(RunError, match=message):
            train("mine", **options)
    assert not (run_of("mine") / "run.json").exists()
    assert all((weights_of(run_of("mine-control"))[name] == kept[name]).all() for name in kept)
    train("old", steps=1)
    (run_of("old")).rename(run_of("older"))
    with pytest.raises(RunError, match=r"is another one: it has seed=3, not seed=4\. Rename"):
        train("old", seed=4)
    with pytest.raises(SettingsError, match="run_name is"):
        train("n" * 250)


def test_a_run_from_random_weights_needs_no_control() -> None:
    message = (
        r"^control compares films-control with .* random weights, and it starts from these itself .* Leave control"
    )
    with pytest.raises(SettingsError, match=message):
        train(CONTROL)
    with pytest.raises(SettingsError, match="Leave control out, or train another run without restore_from"):
        train("bare", restore_from="random")


def test_the_plan_tells_of_both_runs_and_their_time() -> None:
    class Texts:
        def text(self) -> str:
            return "Texts"

    plan: Any = type("Plan", (), {"endless": False, "last_step": 60, "steps_per_epoch": 20.0})()
    lines = list(before_start(Texts(), plan, 1.0, control=run_of(CONTROL)))  # type: ignore[arg-type]
    assert lines[-1] == (
        "Two runs: this one, then its control, films-control, the same training from random weights, about 2 min "
        "together."
    )
    assert len(list(before_start(Texts(), plan, 1.0))) == 2  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_has_the_option_and_ends_with_the_code_of_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["finetune-classifier", "reviews.csv", "--run-name", RUN, "--control"]
    shown = CliRunner().invoke(cli, [*words, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["test"]["baselines"][-1]["name"] == "random weights"
    result = train(RUN)
    stopped = replace(result, control=replace(result.control, reason="interrupted"))
    monkeypatch.setattr("gpt2simple.api.functions.finetune_classifier", lambda *_, **__: stopped)
    assert CliRunner().invoke(cli, words).exit_code == 130
