"""A model is fetched whole from a real local server, and what is there already is left alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.errors import CheckpointError, DownloadError, SettingsError
from gpt2simple.gpt2.hub import download, registry
from tests.helpers.download import HUB, OPENAI, Download, small_model
from tests.helpers.fault_server import FaultServer


@pytest.mark.parametrize(("source", "files"), [("huggingface", HUB), ("openai", OPENAI)])
def test_a_model_is_fetched_whole_weights_last_and_only_once(
    server: FaultServer, download: Download, source: str, files: dict[str, bytes]
) -> None:
    assert download(source=source) == download.folder
    assert download.visible() == files
    assert [r.path.rsplit("/", 1)[-1] for r in server.requests] == list(files)
    assert download(source=source) == download.folder
    assert len(server.requests) == len(files)
    assert (download.messages, download.waits, download.partial_bytes()) == ([], [], 0)


def test_the_public_call_takes_names_mirror_variable_and_shows_a_bar_on_stderr(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.KNOWN_MODELS, "124M", small_model())
    monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/")
    assert not gpt2simple.is_gpt2_downloaded("124m", tmp_path)
    assert gpt2simple.download_gpt2("124m", str(tmp_path)) == tmp_path / "124M"
    assert gpt2simple.is_gpt2_downloaded("124M", str(tmp_path))
    shown = capsys.readouterr()
    assert "124M model.safetensors: 100%" in shown.err
    assert shown.out == ""


def test_without_stderr_a_model_is_downloaded_without_a_bar(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry.KNOWN_MODELS, "124M", small_model())
    monkeypatch.setattr(sys, "stderr", None)
    assert gpt2simple.download_gpt2("124M", tmp_path, base_url=server.address) == tmp_path / "124M"
    assert capsys.readouterr().out == ""


def test_the_openai_source_has_a_mirror_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2SIMPLE_OPENAI_URL", "http://mirror.example/gpt2")
    urls = [d.url for d in registry.downloads_of(registry.resolve("355M"), source="openai")]
    assert urls[0] == "http://mirror.example/gpt2/355M/checkpoint"
    urls = [d.url for d in registry.downloads_of(registry.resolve("gpt2"))]
    assert urls[0].startswith("https://huggingface.co/openai-community/gpt2/resolve/607a30d783dfa663caf39e06633721c8")


def test_what_is_missing_is_completed_and_what_is_there_stays(server: FaultServer, download: Download) -> None:
    download.folder.mkdir(parents=True)
    (download.folder / "vocab.json").write_bytes(HUB["vocab.json"])
    download()
    assert download.visible() == HUB
    assert server.count("vocab.json") == 0


def test_a_folder_that_holds_another_layout_is_left_alone(server: FaultServer, download: Download) -> None:
    download(source="openai")
    before = len(server.requests)
    download()
    assert len(server.requests) == before
    assert "already holds the model, in another layout; nothing was downloaded" in download.messages[0]


def test_a_foreign_file_in_the_folder_is_not_replaced(download: Download) -> None:
    download.folder.mkdir(parents=True)
    (download.folder / "config.json").write_bytes(b"{}")
    with pytest.raises(DownloadError, match=r"config\.json has 2 bytes, the published file has 22.*Move .*124M away"):
        download()
    assert download.visible() == {"config.json": b"{}"}


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["config.json", "model.safetensors", "vocab.json", "merges.txt"], True),
        (["config.json", "model.safetensors", "tokenizer.json"], True),
        (["config.json", "tf_model.h5", "tokenizer.json"], True),
        (["hparams.json", "encoder.json", "vocab.bpe", "model.ckpt.index", "model.ckpt.data-00000-of-00001"], True),
        (["config.json", "model.safetensors", "vocab.json"], False),
        (["config.json", "vocab.json", "merges.txt"], False),
        (["config.json", "pytorch_model.bin", "tokenizer.json"], False),
        (["hparams.json", "encoder.json", "vocab.bpe", "model.ckpt.index"], False),
        ([], False),
    ],
)
def test_a_folder_filled_by_hand_counts_when_it_can_be_loaded(tmp_path: Path, names: list[str], whole: bool) -> None:
    (tmp_path / "355M").mkdir()
    for name in names:
        (tmp_path / "355M" / name).write_text("something")
    assert gpt2simple.is_gpt2_downloaded("gpt2-medium", tmp_path) is whole


def test_shards_count_when_all_of_them_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "124M"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model-1.safetensors"):
        (folder / name).write_text("something")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"wte": "model-1.safetensors", "wpe": "model-2.safetensors"}}))
    assert not gpt2simple.is_gpt2_downloaded("124M", tmp_path)
    (folder / "model-2.safetensors").write_text("something")
    assert gpt2simple.is_gpt2_downloaded("124M", tmp_path)
    index.write_text("[]")
    assert not gpt2simple.is_gpt2_downloaded("124M", tmp_path)


def test_the_built_in_model_lies_in_the_package_and_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.resources, "files", lambda _: tmp_path)
    with pytest.raises(CheckpointError, match=r"built-in model 'tiny' is missing from .*pip install --force-"):
        gpt2simple.download_gpt2("tiny")
    (tmp_path / "tiny").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "tiny" / name).write_text("something")
    assert gpt2simple.download_gpt2("tiny", tmp_path / "models") == tmp_path / "tiny"
    assert gpt2simple.is_gpt2_downloaded("tiny", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_wrong_arguments_are_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean '124M'"):
        gpt2simple.download_gpt2("124N", tmp_path)
    with pytest.raises(SettingsError, match=r"source is 'hub'; expected 'huggingface' or 'openai'\."):
        gpt2simple.download_gpt2("124M", tmp_path, source="hub")
    with pytest.raises(SettingsError, match=r"base_url is 'models/mine'; expected a web address"):
        gpt2simple.download_gpt2("124M", tmp_path, base_url="models/mine")
    assert list(tmp_path.iterdir()) == []
