"""A run that is stopped and goes on equals the straight one bit for bit, with dropout."""

import functools
import os
import signal
import subprocess
import sys

import pytest

from gpt2simple.api.session import Session
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.writer import RunWriter
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import differing, last_state, write_model_and_text
from tests.helpers.training import InterruptIn

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
    return write_model_and_text(tmp_path_factory.mktemp("resume"), "model")


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


@pytest.fixture(scope="module")
def straight(place):
    """What a run without a stop leaves, by precision."""

    @functools.cache
    def state_of(precision):
        assert finetune(place, f"straight-{precision}", precision).reason == "finished"
        return state(place, f"straight-{precision}")

    return state_of


@pytest.mark.parametrize(
    ("precision", "stops"), [("float32", (1, 5)), pytest.param("bfloat16", (3,), marks=pytest.mark.slow)]
)
def test_stopped_by_ctrl_c_and_resumed(place, straight, precision, stops):
    stopped, done = f"stopped-{precision}", 0
    with open_session(place, stopped, precision) as session:
        for stop in stops:
            result = finetune(place, stopped, precision, session=session, callbacks=InterruptIn(stop - done - 1))
            assert (result.reason, result.steps) == ("interrupted", stop)
            done = stop
        assert state(place, stopped)["step"] == done
    result = finetune(place, stopped, precision)  # in another session
    assert (result.reason, result.steps) == ("finished", 6)
    assert len(straight(precision)["recorded"]) == 6
    assert differing(state(place, stopped), straight(precision)) == []


def test_the_comparison_would_notice_another_seed(place, straight):
    finetune(place, "other", "float32", seed=7)
    assert len(differing(state(place, "other"), straight("float32"))) > 28


def pressing_ctrl_c(function):
    """The function, with Ctrl-C pressed as it begins."""

    @functools.wraps(function)
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments)

    return interrupted


@pytest.mark.parametrize("moment", ["in the last step", "at the end", "while the best weights are loaded"])
def test_ctrl_c_in_the_last_moments_of_a_run_that_is_done_waits_until_all_is_done(place, monkeypatch, moment):
    """After the loop, Ctrl-C broke off what was left to do: no mark of why it ended, no model in the session."""
    callback = InterruptIn(1) if moment == "in the last step" else None
    name = f"last-{moment.replace(' ', '-')}"
    if moment == "at the end":
        monkeypatch.setattr(RunWriter, "mark_ended", pressing_ctrl_c(RunWriter.mark_ended))
    elif moment == "while the best weights are loaded":
        monkeypatch.setattr(LoadedModel, "refill", pressing_ctrl_c(LoadedModel.refill))
    with open_session(place, name, "float32") as session:
        with pytest.raises(KeyboardInterrupt):  # a script does not go on to its next call
            finetune(place, name, "float32", session=session, callbacks=callback, steps=2)
        monkeypatch.undo()
        assert session.generate("The ", length=2)[0].startswith("The ")
        assert session.run_dir.name == name
        result = finetune(place, name, "float32", session=session, steps=2)
        assert (result.reason, result.steps) == ("done", 2)
    info = RunInfo.read(place / "checkpoint" / name)
    assert (info.ended, info.latest_step) == ("finished", 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_saves_and_ends_the_process(place):
    program = f"""
import signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.training import test_resume as this
this.finetune(Path({str(place)!r}), "stopped", "float32", callbacks=this.InterruptIn(0, signal.SIGTERM))
print("the next call")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr
    info = RunInfo.read(place / "checkpoint" / "stopped")
    assert (info.ended, info.latest_step) == ("interrupted", 1)
    assert finetune(place, "stopped", "float32").reason == "finished"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_while_the_best_weights_are_loaded_ends_the_process(place):
    program = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.training import test_resume as this
refill = this.LoadedModel.refill
def stopped(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return refill(*arguments)
this.LoadedModel.refill = stopped
this.finetune(Path({str(place)!r}), "terminated", "float32", steps=2)
print("the next call")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")  # a shell says 143
    info = RunInfo.read(place / "checkpoint" / "terminated")
    assert (info.ended, info.latest_step) == ("finished", 2)
    assert finetune(place, "terminated", "float32", steps=2).reason == "done"


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
    whole, stopped = f"straight-process-{precision}", f"stopped-process-{precision}"
    for arguments in ([whole], [stopped, "0"], [stopped, "2"], [stopped]):
        subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
    assert state(place, whole)["step"] == 6
    assert differing(state(place, stopped), state(place, whole)) == []
