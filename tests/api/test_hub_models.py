"""A model of the hub by its name: fine-tuned, its commit on record, and the run goes on without asking again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard

import gpt2simple
from gpt2simple.api.info import get_info
from gpt2simple.cli.group import cli
from gpt2simple.cli.options import split_models
from gpt2simple.errors import RunError
from gpt2simple.gpt2.hub.repository import RECORD_FILE
from gpt2simple.settings import SessionSettings
from tests.helpers.fault_server import FaultServer, serving
from tests.helpers.hub_models import COMMIT, OTHER_COMMIT, REPO, publish_folder
from tests.helpers.small_runs import ONE_LAYER, QUICK, work_in, write_small_model, write_text

PINNED = f"{REPO}@{COMMIT}"
HOW: dict[str, Any] = {**QUICK, "window": 16}
OF_CARD = "general.base_model", "general.license", "general.languages"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    work_in(monkeypatch, tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    write_text(Path("text.txt"))
    with serving() as state:
        publish_folder(
            state, write_small_model(tmp_path / "published"), card={"license": "apache-2.0"}, revisions=("main", "v1")
        )
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        yield state


def recorded(run: str) -> dict[str, Any]:
    return json.loads(Path(f"checkpoint/{run}/run.json").read_text())


def test_run_json_has_the_commit_and_the_run_goes_on_without_the_hub(server: FaultServer) -> None:
    gpt2simple.finetune("text.txt", model_name=REPO, run_name="play", steps=2, **HOW)
    assert recorded("play")["model_name"] == PINNED
    server.files.clear()
    asked = len(server.requests)
    for name in (REPO, PINNED, None):
        result = gpt2simple.finetune("text.txt", model_name=name, run_name="play", steps=4, **HOW)
    assert result.steps == 4
    assert recorded("play")["model_name"] == PINNED
    with pytest.raises(RunError, match=f"is a run of the model {PINNED}, and this call names published"):
        gpt2simple.finetune("text.txt", model_name="published", run_name="play", steps=6, **HOW)
    assert len(server.requests) == asked


@pytest.mark.slow
def test_the_same_run_can_be_made_again_after_the_model_moved_on(server: FaultServer) -> None:
    gpt2simple.finetune("text.txt", model_name=REPO, run_name="first", steps=2, **HOW)
    shutil.rmtree("models")
    publish_folder(server, write_small_model(Path("newer"), seed=1), commit=OTHER_COMMIT)
    gpt2simple.finetune("text.txt", model_name=recorded("first")["model_name"], run_name="again", steps=2, **HOW)
    gpt2simple.finetune("text.txt", model_name=REPO, run_name="newer", steps=2, **HOW)
    weights = [Path(f"checkpoint/{run}/model.safetensors").read_bytes() for run in ("first", "again", "newer")]
    assert weights[0] == weights[1] != weights[2]
    assert recorded("newer")["model_name"] == f"{REPO}@{OTHER_COMMIT}"


def test_a_run_that_starts_from_the_folder_names_the_model_too(server: FaultServer) -> None:
    folder = gpt2simple.download_gpt2(REPO, progress=False)
    gpt2simple.finetune("text.txt", restore_from=folder, run_name="folder", steps=1, **HOW)
    assert recorded("folder")["model_name"] == PINNED


@pytest.mark.slow
def test_an_adapter_finds_its_model_again(server: FaultServer) -> None:
    gpt2simple.finetune("text.txt", model_name=REPO, run_name="lora", steps=2, lora_rank=2, **HOW)
    base = json.loads(Path("checkpoint/lora/adapter_base.json").read_text())
    assert base["name"] == PINNED
    with gpt2simple.start_session(run_name="lora") as session:
        before = session.generate("The ", length=5, seed=1)
    shutil.rmtree("models")
    with gpt2simple.start_session(run_name="lora") as session:
        assert session.generate("The ", length=5, seed=1) == before
    card = ModelCard.load(gpt2simple.export("lora", format="huggingface") / "README.md")
    assert (card.data.base_model, card.data.base_model_relation) == (REPO, "finetune")
    assert card.data.license == "apache-2.0"
    assert f"[{REPO}](https://huggingface.co/{REPO}) at revision `{COMMIT}`" in card.content
    assert "an adapter (LoRA of rank 2)" in card.content


def test_a_gguf_file_says_of_the_base_what_the_converter_takes_from_the_card(server: FaultServer) -> None:
    gpt2simple.make_tokenizer("text.txt", "merged", vocab_size=290, n_layer=1, n_head=2, n_embd=32, n_ctx=64)
    publish_folder(server, Path("merged"), repo="some-writers/merged", card={"license": "apache-2.0"})
    gpt2simple.finetune("text.txt", model_name="some-writers/merged", run_name="play", steps=2, **HOW)
    card, file = (gpt2simple.export("play", format=name, language="en") for name in ("huggingface", "gguf"))
    by_converter = gguf.GGUFWriter(None, "gpt2")
    gguf.Metadata.load(model_path=card).set_gguf_meta_model(by_converter)
    of_card = {name: field.value for name, field in by_converter.kv_data[0].items() if name.startswith(OF_CARD)}
    of_file = {name: one.contents() for name, one in gguf.GGUFReader(file).fields.items() if name.startswith(OF_CARD)}
    assert of_file == of_card
    assert of_file["general.base_model.0.repo_url"] == "https://huggingface.co/some-writers/merged"
    assert (of_file["general.license"], of_file["general.languages"]) == ("apache-2.0", ["en"])


def test_the_commands_know_such_names(server: FaultServer) -> None:
    done = CliRunner().invoke(cli, ["download", REPO])
    assert (done.exit_code, done.stdout) == (0, f"models/{REPO}\n")
    Path("plays").mkdir()
    words = ("text.txt", "plays/hamlet", "other/b.txt", REPO, "tiny")
    assert split_models(words, None) == (("text.txt", "plays/hamlet", "other/b.txt"), (REPO, "tiny"))


def test_info_lists_models_of_the_hub_that_are_here(server: FaultServer) -> None:
    def listed(*words: str) -> list[str]:
        done = CliRunner().invoke(cli, ["info", *words])
        assert done.exit_code == 0, done.stderr
        return [" ".join(line.split()) for line in done.stdout.splitlines() if REPO in line]

    gpt2simple.download_gpt2(REPO, progress=False)
    gpt2simple.download_gpt2(f"{REPO}@v1", progress=False)
    whole, tagged = (f"{REPO}{tag} 0 million parameters, downloaded, commit {COMMIT}" for tag in ("", "@v1"))
    assert listed() == listed(PINNED) == [whole, tagged]
    assert listed(REPO) == [whole]
    (model,) = (model for model in get_info(SessionSettings(), f"{REPO}@v1").models)
    assert (model.is_downloaded, model.commit, model.parameters) == (True, COMMIT, ONE_LAYER.parameters)
    folder = Path("models", REPO)
    (folder / "model.safetensors").unlink()
    assert listed(REPO) == [f"{REPO} 0 million parameters, downloaded in part, commit {COMMIT}"]
    (folder / "config.json").unlink()
    assert listed(REPO) == [f"{REPO} downloaded in part, commit {COMMIT}"]
    (folder / RECORD_FILE).write_text("{")  # damaged: it does not say what the folder is
    assert listed() == [tagged]
