"""The commands that measure: figures on standard output, as text, JSON or HTML."""

import json
import math
import shutil

import pytest
from click.testing import CliRunner

from gpt2simple.api import functions
from gpt2simple.cli.group import cli
from gpt2simple.cli.options import split_models
from gpt2simple.cli.output import show_json
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import LoadedModel
from tests.helpers.records import OVERTRAINED, make_run
from tests.helpers.small_runs import work_in, write_model_and_text, write_text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_model_and_text(folder)
    make_run(folder / "checkpoint" / "over", folder / "text.txt", OVERTRAINED, ["a sample"])
    return folder


@pytest.fixture(autouse=True)
def _inside(place, monkeypatch):
    work_in(monkeypatch, place)


def shown(*words, text=None):
    done = CliRunner().invoke(cli, list(words), input=text)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_evaluate_prints_figures_or_json():
    assert "nats/token" in shown("evaluate", "text.txt", "--model-name", "small", "--stride", "16")
    values = json.loads(shown("evaluate", "text.txt", "--model-name", "small", "--part", "held_out", "--json"))
    assert values["model"] == "small"
    assert values["precision"] == "float32"
    assert values["text"] == "the held-out part of text.txt"
    assert values["tokens"] > 100


def test_evaluate_shows_the_first_documents_or_all_as_json(place):
    lines = [json.dumps({"text": write_text(place / "one.txt", seed=n).read_text()[:60]}) for n in range(23)]
    (place / "many.jsonl").write_text("\n".join(lines) + "\n")
    words = ["evaluate", "many.jsonl", "--model-name", "small", "--per-document"]
    told = shown(*words)
    rows = told.split("Protocol:")[1].splitlines()[2:]
    assert rows[0].split()[0] == "document"
    assert [row.split()[0] for row in rows[1:21]] == [str(n) for n in range(1, 21)]
    assert rows[21] == "3 more documents are not shown; --json shows all, and result.documents has them."
    documents = json.loads(shown(*words, "--json"))["documents"]
    assert len(documents) == 23
    assert f"{documents[0]['loss']:.4f}" in rows[1]
    assert "document" not in shown(*words[:-1]).split("Protocol:")[1]


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_weights_of_a_run_and_a_model_are_not_mixed(command):
    done = CliRunner().invoke(cli, [command, "text.txt", "--model-name", "small", "--checkpoint", "latest"])
    assert done.exit_code == 2
    assert "checkpoint is 'latest' and model_name is 'small'; checkpoint chooses weights of a run." in done.stderr


def test_a_part_that_is_not_there_is_an_error():
    words = ["evaluate", "text.txt", "--model-name", "small", "--part", "held_out", "--validation-split", "0"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 1
    assert 'part is "held_out", and there is no such part' in done.stderr


def test_score_prints_json_or_a_view():
    (values,) = json.loads(shown("score", "-", "--model-name", "small", text="ab"))
    assert [token["text"] for token in values["tokens"]] == ["a", "b"]
    page = shown("score", "a", "€", "--model-name", "small", "--html")
    assert "<span" in page
    assert "&#8364;" in page
    assert page.isascii()  # it says that it is UTF-8, and a file that it is sent to may be made in another encoding


def test_report_writes_a_page(place):
    assert "over: Overfitted." in shown("report", "over")
    assert (place / "checkpoint" / "over" / "report.html").is_file()
    values = json.loads(shown("report", "over", "--json", "--destination-path", "page.html"))
    assert values["runs"][0]["verdict"]["kind"] == "overfitted"
    assert (place / "page.html").is_file()


def test_compare_passes_on_what_was_asked_for_and_refuses_a_single_model(monkeypatch):
    asked = []

    class Result:
        def summary(self):
            return "the table"

    def compare(*names, **options):
        asked.append((names, options))
        return Result()

    monkeypatch.setattr(functions, "compare", compare)
    words = ["compare", "text.txt", "--model-name", "small", "--model-name", "tiny", "--tokens", "99", "--name", "n"]
    words += ["--precision", "float32", "--threads", "2"]
    assert shown(*words) == "the table\n"
    typed = {"name": "n", "precision": "float32", "threads": 2, "tokens": 99}
    assert asked == [(("text.txt", ("small", "tiny")), typed)]
    monkeypatch.undo()
    done = CliRunner().invoke(cli, ["compare", "text.txt", "--model-name", "small"])
    assert done.exit_code == 2
    assert "expected two or more different models" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "text.txt", "--json"),
        ("score", "To be"),
        ("generate", "--length", "5"),
        ("generate", "--length", "5", "--temperature", "0"),
        ("finetune", "text.txt", "--steps", "2"),
    ],
)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "ln_f.weight contains NaN or infinity in 1 of"),
        (1e38, "is not finite"),  # finite, but what follows from it is not
    ],
)
def test_a_model_that_is_not_finite_is_one_error(words, value, message, place, tmp_path):
    broken = tmp_path / "broken"
    loaded = LoadedModel.load(place / "small")
    weights = {name: loaded.read(name) for name in loaded.variables}
    weights["ln_f.weight"][0] = value
    weights["wte.weight"][:, 0] *= 10.0
    write_model_folder(broken, loaded.config, weights.__getitem__, loaded.tokenizer)
    done = CliRunner().invoke(cli, [*words, "--model-name", str(broken)])
    assert done.exit_code == 1
    assert message in done.stderr
    assert "NaN" not in done.stdout


def test_json_on_standard_output_is_valid_whatever_the_figures(capsys):
    show_json({"loss": math.nan, "rows": [1.5, -math.inf, {"a": (math.inf, "\u00e9")}]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "loss": None,
        "rows": [1.5, None, {"a": [None, "\u00e9"]}],
    }


@pytest.mark.parametrize(
    ("words", "texts", "models"),
    [
        (["text.txt", "tiny", "small"], ["text.txt"], ["tiny", "small"]),
        (["tiny", "tiny", "124M"], ["tiny"], ["tiny", "124M"]),  # the first word is a text
        (["text.txt", "other.txt", "models/own", "gpt2"], ["text.txt", "other.txt"], ["models/own", "gpt2"]),
        (["text.txt", "355M"], ["text.txt", "355M"], []),  # there is a file of that name
    ],
)
def test_models_may_follow_the_texts(place, tmp_path, monkeypatch, words, texts, models):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "small", tmp_path / "models" / "small")
    shutil.copytree(place / "small", tmp_path / "models" / "own")
    for name in ("text.txt", "other.txt", "355M"):
        (tmp_path / name).write_text("text")
    assert split_models(tuple(words), None) == (tuple(texts), tuple(models))


def test_a_model_is_downloaded_by_its_name_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gpt2simple.gpt2.hub.download.download_gpt2", lambda name, **_: asked.append(name) or f"models/{name}"
    )
    assert shown("download", "355M") == "models/355M\n"
    assert shown("download", "--model-name", "774M") == "models/774M\n"
    assert shown("download") == "models/124M\n"
    assert asked == ["355M", "774M", "124M"]
    done = CliRunner().invoke(cli, ["download", "355M", "--model-name", "774M"])
    assert done.exit_code == 2
    assert "MODEL is 355M and --model-name 774M; give one of the two." in done.stderr


def test_info_on_one_run_or_model():
    told = shown("info", "over")
    assert "over: step" in told
    assert "124M" not in told
    assert "124 million parameters" in shown("info", "gpt2")
    done = CliRunner().invoke(cli, ["info", "absent"])
    assert done.exit_code == 2
    assert "There is no model or run 'absent'; there are" in done.stderr
