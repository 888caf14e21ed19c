"""The command that writes a model for other programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gpt2simple
from gpt2simple.cli.group import cli
from tests.cli.test_commands import environment
from tests.helpers.small_runs import QUICK, work_in, write_model_and_text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run."""
    folder = write_model_and_text(tmp_path_factory.mktemp("exporting"))
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune("text.txt", model_name="small", run_name="play", steps=2, window=16, **QUICK)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["export", *words])


def test_it_prints_the_path_of_what_it_wrote() -> None:
    done = run("play", "--format", "huggingface")
    assert (done.exit_code, done.stdout) == (0, "exports/play\n")
    assert "Exported the run play, step 2, to exports/play." in done.stderr
    as_json = run("play", "--format", "huggingface", "--path", "out", "--license", "mit", "--language", "en", "--json")
    assert json.loads(as_json.stdout) == {"run_name": "play", "format": "huggingface", "path": "out"}
    assert 'license: "mit"\nlanguage:\n- "en"\n' in Path("out/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("play", "Missing option '--format'. Choose from"),
        ("play --format onnx", "'onnx' is not one of 'gguf', 'huggingface'"),
        ("play --format huggingface --kind q8_0", "Error: kind is 'q8_0', which huggingface does not have"),
    ],
)
def test_misuse_says_what_is_wrong_and_exits_2(words: str, message: str) -> None:
    done = run(*words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_exporting_loads_no_tensorflow() -> None:
    script = (
        "import sys, gpt2simple\n"
        "gpt2simple.export('play', format='huggingface', path='alone')\n"
        "print([m for m in ('tensorflow', 'tf_keras', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment(Path.cwd())
    )
    assert done.stdout == "[]\n", done.stderr
