"""Completion: what the shells are told, by click's protocol and in a real bash, and how little that loads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from gpt2simple.cli.group import cli
from gpt2simple.runs.layout import RUN_FILE
from tests.helpers.paths import ROOT

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs in two places and a model; the current one."""
    for run in ("checkpoint/play", "checkpoint/plain", "checkpoint/other", "elsewhere/there"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / RUN_FILE).write_text("{}", encoding="ascii")
    (tmp_path / "checkpoint" / "plan").mkdir()  # no run
    for model in ("suomi", "writers/small@v1"):
        (tmp_path / "models" / model).mkdir(parents=True)
        (tmp_path / "models" / model / "config.json").write_text("{}", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(line: str) -> list[str]:
    """What the last word of a line is completed to; files and folders as what the shell is asked for."""
    *words, last = line.split(" ")[1:]
    items = ShellComplete(cli, {}, "gpt2simple", "_GPT2SIMPLE_COMPLETE").get_completions(words, last)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gpt2simple fine", ["finetune", "finetune-classifier"]),
        ("gpt2simple finetune --lora-t", ["--lora-targets"]),
        ("gpt2simple generate --run-name pla", ["plain", "play"]),
        ("gpt2simple generate --checkpoint-dir elsewhere --run-name ", ["there"]),
        ("gpt2simple generate --checkpoint-dir absent --run-name ", []),
        ("gpt2simple generate --checkpoint-dir text.txt --run-name ", []),
        ("gpt2simple report pla", ["plain", "play"]),
        ("gpt2simple report play o", ["other"]),
        ("gpt2simple export pla", ["plain", "play"]),
        ("gpt2simple push --checkpoint-dir elsewhere ", ["there"]),
        ("gpt2simple export play --path ", ["<file>"]),
        ("gpt2simple info pla", ["plain", "play"]),
        ("gpt2simple info 7", ["774M"]),
        ("gpt2simple info wri", ["writers/small@v1"]),
        ("gpt2simple finetune text.txt --model-name s", ["suomi"]),
        ("gpt2simple finetune text.txt --model-dir . --model-name s", ["<dir>"]),
        ("gpt2simple download 3", ["355M"]),
        ("gpt2simple finetune ", ["<file>"]),
        ("gpt2simple finetune one.txt two", ["<file>"]),
        ("gpt2simple finetune --config ", ["<file>"]),
        ("gpt2simple finetune --validation-file ", ["<file>"]),
        ("gpt2simple finetune --checkpoint-dir ", ["<dir>"]),
        ("gpt2simple finetune --restore-from ", ["latest", "best", "fresh", "random"]),
        ("gpt2simple finetune --restore-from check", ["<dir>"]),
        ("gpt2simple finetune --schedule c", ["constant", "cosine"]),
        ("gpt2simple finetune --lora-targets mlp", ["mlp.c_fc", "mlp.c_proj"]),
        ("gpt2simple compare ", ["<file>"]),
        ("gpt2simple compare text.txt 1", ["124M", "1558M"]),
        ("gpt2simple compare text.txt tex", ["<file>"]),
        ("gpt2simple compare text.txt --methods l", ["lora"]),
        ("gpt2simple completion ", ["bash", "zsh", "fish"]),
        ("gpt2simple encode text.txt --out-path ", ["<file>"]),
        ("gpt2simple answer --file ", ["<file>"]),
    ],
)
def test_words_are_completed_by_what_is_wanted_there(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


def test_a_folder_that_cannot_be_read_has_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refused)
    assert completed("gpt2simple generate --run-name pla") == []


FREE = {  # words of the user's own, which nothing can complete
    "sample_delim", "special_tokens", "encoding", "column", "template", "delimiter", "prompt_column", "stop", "end",
    "completion_column", "label_column", "separator", "prefix", "prompt", "text", "bad_words", "truncate", "eval_every",
    "language", "license", "name", "base_url", "endpoint", "repo_id",
}  # fmt: skip
RUNS_AND_MODELS = {  # words that runs, models or both complete, by the name of their parameter
    "run_name": {"other", "plain", "play"},
    "model_name": {"124M", "suomi"},
    "model": {"124M", "suomi"},
}


def test_every_argument_and_option_is_completed_or_a_word_of_the_users_own() -> None:
    for command in cli.commands.values():
        for parameter in command.params:
            items, where = parameter.shell_complete(click.Context(command), ""), f"{command.name} {parameter.opts}"
            if expected := RUNS_AND_MODELS.get(str(parameter.name)):
                assert {item.value for item in items} >= expected, where
            elif not items and parameter.type.name in ("text", "integer|text"):
                assert parameter.name in FREE, f"{where} is completed by nothing: name a completer, or put it into FREE"


def test_every_option_that_takes_a_path_is_completed() -> None:
    for command in cli.commands.values():
        for option in command.params:
            name = str(option.name)
            names_a_path = name == "files" or name.endswith(("_dir", "_file", "path", "folder", "config"))
            if isinstance(option, click.Option) and names_a_path:
                items = option.shell_complete(click.Context(command), "x")
                assert [item.type for item in items] in (["file"], ["dir"]), f"{command.name} {option.opts}"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_says_how_to_install_it(shell: str) -> None:
    shown = CliRunner().invoke(cli, ["completion", shell])
    assert shown.exit_code == 0, shown.stderr
    (line,) = [line for line in shown.stdout.splitlines() if "To install this" in line]
    assert line.startswith(f"# To install this: gpt2simple completion {shell} > ~/")
    assert f"_GPT2SIMPLE_COMPLETE={shell}_complete" in shown.stdout
    assert shown.stdout.startswith("#compdef gpt2simple\n") is (shell == "zsh")  # zsh looks at the first line


def test_another_shell_is_refused() -> None:
    refused = CliRunner().invoke(cli, ["completion", "csh"])
    assert refused.exit_code == 2
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in refused.stderr


@pytest.fixture
def program(place: Path) -> dict[str, str]:
    """An environment in which `gpt2simple` is this package's command."""
    script = place / "bin" / "gpt2simple"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpt2simple "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


def in_shell(shell: str, program: str, environment: dict[str, str]) -> list[str]:
    options = {"bash": ["--norc", "--noprofile"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *options, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_real_bash_completes(program: dict[str, str]) -> None:
    asked = (
        'eval "$(gpt2simple completion bash)"; COMP_WORDS=(gpt2simple generate --run-name pla); COMP_CWORD=3; '
        '_gpt2simple_completion gpt2simple; printf "%s\\n" "${COMPREPLY[@]}"; complete -p gpt2simple'
    )
    assert in_shell("bash", asked, program) == [
        "plain",
        "play",
        "complete -o nosort -F _gpt2simple_completion gpt2simple",
    ]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_a_real_fish_completes(program: dict[str, str]) -> None:
    asked = 'gpt2simple completion fish | source; complete -C "gpt2simple generate --run-name pla"'
    assert in_shell("fish", asked, program) == ["plain", "play"]


def test_completing_loads_no_tensorflow_and_no_arrays(place: Path) -> None:
    slow = {"tensorflow", "tf_keras", "transformers", "numpy", "requests", "tqdm", "h5py"}
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', *sorted({slow!r} & {{m.split('.')[0] for m in sys.modules}})))\n"
        "from gpt2simple.__main__ import main; main()"
    )
    cases = {"generate --run-name pla": ["plain,plain", "plain,play"], "info s": ["plain,suomi"]}
    for words, expected in cases.items():
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "_GPT2SIMPLE_COMPLETE": "bash_complete",
            "COMP_WORDS": f"gpt2simple {words}", "COMP_CWORD": str(len(words.split())),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines() == [*expected, "LOADED"], done.stderr
