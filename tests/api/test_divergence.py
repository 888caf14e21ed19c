"""A run that diverges: what it keeps, and that the way on that its message names works."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from gpt2simple.api.session import Session
from gpt2simple.backend.keras import keras
from gpt2simple.errors import CheckpointError, TrainingError
from gpt2simple.runs.curves import Curves
from tests.helpers.small_runs import QUICK, write_model_and_text


class RateAfter(keras.callbacks.Callback):
    """Sets the learning rate after a step."""

    def __init__(self, step: int, rate: float) -> None:
        super().__init__()
        self._left, self._rate = step, rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._left -= 1
        if self._left == 0:
            self.model.optimizer.learning_rate = self._rate


@pytest.fixture
def session(tmp_path: Path) -> Session:
    write_model_and_text(tmp_path)
    return Session("small", precision="float32", model_dir=tmp_path, checkpoint_dir=tmp_path)


def settings_of(folder: Path) -> dict[str, Any]:
    one = {"validation_split": 0.0, "max_checkpoints": 1, "save_every": 4, "steps": 16}
    return QUICK | {"cache_dir": str(folder / "cache")} | one


@pytest.mark.parametrize(
    "step",
    [pytest.param(5, marks=pytest.mark.slow), 7],
    ids=["between two saves", "in the step that is to be saved"],
)
def test_the_last_good_checkpoint_is_kept_and_a_lower_rate_goes_on_from_it(
    session: Session, tmp_path: Path, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path)
    with (
        session,
        pytest.raises(TrainingError, match=r"^Training diverged: .* Step 4, saved before, is kept\. Continue"),
    ):
        session.finetune(tmp_path / "text.txt", callbacks=[RateAfter(step, 1e6)], **settings)
    assert "could not be saved" not in capsys.readouterr().err, "it must not, and the error says why"
    run = tmp_path / "run1"
    assert [folder.name for folder in run.glob("step-*")] == ["step-000004"]
    assert (run / "model.safetensors").samefile(run / "step-000004" / "model.safetensors")
    with Session(model_dir=tmp_path, checkpoint_dir=tmp_path, precision="float32") as again:
        result = again.finetune(tmp_path / "text.txt", **settings | {"learning_rate": 1e-4})
    assert (result.steps, result.reason) == (16, "finished")
    assert math.isfinite(result.train_loss)


def test_a_stopped_run_that_diverged_says_to_continue_with_a_lower_rate(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same call would go on at the rate that ruined it."""

    class PressCtrlC(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Curves, "kind", lambda *_: "diverged")
    with session:
        session.finetune(tmp_path / "text.txt", callbacks=[PressCtrlC()], **settings_of(tmp_path))
    hint = 'To continue: finetune(..., restore_from="fresh", overwrite=True, learning_rate=...).'
    assert f"Training diverged. {hint}" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_checkpoint_a_lower_rate_starts_again(session: Session, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with session, pytest.raises(TrainingError, match=r"No step was saved\. Start again with a lower learning_rate"):
        session.finetune(tmp_path / "text.txt", **settings | {"learning_rate": 1e6, "warmup_steps": 0})
    with Session("small", model_dir=tmp_path, checkpoint_dir=tmp_path, precision="float32") as again:
        result = again.finetune(tmp_path / "text.txt", **settings | {"learning_rate": 1e-4})
    assert result.steps == 16
    assert result.train_loss < 7.0


def test_a_sample_due_after_a_ruined_step_reports_the_divergence(session: Session, tmp_path: Path) -> None:
    settings = settings_of(tmp_path) | {"sample_every": 1, "sample_length": 2}
    with session, pytest.raises(TrainingError, match=r"^Training diverged: after step 6 .* Step 4, saved before"):
        session.finetune(tmp_path / "text.txt", callbacks=[RateAfter(5, 1e6)], **settings)


def test_weights_too_large_to_train_are_not_blamed_on_the_learning_rate(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "small" / "model.safetensors"
    weights = load_file(path)
    weights["transformer.ln_f.weight"][:] = 1e38
    save_file(weights, path, metadata={"format": "pt"})
    with session, pytest.raises(CheckpointError, match=r"^The loss or the gradient of the first step is not finite"):
        session.finetune(tmp_path / "text.txt", **settings_of(tmp_path))
