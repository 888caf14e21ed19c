"""Streams that are full, closed, of another encoding or no terminal: results arrive, or one error says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpt2simple.cli.group import cli
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import work_in, write_model_and_text

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no shell of this kind, no disk always full")
SCORE = "score --model-name small --model-dir ."


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model and a text."""
    return write_model_and_text(tmp_path_factory.mktemp("streams"))


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(place: Path) -> Shell:
    def run(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
        environment = {**kept, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(place / "cache"), **variables}
        command = f"g() {{ '{sys.executable}' -m gpt2simple \"$@\"; }}; {line}"
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=place, env=environment, capture_output=True, text=True,
            encoding="utf-8", errors="surrogateescape", check=False,
        )  # fmt: skip

    return run


FULL = (
    "Error: A file cannot be used: the disk is full. Free some space or choose a folder on another disk, then run the "
    "same again.\n"
)


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("g --help > /dev/full", 1, "", FULL),
        ("g score --help > /dev/full", 1, "", FULL),
        ("g --version | true; echo ${PIPESTATUS[0]}", 0, None, ""),
        ("g --version >&-", 0, "", ""),
        ("g nonsense 2> /dev/full", 2, "", ""),
        ("g nonsense 2>&-", 2, "", ""),
        pytest.param("g report absent 2> /dev/full", 1, "", "", marks=pytest.mark.slow),
        pytest.param("g report absent 2> >(exec 0<&-)", 1, "", "", marks=pytest.mark.slow),
        ("g report absent <&- 2>&- >&-", 1, "", ""),
    ],
)
def test_a_stream_that_fails_ends_no_command_in_a_traceback(
    shell: Shell, line: str, code: int, out: str | None, err: str
) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr) == (code, err)
    assert out is None or done.stdout == out


@pytest.mark.parametrize(
    "where", ["2> /dev/full", *(pytest.param(where, marks=pytest.mark.slow) for where in ("2>&-", "2> >(exec 0<&-)"))]
)
def test_results_arrive_where_messages_cannot_be_written(shell: Shell, where: str) -> None:
    done = shell(f"g {SCORE} word {where}; g report absent {where}")
    assert '"text": "word"' in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_run_is_finished_where_its_progress_cannot_be_written(shell: Shell, place: Path) -> None:
    """With number 2 closed, a file of the run would get it, and TensorFlow's log would be written into that file."""
    train = "g finetune text.txt --model-name small --model-dir . --steps 2 --sample-every 0 --print-every 1"
    places = {"full": "2> /dev/full", "closed": "2>&- >&-"}
    done = shell(" && ".join(f"{train} --run-name {name} {where}" for name, where in places.items()))
    assert done.returncode == 0, done.stdout
    assert "finished at step 2" in done.stdout
    assert all((place / "checkpoint" / name / "model.safetensors").is_file() for name in places)


def test_the_reader_may_have_seen_enough(shell: Shell) -> None:
    done = shell(f"g {SCORE} word other third | head -c 5")
    assert (done.stdout, "Error" in done.stderr, "Traceback" in done.stderr) == ("[\n  {", False, False)


def invoke(*words: str, text: bytes | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(cli, list(words), input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*SCORE.split(), "-"), "TEXT - cannot be read ('utf-8' codec can't decode byte 0xe9 in position 0: "),
        (("generate", "--prefix", "-"), "--prefix - cannot be read ('utf-8' codec can't decode byte 0xe9 in position"),
        (("generate", "--prefix-file", "-"), "--prefix-file - cannot be read ('utf-8' codec can't decode byte 0xe9"),
    ],
)
def test_a_text_in_another_encoding_is_an_error_that_names_the_option(words: tuple[str, ...], message: str) -> None:
    code, output = invoke(*words, text=b"\xe9t\xe9")
    assert code == 2
    assert f"Error: {message}" in output
    assert (
        "expected a text in utf-8. Check the path, or name the encoding: --encoding cp1252, or whichever the text has."
        in output
    )


def test_and_with_that_option_it_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)
    code, output = invoke(*SCORE.split(), "-", "--encoding", "cp1252", text=b"\xe9t\xe9")
    assert (code, '"text": "\\u00e9t\\u00e9"' in output) == (0, True)


@pytest.mark.parametrize("encoding", ["klingon", "a" * 9999, "base64", "\udce9"])
def test_an_encoding_that_python_does_not_know_is_an_error(encoding: str) -> None:
    code, output = invoke(*SCORE.split(), "-", "--encoding", encoding, text=b"a")
    assert code == 2
    assert "expected a character encoding that Python knows" in output
    assert len(output) < 2000


@pytest.mark.parametrize(
    "words",
    [
        (*SCORE.split(), "\udce9"),
        ("generate", "--prefix", "\udce9", "--model-name", "small", "--model-dir", "."),
        ("generate", "--stop", "\udce9"),
        ("report", "\udce9"),
        ("finetune", "\udce9"),
        ("finetune", "text.txt", "--column", "\udce9"),
        ("encode", "text.txt", "--out-path", "absent/\ud800"),
        ("finetune", "text.txt", "--steps", "9" * 9999),
        ("finetune", "text.txt", "--steps", "x" * 100_000),
        ("finetune", "text.txt", "--schedule", "x" * 100_000),
        ("finetune", "text.txt", "--no-such" + "x" * 100_000),
        ("x" * 100_000,),
        ("report", "x" * 5000),
        ("finetune", "x/" * 5000),
        ("finetune", "a\0b"),
    ],
)
def test_what_a_shell_can_pass_is_one_short_error(
    words: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(monkeypatch, place)
    code, output = invoke(*words)
    assert code in (1, 2)
    assert output.count("Error: ") == 1
    assert len(output) < 2000


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    ],
)
def test_a_terminal_of_ascii_is_enough(shell: Shell, variables: dict[str, str]) -> None:
    done = shell("g report zoë; g info --checkpoint-dir zoë | tail -n 1; g nonsensë", **variables)
    assert ("Traceback" in done.stderr, done.stderr.count("Error: ")) == (False, 2)
    assert done.stdout == "Runs: none yet\n"
