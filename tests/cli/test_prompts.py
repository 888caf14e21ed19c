"""Prompts on the command line: from words, files and standard input, and their answers in order."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.session import Session
from gpt2simple.cli import prompts
from gpt2simple.cli.group import cli
from gpt2simple.cli.prompts import read_prompts, typed_prompts
from gpt2simple.errors import DataError
from tests.cli.test_commands import environment
from tests.cli.test_generate import stop_after
from tests.helpers.hostile import JSON, changed, require_clear
from tests.helpers.pair_runs import RUN, write_pair_run
from tests.helpers.small_runs import work_in, write_small_model

OPTIONS = ("--run-name", RUN, "--length", "4")
CHAT = [{"role": "user", "content": "c7"}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on pairs."""
    folder = tmp_path_factory.mktemp("prompts")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        write_pair_run(folder)
    return folder


def run(*words: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [*words, *OPTIONS], input=text)


@pytest.fixture
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


# --- reading ---


def written(folder: Path, content: str, name: str = "a.txt") -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def from_file(path: str) -> list[Any]:
    return read_prompts("PROMPT", (), (path,), "utf-8")


def test_lines_are_texts_or_json(tmp_path: Path) -> None:
    answered = [*CHAT, {"role": "assistant", "content": "d"}]
    lines = [
        '{"prompt": "a\\nb", "completion": "c"}', json.dumps({"messages": answered}), json.dumps({"prompt": CHAT}),
        '{"Instruction": "Go.", "input": "left", "output": "right"}', '{"instruction": "Go."}',
    ]  # fmt: skip
    read = ["a\nb", CHAT, CHAT, {"instruction": "Go.", "input": "left"}, {"instruction": "Go.", "input": ""}]
    texts = ['"quoted"', "{not JSON", '{"text": "x"}', "[1]"]
    assert from_file(written(tmp_path, "\r\n".join(["one\u2028", " ", *lines, *texts]))) == ["one\u2028", *read, *texts]
    assert from_file(written(tmp_path, "\n".join(['"a b"', "", *lines]), "a.jsonl")) == ["a b", *read]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one", r'line 2: this is not JSON \(.*\); expected a string, {"prompt": ...}, {"mess'),
        ('{"instruction": 5}', r'5\}; .*\.\.\.\]} or {"instruction": \.\.\., "input": \.\.\.}\. Cor'),
        ('{"instruction": "half \\ud83d"}', r"line 2: found \{'instruction': 'half"),
        ("3", r"line 2: found 3; expected a string"),
        ('{"text": "a"}', r"line 2: found \{'text': 'a'\}; expected a string"),
        ('{"prompt": " "}', r"line 2: found ' '; expected a string"),
        ('{"messages": []}', r"line 2: found \[\]; expected a string"),
        ('{"messages": [{"role": "user"}]}', r"line 2: found \[\{'role': 'user'\}\]; expected a string"),
        ('"half \\ud83d"', r"line 2: found 'half"),
        ("[" * 500 + "]" * 500, r"line 2: this is not JSON \(it is nested"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_prompt_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, f'"a"\n{line}\n', "a.jsonl")
    with pytest.raises(DataError, match=message) as caught:
        from_file(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")


def test_hostile_lines(tmp_path: Path) -> None:
    for number, content in enumerate(JSON.values()):
        (tmp_path / f"{number}.jsonl").write_bytes(content)
        require_clear(lambda number=number: from_file(str(tmp_path / f"{number}.jsonl")), tmp_path)
    for record in (
        {"prompt": "a"},
        {"instruction": "a", "input": "b"},
        {"messages": CHAT},
        {"prompt": CHAT[0]},
        CHAT[0],
    ):
        for copy in changed(record):
            for value in (copy, {"messages": [copy]}):
                path = written(tmp_path, json.dumps(value), "b.jsonl")
                require_clear(lambda path=path: from_file(path), tmp_path)


def pipe_in(monkeypatch: pytest.MonkeyPatch, *parts: bytes, terminal: bool = False) -> None:
    """Standard input of which each read gives a part."""
    arriving = iter(parts)
    buffer = SimpleNamespace(read1=lambda _=-1: next(arriving, b""))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=buffer, isatty=lambda: terminal))


def test_typed_lines_come_as_soon_as_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(
        monkeypatch, b"one\ntwo\r\n", b"\n", b'{"prompt": "th', 'rée"}\nzo'.encode(), "ë".encode()[:1], "ë".encode()[1:]
    )
    assert list(typed_prompts("utf-8")) == [["one", "two"], ["thrée"], ["zoë"]]
    pipe_in(monkeypatch, b"\xff\xfe", "a\n".encode("utf-16-le"))
    assert list(typed_prompts("utf-8")) == [["a"]]


def test_no_line_is_an_error_of_a_pipe_and_none_of_a_person(
    monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    pipe_in(monkeypatch, b" \n")
    with pytest.raises(DataError, match=r"^standard input holds no prompt\. Give prompts, or --file with a prompt on"):
        list(typed_prompts("utf-8"))
    assert messages == []
    pipe_in(monkeypatch, terminal=True)
    assert list(typed_prompts("utf-8")) == []
    assert messages == ["Type a prompt and press Enter. Ctrl-D ends this; on Windows, Ctrl-Z and Enter."]


def test_what_cannot_be_read_from_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_in(monkeypatch, b"a\n\xe9\n")
    with pytest.raises(DataError, match=r"^standard input: byte 2 \(0xe9\) is not utf-8"):
        list(typed_prompts("utf-8"))
    pipe_in(monkeypatch, b'a\n{"prompt": 3}\nb\n')
    prompts = typed_prompts("utf-8")
    assert next(prompts) == ["a"]
    with pytest.raises(DataError, match=r"^standard input, line 2: found 3; expected a string"):
        next(prompts)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(
        click.UsageError, match=r"^No prompt was given, and standard input is closed\. Give prompts, or"
    ):
        list(typed_prompts("utf-8"))


# --- answering ---


@pytest.mark.usefixtures("_inside")
def test_answers_are_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    assert run("answer", "c7", "a1").stdout == "d\nb\n"
    assert run("answer", "-", text="c7\n").stdout == "d\n"
    path = written(tmp_path, '"c7"\n\n{"prompt": "a1"}\n' + json.dumps({"messages": CHAT}), "a.jsonl")
    assert run("answer", "--file", path).stdout == "d\nb\nd\n"
    done = run("answer", "--file", path, "--json")
    assert json.loads(done.stdout) == [
        {"prompt": "c7", "output": "d"}, {"prompt": "a1", "output": "b"}, {"prompt": CHAT, "output": "d"},
    ]  # fmt: skip
    assert done.stdout == json.dumps(json.loads(done.stdout), indent=2) + "\n"


@pytest.mark.usefixtures("_inside")
def test_without_a_prompt_standard_input_is_answered_line_by_line() -> None:
    assert run("answer", text="c7\n\na1").stdout == "d\nb\n"
    done = run("answer", "--json", text="c7\na1")
    assert [one["output"] for one in json.loads(done.stdout)] == ["d", "b"]
    done = run("answer", text="")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("Error: standard input holds no prompt.")


@pytest.mark.usefixtures("_inside")
def test_generate_takes_prompts(tmp_path: Path) -> None:
    greedy = ("--temperature", "0", "--sample-delim", "|\n")
    assert run("generate", "--prompt", "c7", "--prompt", "-", *greedy, text="a1\n").stdout == "d\n|\nb\n|\n"
    path = written(tmp_path, '{"prompt": "a1"}\nc7\n')
    assert run("generate", "--prompt-lines", path, *greedy).stdout == "b\n|\nd\n|\n"
    done = run("generate", "--prompt-lines", path, "--temperature", "0", "--json")
    samples = json.loads(done.stdout)["samples"]
    assert [(sample["prompt"], sample["text"]) for sample in samples] == [("a1", "b"), ("c7", "d")]
    assert "prefix" not in samples[0]


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("answer", "a", "--file", "b"), "Give prompts, or --file with a prompt on each line: one of the two."),
        (("answer", " "), "A prompt is ' '; expected a text that is not blank"),
        (("generate", "--prompt", ""), "A prompt is ''; expected a text that is not blank"),
        (("generate", "--prompt", "a", "--prefix", "b"), "--prefix and --prompt were both given; give one of the two."),
        (
            ("generate", "--prompt-lines", "a", "--prefix-file", "b"),
            "--prefix-file and --prompt-lines were both given; give one of the two.",
        ),
        (
            ("generate", "--prompt-lines", "a", "--prompt", "b"),
            "--prompt and --prompt-lines were both given; give one of the two.",
        ),
        (("answer", "--prompt-lines", "absent"), "No such option"),
        (("answer", "--file", "absent"), "There is no file 'absent'"),
    ],
)
def test_what_does_not_fit_is_refused(words: tuple[str, ...], message: str) -> None:
    done = run(*words)
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.stderr.split())


def test_that_a_run_answers_no_prompts_is_told_before_one_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(monkeypatch, tmp_path)
    write_small_model(tmp_path / "small")
    never = (pytest.fail("a prompt was asked for") for _ in range(1))
    monkeypatch.setattr(prompts, "typed_prompts", lambda encoding: never)
    done = CliRunner().invoke(cli, ["answer", "--model-name", "small"])
    assert done.exit_code == 2
    assert "The model is not that of a run on pairs" in " ".join(done.stderr.split())


@pytest.mark.usefixtures("_inside")
def test_ctrl_c_leaves_whole_answers_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 2)
    words = ("answer", "c7", "a1", "c3", "--batch-size", "1")
    for how, shown in (((), "d\nb\n"), (("--json",), None)):
        done = run(*words, *how)
        assert done.exit_code == 130
        assert done.stderr.splitlines()[-2:] == ["Stopped with 2 of 3 prompts answered.", "Interrupted."]
        assert done.stdout == shown if shown else [one["output"] for one in json.loads(done.stdout)] == ["d", "b"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize(("stdout", "shown"), [(io.StringIO, True), (Terminal, False)])
def test_a_bar_counts_prompts_unless_answers_go_to_the_terminal(
    stdout: type[io.StringIO], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2simple.api.console.BAR_DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", said := Terminal())
    monkeypatch.setattr(sys, "stdout", stdout())
    with pytest.raises(SystemExit):
        cli(["answer", "c7", "a1", *OPTIONS], prog_name="gpt2simple")
    assert ("Prompts: " in said.getvalue()) is shown


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_each_line_of_a_pipe_is_answered_at_once_and_ctrl_c_ends_it(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gpt2simple", "answer", *OPTIONS], cwd=place, env=environment(place), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Shells start what stands before "&" with Ctrl-C switched off, and a test run from there would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        for prompt, answer in (("c7", "d"), ("a1", "b")):
            child.stdin.write(f"{prompt}\n")
            child.stdin.flush()
            assert child.stdout.readline() == f"{answer}\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err


@pytest.mark.usefixtures("_inside")
def test_each_answer_is_written_when_it_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    original, seen = Session.pieces_of, []

    def watched(session: Session, request: GenerateRequest) -> Any:
        for piece in original(session, request):
            yield piece
            if piece.finish_reason is not None:
                seen.append(sys.stdout.getvalue())  # type: ignore[attr-defined]

    monkeypatch.setattr(Session, "pieces_of", watched)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SystemExit):
        cli(["answer", "c7", "a1", "--batch-size", "1", *OPTIONS], prog_name="gpt2simple")
    assert seen == ["d\n", "d\nb\n"]
