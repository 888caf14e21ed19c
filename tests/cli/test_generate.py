"""What becomes of generated text on the command line when somebody stops it, or nobody reads it."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from click.testing import CliRunner, Result

from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.session import Session
from gpt2simple.cli.group import cli
from gpt2simple.generation.samples import TextChunk
from tests.cli.test_commands import environment
from tests.helpers.small_runs import write_small_model

DELIM = "=" * 20 + "\n"
SMALL = ("generate", "--model-name", "small", "--precision", "float32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model."""
    folder = tmp_path_factory.mktemp("generate")
    write_small_model(folder / "small")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*SMALL, *words])


def stop_after(monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    """Let Ctrl-C come when some samples are done."""
    original = Session.pieces_of

    def stopped(session: Session, request: GenerateRequest) -> Iterator[TextChunk]:
        done = 0
        for piece in original(session, request):
            yield piece
            done += piece.finish_reason is not None
            if done == samples:
                raise KeyboardInterrupt

    monkeypatch.setattr(Session, "pieces_of", stopped)


@pytest.mark.slow
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
    written = "".join(f"{text}\n{DELIM}" for text in texts[:2])
    assert shown.stdout == written.replace("\r\n", "\n"), "as click's runner gives it"
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


FULL = (
    "Error: Cannot write standard output: the disk is full. Free some space or choose a folder on another disk, then "
    "run the same again."
)
CLOSED = "Error: Cannot write standard output: it is closed. Open it, or write to a file instead."
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="no shell of this kind")


def run_into(stdout: TextIO | None, *words: str) -> tuple[int, list[str]]:
    """The command with this as standard output: its exit code, and what it said but for the first line, the device."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as end:
            cli([*SMALL, "--length", "3", *words], prog_name="gpt2simple")
    first, *rest = said.getvalue().splitlines()
    assert first.startswith("Computing on")
    return end.value.code, rest  # type: ignore[return-value]


def run_in_shell(place: Path, shell: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, its output going where some words of a shell say."""
    command = shlex.join([sys.executable, "-m", "gpt2simple", *SMALL, *words])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {shell}"],
        cwd=place, env=environment(place), capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


@needs_full
@pytest.mark.parametrize("words", [(), ("--json",), ("--folder", "named"), ("--destination-path", "named.txt")])
def test_a_full_disk_behind_standard_output_is_one_line(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        assert run_into(full, *words) == (1, [FULL])
        assert full.closed  # else Python would try again at exit


@needs_full
@needs_shell
def test_a_full_disk_is_told_once_and_sets_the_exit_code(place: Path) -> None:
    done = run_in_shell(place, "> /dev/full", "--length", "3")
    assert (done.returncode, done.stderr.splitlines()[1:]) == (1, [FULL])


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_closed_standard_output_is_one_line(words: tuple[str, ...]) -> None:
    assert run_into(None, *words) == (1, [CLOSED])
    stdout = io.StringIO()
    stdout.close()
    assert run_into(stdout, *words) == (1, [CLOSED])


def test_a_file_is_written_without_a_standard_output_for_its_name() -> None:
    """As by a scheduled task on Windows, which has no console."""
    assert run_into(None, "--destination-path", "quiet.txt", "--prefix", "The") == (0, [])
    assert Path("quiet.txt").read_text(encoding="utf-8").startswith("The")


def test_each_prefix_of_a_file_gets_its_samples_and_other_prefixes_are_refused() -> None:
    Path("prompts.txt").write_text("The king\n\nThe queen\n", encoding="utf-8")
    done = run("--prefix-lines", "prompts.txt", "--nsamples", "2", "--length", "2", "--json")
    prefixes = [sample["prefix"] for sample in json.loads(done.stdout)["samples"]]
    assert prefixes == ["The king", "The king", "The queen", "The queen"]
    refused = run("--prefix-lines", "prompts.txt", "--prefix-file", "prompts.txt")
    assert refused.exit_code == 2
    assert "--prefix-file and --prefix-lines were both given; give one of the two." in refused.stderr


def test_a_blank_at_the_end_of_the_prefix_is_pointed_out_once() -> None:
    shown = run("--prefix", "The king ", "--nsamples", "2", "--folder", "hinted", "--nfiles", "2", "--length", "2")
    assert shown.stderr.count("The prefix ends in a space.") == 1


@needs_shell
def test_a_reader_that_has_seen_enough_ends_the_command_without_a_word(place: Path) -> None:
    done = run_in_shell(place, "| head -n 1", "--nsamples", "100000", "--length", "9", "--prefix", "The\n")
    assert (done.stdout, done.returncode) == ("The\n", 1)
    assert len(done.stderr.splitlines()) == 1  # the device


def test_characters_that_the_terminal_lacks_are_shown_as_codes_and_that_is_said() -> None:
    """They were once question marks, and no word was said."""
    data = io.BytesIO()
    with io.TextIOWrapper(data, encoding="cp1252") as terminal:
        code, said = run_into(terminal, "--prefix", "zoë ĳ")
        shown = data.getvalue().decode("cp1252")
    assert (code, len(said)) == (0, 1)
    assert shown.startswith("zoë \\u0133")
    assert said[0].startswith("Standard output is encoded in cp1252, which lacks some characters of the text")


def test_names_that_the_terminal_lacks_are_shown_as_codes() -> None:
    data = io.BytesIO()
    with io.TextIOWrapper(data, encoding="ascii") as terminal:
        code, _ = run_into(terminal, "--destination-path", "zoë.txt")
        assert (code, data.getvalue().strip()) == (0, b"zo\\xeb.txt")
    assert Path("zoë.txt").exists()


def test_other_errors_of_the_system_are_one_line_and_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "some\nfile")

    monkeypatch.setattr(Session, "pieces_of", broken)
    done = run("--length", "3")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: some file cannot be used: too many files are open. Close some in this program, or raise the limit "
        "(ulimit -n)."
    )
    assert isinstance(run("--length", "3", "--debug").exception, OSError)


def test_wrong_settings_are_refused_before_tensorflow_is_loaded(place: Path) -> None:
    script = (
        "import sys; from gpt2simple.cli.group import cli\n"
        "try: cli(['generate', '--temperature', '-1'], prog_name='gpt2simple')\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=environment(place), capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 False\n"
    assert done.stderr == "Error: temperature is -1.0; expected a finite number, at least 0.0 and at most 1000000.0.\n"
