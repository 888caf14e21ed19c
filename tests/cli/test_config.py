"""``--config``: what a file gives, what typed options replace, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import gpt2simple
from gpt2simple.api import functions
from gpt2simple.cli.group import cli
from gpt2simple.errors import SettingsError
from gpt2simple.runs.description import RunInfo
from tests.helpers import small_runs
from tests.helpers.small_runs import as_options, differing, last_state, work_in, write_model_and_text

ADVICE = "Name the run.json of a run, or a TOML file with a line such as steps = 500 for each setting."
BEST = {"checkpoint": "best"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work_in(monkeypatch, tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the last command passed to a function of the API."""
    seen: dict[str, Any] = {}

    def called(*_words: Any, **given: Any) -> Any:
        seen.update(given)
        raise KeyboardInterrupt

    for name in ("finetune", "finetune_classifier", "evaluate", "compare"):
        monkeypatch.setattr(functions, name, called)
    return seen


def write(text: str, name: str = "my.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_a_file_gives_settings_and_what_is_typed_wins(calls: dict[str, Any]) -> None:
    write('model_name = "tiny"\nsteps = 500\nlearning_rate = 1\nlora_targets = ["mlp.c_fc"]\nspecial_tokens = "<a>"\n')
    run("finetune", "text.txt", "--config", "my.toml", "--model-name", "124M")
    assert calls == {
        "model_name": "124M",
        "steps": 500,
        "learning_rate": 1,
        "lora_targets": ("mlp.c_fc",),
        "special_tokens": ("<a>",),
    }


@pytest.mark.parametrize(
    ("command", "text", "typed", "expected"),
    [
        ("finetune", "epochs = 2\ndropout = 0.1", "--steps 5", {"dropout": 0.1, "steps": 5}),
        ("finetune", "steps = 2", "--epochs 3", {"epochs": 3.0}),
        ("finetune", 'column = "a"', "--template {b}", {"template": "{b}"}),
        ("finetune", "lora_rank = 8\nlora_alpha = 4", "--lora-rank 0", {"lora_rank": 0}),
        ("finetune", 'model_name = "tiny"', "--run-name r", {"model_name": "tiny", "run_name": "r"}),
        ("evaluate", 'model_name = "tiny"\nstride = 8', "--run-name r", {**BEST, "stride": 8, "run_name": "r"}),
        ("finetune-classifier", "\ufeffmax_length = 9", "--seed 1", {"control": False, "max_length": 9, "seed": 1}),
        ("compare", 'methods = "lora"', "", {"name": "compare", "methods": ("lora",)}),
    ],
)  # fmt: skip
def test_a_typed_option_drops_those_that_it_stands_in_place_of(
    calls: dict[str, Any], command: str, text: str, typed: str, expected: dict[str, Any]
) -> None:
    run(command, "text.txt", "--config", write(text), *typed.split())
    assert calls == expected


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("finetune text.txt", "steps = 'many'", "my.toml: steps is 'many'; expected int."),
        ("finetune text.txt", "steps = 5.5", "my.toml: steps is 5.5; expected int."),
        ("finetune text.txt", "steps = 0", "my.toml: steps is 0; expected a finite number, at least 1."),
        ("finetune text.txt", "schedule = 'flat'", "my.toml: schedule is 'flat'; expected 'constant', 'linear' or"),
        ("finetune text.txt", "overwrite = 1", "my.toml: overwrite is 1; expected bool."),
        ("finetune text.txt", "steps = 2024-01-01", "my.toml: steps is datetime.date(2024, 1, 1); expected int."),
        ("finetune text.txt", "top_k = 3", "my.toml: top_k is not a setting of finetune; it is one of generate."),
        ("generate", "steps = 3", "steps is not a setting of generate; it is one of finetune, finetune-classifier."),
        ("finetune text.txt", "learning-rate = 3", "learning-rate is not a setting of finetune; did you mean"),
        ("finetune a", "abc = 3", "abc is not a setting of finetune; `gpt2simple finetune --help-all` lists them."),
        ("classify a", "abc = 3", "abc is not a setting of classify; `gpt2simple classify --help` lists them."),
        ("generate", "nfiles = 3", "nfiles is no setting, but an option or argument of generate alone; type it."),
        ("generate", "[finetune]\nsteps = 1", "finetune is not a setting of generate; `gpt2simple generate --help"),
        ("generate", "length = ", f"my.toml cannot be read (Invalid value (at end of document)). {ADVICE}"),
        ("generate", "a = 1\na = 2", "my.toml cannot be read (Cannot overwrite a value"),
        ("generate --run-name r", "top_p = 2\nlength = 0", "my.toml: top_p is 2; expected a finite number, at least"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(command: str, text: str, message: str) -> None:
    refused = run(*command.split(), "--config", write(text))
    assert refused.exit_code == 2, refused.output
    assert message in refused.stderr
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1


def test_everything_wrong_is_said_together() -> None:
    refused = run("finetune", "text.txt", "--config", write("steps = 0\ndropout = 2\nabc = 1"))
    assert [f"my.toml: {name} is" in refused.stderr for name in ("steps", "dropout", "abc")] == [True] * 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.toml", f"There is no file 'absent.toml'. {ADVICE}"),
        ("absent/run.json", f"There is no file 'absent/run.json'. {ADVICE}"),
        (".", f". cannot be read (Is a directory). {ADVICE}"),
        ("/dev/zero", f"/dev/zero is a device, which may never end. {ADVICE}"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(path: str, message: str) -> None:
    refused = run("generate", "--config", path)
    assert (refused.exit_code, refused.stderr) == (2, f"Error: {message}\n")


def test_bytes_that_are_no_text_and_json_that_is_no_run_are_refused() -> None:
    Path("my.toml").write_bytes(b"\xff")
    assert "my.toml cannot be read ('utf-8' codec can't decode" in run("generate", "--config", "my.toml").stderr
    write('{"steps": 5}', "my.json")
    assert "my.json cannot be read (KeyError: 'schema'). " in run("finetune", "a.txt", "--config", "my.json").stderr


@pytest.fixture(scope="module")
def trained_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a text and the run "first" of eight steps, without a seed of its own."""
    folder = write_model_and_text(tmp_path_factory.mktemp("trained"))
    settings = {name: value for name, value in small_runs.QUICK.items() if name != "seed"}
    options = as_options({**settings, "steps": 8, "model_name": "small", "precision": "float32", "run_name": "first"})
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        done = run("finetune", "text.txt", *options, "--restore-from", "fresh", "--overwrite")
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def trained(trained_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run.json of that run, in the current folder."""
    work_in(monkeypatch, trained_place)
    return trained_place / "checkpoint" / "first" / "run.json"


def test_a_run_is_repeated_bit_for_bit(trained: Path) -> None:
    again = run("finetune", "text.txt", "--config", str(trained), "--run-name", "second")
    assert again.exit_code == 0, again.stderr
    first, second = trained.parent, trained.parent.parent / "second"
    assert differing(last_state(first), last_state(second)) == []
    shorter = run("finetune", "text.txt", "--config", str(trained), "--run-name", "third", "--steps", "2", "--json")
    assert json.loads(shorter.stdout)["steps"] == 2


@pytest.mark.parametrize(
    ("command", "rows", "options"),
    [
        pytest.param(
            "finetune", [{"prompt": f"a{n}", "completion": f"b{n}"} for n in range(40)],
            "--separator = --loss-on all", marks=pytest.mark.slow,
        ),
        pytest.param(
            "finetune", [{"text": f"a text of number {n} and more"} for n in range(40)],
            "--lora-rank 2 --column text", marks=pytest.mark.slow,
        ),
        ("finetune-classifier", [{"text": f"{'ab'[n % 2]} {n}", "label": n % 2} for n in range(40)], "--max-length 9"),
    ],
)  # fmt: skip
def test_runs_of_every_task_and_adapters_are_repeated(
    trained: Path, command: str, rows: list[dict[str, Any]], options: str
) -> None:
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = f"{command} rows.jsonl --model-name small --precision float32 --batch-size 2 --steps 2 {options}"
    begun = run(*words.split(), "--run-name", "begun", "--restore-from", "fresh", "--overwrite")
    assert begun.exit_code == 0, begun.stderr
    runs = trained.parent.parent
    config = str(runs / "begun" / "run.json")
    again = f"again-{options.split()[0]}"
    repeated = run(command, "rows.jsonl", "--config", config, "--run-name", again)
    assert repeated.exit_code == 0, repeated.stderr
    assert differing(last_state(runs / "begun"), last_state(runs / again)) == []


def test_a_run_is_repeated_from_python(trained: Path) -> None:
    result = gpt2simple.finetune("text.txt", run_name="fourth", **gpt2simple.read_settings(trained))
    assert differing(last_state(trained.parent), last_state(result.run_dir)) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "finetune-classifier a.csv",
            "finetune-classifier takes a TOML file with settings of its own, and the run by -",
        ),
        ("generate", "generate takes a TOML file with settings of its own, and the run by --run-name."),
        ("compare a.txt", "compare takes a TOML file with settings of its own.\n"),
    ],
)
def test_a_run_is_repeated_only_by_what_trains_it(trained: Path, words: str, says: str) -> None:
    refused = run(*words.split(), "--config", str(trained))
    assert refused.exit_code == 2
    assert "run.json describes a run of language modeling, which finetune repeats; " in refused.stderr
    assert says in refused.stderr


def test_a_file_of_a_run_gives_what_its_training_depends_on(trained: Path, messages: list[str]) -> None:
    values = json.loads(trained.read_text(encoding="utf-8"))
    found = gpt2simple.read_settings(trained)
    assert (found["model_name"], found["precision"], found["steps"]) == ("small", "float32", 8)
    assert found["seed"] == values["seed"]
    assert not {"overwrite", "restore_from", "run_name"} & found.keys()
    assert None not in found.values()
    assert messages == []


@pytest.mark.parametrize(("origin", "kept"), [("random", True), ("small", True), ("gone", False), ("best", False)])
def test_where_a_run_began_is_repeated_where_that_is_still_there(trained: Path, origin: str, kept: bool) -> None:
    values = json.loads(trained.read_text(encoding="utf-8"))
    values["settings"]["restore_from"] = origin
    found = gpt2simple.read_settings(write(json.dumps(values), "copied.JSON"))
    assert found.get("restore_from") == (origin if kept else None)


def test_a_run_that_changed_on_the_way_says_so(trained: Path, messages: list[str]) -> None:
    changed = RunInfo.read_file(trained).changed(changes=({"step": 4, "settings": {"dropout": [0.0, 0.1]}},))
    Path("changed.json").write_bytes(changed.to_bytes())
    gpt2simple.read_settings("changed.json")
    assert messages == [
        "changed.json: the run changed its settings 1 time on the way; the last ones are used from the start."
    ]


def test_settings_of_a_toml_file_are_checked_by_the_function_that_gets_them() -> None:
    found = gpt2simple.read_settings(write("top_k = 3"))
    assert found == {"top_k": 3}
    with pytest.raises(SettingsError, match=r"finetune\(\) has no setting named 'top_k'"):
        gpt2simple.finetune("text.txt", **found)
