"""The command line: options that are the settings, results on stdout, errors in one line, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gpt2simple import __version__
from gpt2simple.cli.group import cli
from gpt2simple.settings import (
    CompareClassifiersSettings,
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    LabelledTextSettings,
    TextSettings,
)
from gpt2simple.settings.session import FOR_SEVERAL_RUNS, ONE_CALL, PRECISIONS
from gpt2simple.settings.text import ENCODED, READING
from tests.helpers import small_runs
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import as_options, work_in, write_model_and_text

QUICK = as_options({**small_runs.QUICK, "precision": "float32"})
NOISE = ("I0000", "W0000", "E0000", "oneDNN", "cpu_feature_guard", "XLA", "Warning", "WARNING", "absl", "tensorflow/")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model and a text."""
    return write_model_and_text(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def run(*words: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), input=text)


def python(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=place, env=environment(place), capture_output=True, text=True, check=False)


def environment(place: Path) -> dict[str, str]:
    """As a user has it: without a log level of TensorFlow's, stdout buffered, and with this package on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONUNBUFFERED"))}
    return kept | {"PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(place / "cache")}


@pytest.mark.parametrize(
    ("command", "classes"),
    [
        ("finetune", (ONE_CALL, FinetuneSettings, TextSettings)),
        ("generate", (ONE_CALL, GenerateSettings)),
        ("evaluate", (ONE_CALL, EvaluateSettings, TextSettings)),
        ("score", (ONE_CALL,)),
        ("compare", (FOR_SEVERAL_RUNS, CompareSettings, TextSettings)),
        ("compare-classifiers", (FOR_SEVERAL_RUNS, CompareClassifiersSettings, LabelledTextSettings)),
        ("encode", (ENCODED,)),
        ("tokenizer", (READING,)),
        ("check", (READING,)),
    ],
)
def test_every_setting_is_an_option_with_its_default_and_help(command: str, classes: tuple[type, ...]) -> None:
    options = {option.name: option for option in cli.commands[command].params if isinstance(option, click.Option)}
    for field in [field for cls in classes for field in dataclasses.fields(cls)]:
        option = options[field.name]
        assert option.help is not None
        assert option.help.startswith(field.metadata["help"].replace("None:", "default:"))
        assert "None" not in option.help
        assert f"--{field.name.replace('_', '-')}" in option.opts
        if field.metadata["choices"] is not None:
            assert tuple(option.type.choices) == field.metadata["choices"]  # type: ignore[attr-defined]
    if ONE_CALL in classes:
        assert ("seed" in options) is (command in ("finetune", "generate")), "a session's own seed is no option"


def test_session_options_have_the_defaults_of_the_calls() -> None:
    import inspect

    from gpt2simple import finetune

    defaults = {name: p.default for name, p in inspect.signature(finetune).parameters.items()}
    options = {option.name: option for option in cli.commands["finetune"].params}
    # Under the group, as always: click remembers a command's help options from the first context it is given.
    group = cli.make_context("gpt2simple", ["--help"], resilient_parsing=True)
    unused = cli.commands["finetune"].make_context("finetune", ["text.txt"], parent=group).params
    for name in ("model_name", "run_name", "model_dir", "checkpoint_dir", "precision", "threads"):
        assert unused[name] == defaults[name], name
    assert tuple(options["precision"].type.choices) == PRECISIONS  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(cli.commands))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_an_example(command: str, flag: str) -> None:
    shown = run(command, flag)
    assert shown.exit_code == 0
    assert f"  gpt2simple {command}" in shown.output
    assert "--debug" in shown.output


def test_help_and_version_load_no_tensorflow(place: Path) -> None:
    script = (
        "import sys; from gpt2simple.cli.group import cli\n"
        "try: cli(sys.argv[1:], prog_name='gpt2simple')\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = ('tensorflow', 'tf_keras', 'transformers', 'requests', 'numpy', 'tqdm', 'filelock')\n"
        "print([m for m in slow if m in sys.modules])"
    )
    for words in (["--help"], ["--version"], ["generate", "--help"]):
        done = python(place, "-c", script, *words)
        assert done.stdout.endswith("[]\n"), done
        assert done.stderr == ""
    assert run("--version").output == f"gpt2simple, version {__version__}\n"


def test_without_click_the_entry_point_says_what_to_install(place: Path) -> None:
    script = "import sys; sys.modules['click'] = None\nfrom gpt2simple.__main__ import main; main()"
    done = python(place, "-c", script)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: the command line needs click, which is not installed. Run `pip install click`.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("finetune", "Missing argument 'DATASET...'"),
        ("finetune text.txt --learning-rate fast", "'fast' is not a valid float"),
        ("finetune text.txt --steps 5 --epochs 2", "Error: steps is 5 and epochs is 2.0; give one of the two."),
        ("finetune text.txt --dropout 2", "Error: dropout is 2.0; expected a finite number, at least 0.0 and at most"),
        ("finetune text.txt --eval-every often", "Error: eval_every is 'often'; expected a number of steps or"),
        ("generate --nfiles 2", "--nfiles needs --folder, which says where the files go."),
        ("generate --prefix a --prefix-file b", "--prefix and --prefix-file were both given; give one of the two."),
        ("generate --model-name small --run-name r", "Error: run_name is 'r' and model_name is 'small'; give the one"),
        ("generate --destination-path a --folder b", "--destination-path and --folder were both given"),
        (
            "generate --model-name small --checkpoint latest",
            "Error: checkpoint is 'latest' and model_name is 'small'; checkpoint chooses weights of a run.",
        ),
        ("evaluate text.txt --threads 0", "Error: threads is 0; expected a finite number, at least 1."),
        ("generate --json --folder b", "--json prints every sample; leave out --folder"),
        ("generate --logprobs", "--logprobs needs --json, which shows them."),
        ("generate --prefix-file absent.txt", "--prefix-file absent.txt cannot be read ("),
        ("generate --model-name small --temperature -1", "Error: temperature is -1.0; expected a finite number, at le"),
        ("download --model-name 125M", "Error: model_name is '125M', which is not a known model. Did you mean '124M'?"),
        ("tokenizer text.txt --vocab-size 12", "Error: vocab_size is 12; expected at least 257"),
        ("tokenizer text.txt --folder small", "Error: small is not empty, and nothing in it is replaced. Name a new"),
    ],
)
def test_misuse_says_what_is_wrong_and_exits_2(words: str, message: str) -> None:
    done = run(*words.split())
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("word", ["a\0b", "\ud800"])
@pytest.mark.parametrize("option", ["--destination-path", "--prefix"])
def test_what_no_shell_can_pass_is_refused_in_one_place(option: str, word: str) -> None:
    done = run("generate", option, word)
    assert done.exit_code == 2, done.output
    assert "Error: An argument holds NUL or half a surrogate pair. Leave that out." in done.stderr


def test_our_errors_are_one_line_and_debug_shows_the_traceback() -> None:
    done = run("finetune", "absent.txt", "--model-name", "small", *QUICK)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "absent.txt" in done.stderr.splitlines()[-1]
    for words in (["--debug", "generate", "--run-name", "nope"], ["generate", "--run-name", "nope", "--debug"]):
        debugged = run(*words)
        assert debugged.exit_code == 1
        assert type(debugged.exception).__name__ == "RunError"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finetune", "corpsu1", "corpsu2"], "Error: There is no file 'corpsu1' (seen from "),
        (["finetune", "text.txt", "corpsu2"], "Error: There is no file 'corpsu2' (seen from "),
        (["finetune", "plays*", "books*"], "Error: No file matches 'plays*' (seen from "),
        (["tokenizer", "corpsu1", "corpsu2", "--folder", "unmade"], "Error: There is no file 'corpsu1' (seen from "),
        (["encode", "corpsu1", "corpsu2", "--model-name", "small"], "Error: There is no file 'corpsu1' (seen from "),
    ],
)
def test_names_on_the_command_line_are_never_texts(words: list[str], message: str) -> None:
    """Two misspelt names were once a dataset of two texts, and a model was trained on their letters."""
    options = ["--model-name", "small", "--model-dir", ".", "--steps", "1", *QUICK] if words[0] == "finetune" else []
    done = run(*words, *options, *(["--model-dir", "."] if words[0] == "encode" else []))
    assert done.exit_code == 1, done.output
    assert done.stderr.splitlines()[-1].startswith(message)


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2simple.api import info

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "get_info", interrupted)
    done = run("info")
    assert (done.exit_code, done.stderr) == (130, "Interrupted.\n")


def test_ctrl_c_while_the_command_is_imported_exits_130(place: Path) -> None:
    script = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, *_):\n"
        "        raise KeyboardInterrupt\n"
        "from gpt2simple.__main__ import main\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "main()"
    )
    done = python(place, "-c", script)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_options_left_out_are_left_to_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was typed is passed on: the default of an option must not change a run that is continued."""
    from gpt2simple.api import functions

    calls: list[dict[str, Any]] = []

    def finetune(dataset: Any, **given: Any) -> Any:
        calls.append({"dataset": dataset, **given})
        raise KeyboardInterrupt

    monkeypatch.setattr(functions, "finetune", finetune)
    run("finetune", "a.txt", "b.txt", "--run_name", "r", "--column", "2", "--eval_every", "epoch", "--no-overwrite")
    assert calls == [
        {
            "dataset": ("a.txt", "b.txt"),
            "run_name": "r",
            "column": 2,
            "eval_every": "epoch",
            "overwrite": False,
        }
    ]


@dataclasses.dataclass
class RealRun:
    """The real command, stopped by Ctrl-C after three steps, and given again with two steps more than it had made."""

    stopped_with: int
    said: str
    saved_step: int
    resumed: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def real_run(place: Path) -> RealRun:
    words = ["-m", "gpt2simple", "finetune", "text.txt", "--model-name", "small", "--run_name", "real", *QUICK]
    forever = ["--print-every", "1", "--steps", "100000", "--eval-every", "50000"]
    with subprocess.Popen(
        [sys.executable, *words, *forever], cwd=place, env=environment(place), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        said = ""
        for line in child.stderr:
            said += line
            if line.startswith("step 3/"):
                child.send_signal(signal.SIGINT)
                break
        said += child.stderr.read()
        stopped_with = child.wait(60)
    saved_step = json.loads((place / "checkpoint" / "real" / "run.json").read_text())["latest_step"]
    resumed = python(place, *words, "--steps", str(saved_step + 2), "--json")
    return RealRun(stopped_with, said, saved_step, resumed)


def noise_in(shown: str) -> list[str]:
    assert "Computing on" in shown
    return [line for line in shown.splitlines() if any(noise in line for noise in NOISE)]


def test_ctrl_c_saves_and_the_same_command_goes_on(real_run: RealRun) -> None:
    assert real_run.stopped_with == 130, real_run.said
    assert real_run.saved_step >= 3
    assert real_run.resumed.returncode == 0, real_run.resumed.stderr
    assert f"Continuing checkpoint/real from step {real_run.saved_step}." in real_run.resumed.stderr
    result = json.loads(real_run.resumed.stdout)
    expected = (real_run.saved_step + 2, "finished", "checkpoint/real")
    assert (result["steps"], result["reason"], result["run_dir"]) == expected


def test_the_real_commands_make_no_noise(place: Path, real_run: RealRun) -> None:
    words = ["generate", "--run-name", "real", "--prefix", "The ", "--length", "6", "--seed", "1"]
    written = python(place, "-m", "gpt2simple", *words)
    assert written.returncode == 0, written.stderr
    assert written.stdout.startswith("The ")
    assert [noise_in(shown) for shown in (real_run.said, real_run.resumed.stderr, written.stderr)] == [[], [], []]


def test_texts_of_a_run_go_to_standard_output_and_into_files(real_run: RealRun) -> None:
    words = ["generate", "--run-name", "real", "--length", "4"]
    as_json = run(*words, "--nsamples", "2", "--prefix", "-", "--json", text="A b")
    samples = json.loads(as_json.stdout)["samples"]
    assert [sample["prefix"] for sample in samples] == ["A b", "A b"]
    assert {"text", "new_tokens", "prompt_tokens", "finish_reason", "tokens_per_second"} <= set(samples[0])
    files = run(*words, "--folder", "out", "--nfiles", "3", "--seed", "0")
    names = files.stdout.split()
    assert len(set(names)) == 3
    assert len({Path(name).read_text() for name in names}) == 3
    one = run(*words, "--destination-path", "one.txt")
    assert one.stdout == "one.txt\n"
    again = run(*words, "--destination-path", "one.txt")
    assert again.exit_code == 2
    assert "Error: one.txt exists, and is not overwritten." in again.stderr


def test_info_shows_runs_versions_and_models(real_run: RealRun) -> None:
    info = json.loads(run("info", "--json").stdout)
    step = real_run.saved_step + 2
    (run_info,) = (found for found in info["runs"] if found["name"] == "real")  # other tests leave runs here too
    assert (run_info["step"], run_info["model_name"]) == (step, "small")
    assert {"gpt2simple", "tensorflow"} <= set(info["versions"])
    assert {model["name"]: model["is_downloaded"] for model in info["models"]}["124M"] is False
    text = run("info").stdout
    assert f"real: step {step}" in text
    methods = {(entry["name"], entry["method"]): entry["memory_bytes"] for entry in info["training"]}
    assert methods["1558M", "full"] > 4 * methods["1558M", "bfloat16"] > 4 * methods["1558M", "int8"] > 8e9
    assert all(entry["seconds_per_step"] > 0.0 for entry in info["training"])
    assert re.search(r"full +LoRA, bfloat16 +LoRA, int8\n  124M +\d\.\d GB, \d+\.\d s +\d\.\d GB, ", text)


def test_check_finds_copies_and_exits_with_1_if_asked(place: Path) -> None:
    (place / "posts.jsonl").write_text('{"text": "one two"}\n{"text": "One, two!"}\n', encoding="utf-8")
    (place / "other.txt").write_text("three\n", encoding="utf-8")
    found = run("check", "posts.jsonl", "--column", "text", "--json")
    assert (found.exit_code, json.loads(found.stdout)["copies"]) == (0, 1)
    assert run("check", "posts.jsonl", "--strict").exit_code == 1
    clean = run("check", "other.txt", "--against", "posts.jsonl", "--strict")
    assert (clean.exit_code, clean.stdout.splitlines()[0]) == (0, "1 document: 0 copies, 0 near copies.")


def test_encode_and_tokenizer_make_what_finetune_takes(place: Path) -> None:
    encoded = run("encode", "text.txt", "--model-name", "small", "--model-dir", ".", "--out-path", "text.npz", "--json")
    assert encoded.exit_code == 0, encoded.stderr
    assert json.loads(encoded.stdout)["documents"] == 1
    sizes = as_options({"vocab_size": 300, "n_layer": 1, "n_head": 2, "n_embd": 16, "n_ctx": 32})
    made = run("tokenizer", "text.txt", "--folder", "models/mine", *sizes, "--json")
    assert json.loads(made.stdout)["vocab_size"] == 300
    plain = run("tokenizer", "text.txt", "--vocab-size", "300", "--folder", "alone")
    assert plain.stdout == "alone: a tokenizer of 300 tokens.\n"
    text = (place / "text.txt").read_bytes()
    trained = run("finetune", "-", "--model-name", "mine", "--run-name", "mine", "--steps", "2", *QUICK, text=text)
    assert trained.exit_code == 0, trained.stderr
    assert "finished at step 2" in trained.stdout


@pytest.mark.parametrize("words", ["encode text.txt --validation-split 0.2", "tokenizer text.txt --cache-dir here"])
def test_options_without_effect_are_not_offered(words: str) -> None:
    refused = run(*words.split())
    assert refused.exit_code == 2
    assert f"No such option '{words.split()[2]}'" in refused.stderr


@pytest.mark.slow
def test_help_answers_within_half_a_second(place: Path) -> None:
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        python(place, "-m", "gpt2simple", "--help")
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[5] <= 0.5
