"""Uploading a run's model: what goes up is listed first, nothing else does, and every fault is one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import constants

import gpt2simple
from gpt2simple.cli.group import cli
from gpt2simple.errors import BackendError, RunError, SettingsError, UploadError
from tests.helpers.fault_server import closed_port
from tests.helpers.hub_server import TOKEN, HubServer, serving_hub
from tests.helpers.small_runs import QUICK, work_in, write_model_and_text

NAMES = {
    "README.md", "config.json", "generation_config.json", "merges.txt", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json", "vocab.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run."""
    folder = write_model_and_text(tmp_path_factory.mktemp("push"))
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        how: dict[str, Any] = {**QUICK, "sample_every": 2, "sample_length": 20}
        gpt2simple.finetune("text.txt", model_name="small", run_name="play", steps=4, window=16, **how)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    work_in(monkeypatch, place)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # it would ask a server of its own
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving_hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        yield state


def test_without_a_yes_the_files_are_listed_and_nothing_goes_up(hub: HubServer, messages: list[str]) -> None:
    found = gpt2simple.push("play", "my-play")
    assert found.url is None
    assert {name for name, _ in found.files} == NAMES
    assert found.summary().startswith("To the new private repository tester/my-play:\n  README.md  ")
    assert found.summary().endswith("Nothing was uploaded. With yes=True (--yes) this is.")
    assert messages[-1] == "Nothing was uploaded."
    assert (hub.repos, hub.files) == ({}, {})
    assert {call.split()[0] for call in hub.calls} == {"GET"}


def test_what_was_listed_goes_up_to_a_private_repository_and_nothing_else(hub: HubServer) -> None:
    asked: list[Any] = []

    def ask(found: Any) -> bool:
        asked.append(found)
        return True

    found = gpt2simple.push("play", "my-play", ask=ask)
    assert found.url == f"{hub.address}/tester/my-play"
    assert hub.repos == {"tester/my-play": True}
    assert {name: len(data) for (_, name), data in hub.files.items()} == dict(found.files) == dict(asked[0].files)
    assert {name for name, _ in found.files} == NAMES
    exported = gpt2simple.export("play", format="huggingface")
    assert {name: data for (_, name), data in hub.files.items()} == {
        path.name: path.read_bytes() for path in exported.iterdir() if path.name in NAMES
    }
    sent = b"".join([*hub.sent, *hub.files.values()])  # small files come encoded
    for private in ("text.txt", str(Path.cwd()), Path("text.txt").read_text(encoding="utf-8")[:40]):
        assert private.encode() not in sent
    again = gpt2simple.push("play", "tester/my-play", yes=True)
    assert again.exists
    assert "To the private repository tester/my-play; files of the same names there are replaced:" in again.listing()


def test_only_a_call_that_says_so_makes_them_public(hub: HubServer) -> None:
    gpt2simple.push("play", "open/play", public=True, yes=True)
    assert hub.repos == {"open/play": False}
    with pytest.raises(SettingsError, match=r"open/play is there already and is public\. Give public=True"):
        gpt2simple.push("play", "open/play", yes=True)
    hub.repos["open/play"] = True
    with pytest.raises(SettingsError, match=r"is there already and is private\. Give public=False \(no --public\)"):
        gpt2simple.push("play", "open/play", public=True, yes=True)


FAULTS: dict[str, tuple[dict[str, int], str]] = {
    "token": ({"whoami-v2": 401}, r"does not accept the token \(status 401\)\. Make a new one"),
    "right": ({"/repos/create": 403}, r"The token may not write to tester/my-play \(status 403\)\. Take one with"),
    "right to commit": ({"/commit/main": 403}, r"The token may not write to tester/my-play \(status 403\)"),
    "server": ({"/repos/create": 418}, r"refuses the upload to tester/my-play \(status 418"),
    "card": ({"/validate-yaml": 400}, r"refuses the upload to tester/my-play \("),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_the_hub_are_one_clear_line(case: str, hub: HubServer) -> None:
    hub.answers, message = FAULTS[case]
    with pytest.raises(UploadError, match=message):
        gpt2simple.push("play", "tester/my-play", yes=True)
    assert hub.files == {}


def test_without_a_token_or_a_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UploadError, match=r"does not accept the token \(status 401\)"):
        gpt2simple.push("play", "my-play", token="hf_other")
    with pytest.raises(UploadError, match=r"^http://127\.0\.0\.1:\d+ cannot be reached \(.*refused.*\)\. Check the"):
        gpt2simple.push("play", "my-play", endpoint=f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UploadError, match=r"There is no token of an account on the hub\. Make one .*settings/tokens"):
        gpt2simple.push("play", "my-play")


def test_bad_arguments_are_told_before_anything_is_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="repo_id is 'my play'; expected a name such as 'play', or 'owner/play'"):
        gpt2simple.push("play", "my play")
    with pytest.raises(RunError, match="There is no run 'other'"):
        gpt2simple.push("other", "my-play")
    with pytest.raises(SettingsError, match="endpoint is 'hub'; expected a web address"):
        gpt2simple.push("play", "my-play", endpoint="hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BackendError, match="huggingface_hub is not installed, and uploading needs it"):
        gpt2simple.push("play", "my-play")
    assert hub.calls == []


def command(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["push", "play", "my-play", *words], input=typed)


def test_the_command_lists_and_asks(hub: HubServer) -> None:
    refused = command(typed="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "Nothing was uploaded.\n")
    assert "Nothing was uploaded" not in refused.stderr, "it is said once"
    assert "  model.safetensors  " in refused.stderr
    assert "Upload? [y/N]" in refused.stderr
    silent = command()
    assert silent.exit_code == 2
    assert "Error: Nothing was uploaded: standard input gave no answer. Give --yes to upload." in silent.stderr
    assert hub.files == {}
    done = command(typed="y\n")
    assert (done.exit_code, done.stdout) == (0, f"Uploaded: {hub.address}/tester/my-play\n")
    as_json = command("--yes", "--json", "--kind", "f16")
    assert as_json.exit_code == 0
    assert json.loads(as_json.stdout)["url"] == f"{hub.address}/tester/my-play"
    assert hub.repos == {"tester/my-play": True}
