"""What becomes of generated text on the command line when somebody stops it, or nobody reads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import session_case
from click.testing import CliRunner, Result
from test_cli import environment

from gpt2simple.cli import cli
from gpt2simple.generation.samples import Piece
from gpt2simple.session import Session

DELIM = "=" * 20 + "\n"
SMALL = ("generate", "--model-name", "small", "--precision", "float32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model."""
    folder = tmp_path_factory.mktemp("generate")
    session_case.write_small_model(folder / "small")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*SMALL, *words])


def stop_after(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    """Let Ctrl-C come when some samples are done."""
    original = Session.pieces

    def stopped(session: Session, *arguments: Any, **settings: Any) -> Iterator[Piece]:
        done = 0
        for piece in original(session, *arguments, **settings):
            yield piece
            done += piece.finish_reason is not None
            if done == samples:
                raise KeyboardInterrupt

    monkeypatch.setattr(Session, "pieces", stopped)


def test_ctrl_c_leaves_whole_samples_in_the_file_and_says_how_many(place: Path) -> None:
    path = place / "many.txt"
    words = [*SMALL, "--nsamples", "100000", "--length", "9", "--prefix", "The ", "--destination-path", path.name]
    command = [sys.executable, "-m", "gpt2simple", *words]
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment(place),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Shells start what stands before "&" with Ctrl-C switched off, and a test run from there would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:
        while child.poll() is None and not (path.exists() and path.stat().st_size > 2000):
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    samples = path.read_text(encoding="utf-8").split(DELIM)
    assert samples.pop() == ""
    assert all(sample.startswith("The ") and sample.endswith("\n") for sample in samples)
    assert err.splitlines()[-2:] == [
        f"Stopped with {len(samples)} of 100000 samples finished; they are in many.txt.",
        "Interrupted.",
    ]
    assert out == ""


def test_ctrl_c_ends_the_line_and_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("--nsamples", "4", "--length", "6", "--seed", "1", "--batch-size", "1", "--json")
    texts = [sample["text"] for sample in json.loads(whole.stdout)["samples"]]
    stop_after(monkeypatch, 2)
    words = ("--nsamples", "4", "--length", "6", "--seed", "1", "--batch-size", "1")
    as_json = run(*words, "--json")
    assert [sample["text"] for sample in json.loads(as_json.stdout)["samples"]] == texts[:2]
    assert as_json.stderr.splitlines()[-2:] == ["Stopped with 2 of 4 samples finished.", "Interrupted."]
    assert as_json.exit_code == 130
    shown = run(*words)
    assert shown.stdout == "".join(f"{text}\n{DELIM}" for text in texts[:2])
    assert shown.stderr.splitlines()[-2:] == ["Stopped with 2 of 4 samples finished.", "Interrupted."]
    assert shown.exit_code == 130
    in_folder = run(*words, "--folder", "cut", "--nfiles", "3")
    (left,) = Path("cut").iterdir()
    assert left.read_text(encoding="utf-8") == shown.stdout
    assert in_folder.stderr.splitlines()[-2] == f"Stopped with 2 of 4 samples finished; they are in {left}."


def test_an_error_before_the_first_token_prints_no_json() -> None:
    done = CliRunner().invoke(cli, ["generate", "--run-name", "nope", "--json"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Error: There is no run 'nope'" in done.stderr
