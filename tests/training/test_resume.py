"""A run that is stopped and goes on equals the straight one bit for bit, with dropout."""

import os
import signal
import subprocess
import sys

import pytest

from gpt2simple.api.session import Session
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.writer import RunDirectory
from tests.helpers.paths import ROOT
from tests.helpers.training import InterruptIn
from tests.helpers.training_runs import differing, last_state, write_model, write_text

SETTINGS = {
    "steps": 6,
    "batch_size": 2,
    "accumulate_gradients": 2,
    "window": 16,
    "dropout": 0.1,
    "learning_rate": 1e-2,
    "schedule": "linear",
    "warmup_steps": 2,
    "seed": 2**40 + 1,
    "eval_every": 4,
    "sample_every": 3,  # sampling between steps must draw nothing that training draws
    "sample_length": 5,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_model(folder / "model")
    write_text(folder / "text.txt")
    return folder


def open_session(place, run_name, precision):
    return Session(str(place / "model"), run_name=run_name, checkpoint_dir=place / "checkpoint", precision=precision)


def finetune(place, run_name, precision, *, callbacks=None, session=None, **changes):
    settings = SETTINGS | changes
    if session is not None:
        return session.finetune(place / "text.txt", callbacks=callbacks, **settings)
    with open_session(place, run_name, precision) as own:
        return own.finetune(place / "text.txt", callbacks=callbacks, **settings)


def state(place, run_name):
    return last_state(place / "checkpoint" / run_name)


@pytest.mark.parametrize(("precision", "stops"), [("float32", (1, 2, 5)), ("bfloat16", (3,))])
def test_stopped_by_ctrl_c_and_resumed(place, precision, stops):
    straight, stopped = f"straight-{precision}", f"stopped-{precision}"
    assert finetune(place, straight, precision).reason == "finished"
    done = 0
    with open_session(place, stopped, precision) as session:
        for stop in stops:
            result = finetune(place, stopped, precision, session=session, callbacks=InterruptIn(stop - done - 1))
            assert (result.reason, result.steps) == ("interrupted", stop)
            done = stop
        assert state(place, stopped)["step"] == done
    result = finetune(place, stopped, precision)  # in another session
    assert (result.reason, result.steps) == ("finished", 6)
    assert len(state(place, straight)["recorded"]) == 6
    assert differing(state(place, stopped), state(place, straight)) == []


@pytest.mark.parametrize("moment", ["in the last step", "at the end", "while the best weights are loaded"])
def test_ctrl_c_in_the_last_moments_of_a_run_that_is_done_changes_nothing(place, monkeypatch, moment):
    """After the loop, Ctrl-C broke off what was left to do: no mark of why it ended, no model in the session."""

    def press(usual):
        return lambda *arguments: [os.kill(os.getpid(), signal.SIGINT), usual(*arguments)][1]

    callback = InterruptIn(1) if moment == "in the last step" else None
    name = f"last-{moment.replace(' ', '-')}"
    if moment == "at the end":
        monkeypatch.setattr(RunDirectory, "mark_ended", press(RunDirectory.mark_ended))
    elif moment == "while the best weights are loaded":
        monkeypatch.setattr(LoadedModel, "refill", press(LoadedModel.refill))
    with open_session(place, name, "float32") as session:
        try:
            result = finetune(place, name, "float32", session=session, callbacks=callback, steps=2)
        except KeyboardInterrupt:  # which would end the tests too
            pytest.fail("Ctrl-C broke off what was left to do")
        assert (result.reason, result.steps) == ("finished", 2)
        assert "finished at step 2" in result.summary()
        monkeypatch.undo()
        assert session.generate("The ", length=2)[0].startswith("The ")
    info = RunInfo.read(place / "checkpoint" / name)
    assert (info.ended, info.latest_step) == ("finished", 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_comparison_would_notice_another_seed(place):
    finetune(place, "other", "float32", seed=7)
    assert len(differing(state(place, "other"), state(place, "straight-float32"))) > 28


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_in_fresh_processes(place, precision):
    """Nothing that lives in the process (compiled functions, random state) may count."""
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.training import test_resume as this
interrupt = this.InterruptIn(int(sys.argv[2])) if len(sys.argv) > 2 else None
this.finetune(Path({str(place)!r}), sys.argv[1], {precision!r}, callbacks=interrupt)
"""
    straight, stopped = f"straight-process-{precision}", f"stopped-process-{precision}"
    for arguments in ([straight], [stopped, "0"], [stopped, "2"], [stopped]):
        subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
    assert state(place, straight)["step"] == 6
    assert differing(state(place, stopped), state(place, straight)) == []
