"""Any GPT-2 of the hub: at a commit that is recorded, checked before it is fetched, and fetched once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.errors import CheckpointError, DownloadError, SettingsError
from gpt2simple.gpt2.hub import download, locate
from gpt2simple.gpt2.hub.repository import RECORD_FILE, HubName, HubRecord, named_commit
from tests.helpers.fault_server import HTML, Fault, FaultServer, closed_port
from tests.helpers.hub_models import COMMIT, CONFIG, FILES, OTHER_COMMIT, REPO, publish, visible


@pytest.fixture(autouse=True)
def _hub(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.chdir(tmp_path)


def fetch(name: str = REPO) -> Path:
    """As a call does, without waiting."""
    named = download.hub_name(name, Path("models"))
    assert named is not None
    return download.download_hub_model(named, Path("models"), progress=False, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("name", "repo", "revision"),
    [
        ("distilbert/distilgpt2", "distilbert/distilgpt2", None),
        ("dbmdz/german-gpt2@v1.0", "dbmdz/german-gpt2", "v1.0"),
        (f"a/b@{COMMIT}", "a/b", COMMIT),
    ],
)
def test_names_of_the_hub(name: str, repo: str, revision: str | None) -> None:
    found = HubName.of(name)
    assert found == HubName(repo, revision)
    assert str(found) == name
    assert (named_commit(name) is not None) == (revision == COMMIT)


@pytest.mark.parametrize(
    "name", ["124M", "gpt2", "a/b/c", "/a/b", "./a/b", "~/b", "a/b@", "a/../b", "a b/c", "a/b@c/d"]
)
def test_other_names_are_none_of_the_hub(name: str) -> None:
    assert HubName.of(name) is None


def test_what_begins_with_a_folder_that_is_here_is_a_path() -> None:
    Path("plays").mkdir()
    assert HubName.of("plays/hamlet") is None
    with pytest.raises(
        SettingsError, match=r"which is not a known model.*a model folder, or a GPT-2 of the Hugging Face"
    ):
        gpt2simple.download_gpt2("plays/hamlet")


def test_a_model_is_fetched_at_the_commit_of_its_main_branch_once(server: FaultServer) -> None:
    publish(server, FILES, card={"license": "apache-2.0", "language": "de"})
    assert not gpt2simple.is_gpt2_downloaded(REPO)
    folder = gpt2simple.download_gpt2(REPO, progress=False)
    assert folder == Path("models") / REPO
    record = HubRecord(repo=REPO, commit=COMMIT, license="apache-2.0", languages=("de",))
    assert HubRecord.read(folder) == record
    assert {name: data for name, data in visible(folder).items() if name != RECORD_FILE} == FILES
    assert gpt2simple.is_gpt2_downloaded(REPO)
    asked = len(server.requests)
    publish(server, {**FILES, "tokenizer.json": b"{ }"}, commit=OTHER_COMMIT)  # the branch moves on
    assert gpt2simple.download_gpt2(REPO) == locate.model_folder(REPO, Path("models")) == folder
    assert len(server.requests) == asked
    assert locate.pinned_name(REPO, Path("models")) == f"{REPO}@{COMMIT}"


def test_a_commit_lies_under_its_own_name_or_under_the_plain_one(server: FaultServer) -> None:
    publish(server, FILES)
    plain = fetch()
    assert fetch(f"{REPO}@{COMMIT}") == plain
    publish(server, {**FILES, "tokenizer.json": b"{ }"}, commit=OTHER_COMMIT, revisions=("v2",))
    for revision in ("v2", OTHER_COMMIT):
        folder = fetch(f"{REPO}@{revision}")
        assert folder == Path("models") / f"{REPO}@{revision}"
        assert (folder / "tokenizer.json").read_bytes() == b"{ }"
        assert locate.pinned_name(f"{REPO}@{revision}", Path("models")) == f"{REPO}@{OTHER_COMMIT}"


def test_a_download_that_was_cut_off_goes_on_with_its_commit(server: FaultServer) -> None:
    publish(server, FILES)
    server.faults.append(Fault("status", "model.safetensors", times=-1, status=500))
    with pytest.raises(DownloadError, match="could not be fetched whole"):
        fetch()
    server.faults.clear()
    publish(server, {**FILES, "model.safetensors": b"other"}, commit=OTHER_COMMIT)
    assert not gpt2simple.is_gpt2_downloaded(REPO)
    folder = locate.model_folder(REPO, Path("models"))  # not taken for a folder of the user's
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_weights_in_shards_or_of_keras_are_fetched_too(server: FaultServer) -> None:
    side = {name: FILES[name] for name in ("config.json", "tokenizer.json")}
    index = {"weight_map": {"wte": "model-00001-of-00002.safetensors", "wpe": "model-00002-of-00002.safetensors"}}
    shards = {name: name.encode() for name in index["weight_map"].values()}
    whole = {**side, "model.safetensors.index.json": json.dumps(index).encode(), **shards}
    publish(server, {**whole, "flax_model.msgpack": b"x", "README.md": b"x", "pytorch_model.bin": b"x"})
    assert set(visible(fetch())) == {*whole, RECORD_FILE}
    publish(server, {**side, "tf_model.h5": b"x"}, repo="writers/keras")
    assert set(visible(fetch("writers/keras"))) == {*side, "tf_model.h5", RECORD_FILE}


REFUSED = {
    "another model": (
        {"config.json": b'{"model_type": "llama"}'},
        "small-gpt2 on the hub: config.json says model_type ",
    ),
    "a variant": ({"config.json": json.dumps({**CONFIG, "n_inner": 3}).encode()}, "on the hub: .*n_inner to 3"),
    "pickles": ({"model.safetensors": None, "pytorch_model.bin": b"x"}, r"only as pytorch_model\.bin, which executes"),
    "no weights": ({"model.safetensors": None}, r"has no weights that can be read: expected model\.safetensors"),
    "no vocabulary": ({"tokenizer.json": None, "vocab.json": b"{}"}, r"has neither tokenizer\.json nor vocab\.json"),
    "no config": ({"config.json": None}, r"has no config\.json, so it is no GPT-2 model"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    server: FaultServer, changes: dict[str, bytes | None], message: str
) -> None:
    files = {name: data for name, data in {**FILES, **changes}.items() if data is not None}
    publish(server, files)
    with pytest.raises(CheckpointError, match=message):
        fetch()
    assert not Path("models").exists()


def test_a_name_that_the_hub_does_not_know(server: FaultServer) -> None:
    message = r"model_name is 'no/body': there is no folder of that name here, and the hub has no model 'no/body'"
    with pytest.raises(DownloadError, match=message):
        locate.model_folder("no/body", Path("models"))
    publish(server, FILES)
    with pytest.raises(DownloadError, match="has no model 'writers/small-gpt2' at 'v9'"):
        fetch(f"{REPO}@v9")
    server.faults.append(Fault("status", "?blobs=true", status=401))
    with pytest.raises(DownloadError, match=r"or it is private or asks for a licence first \(status 401\)"):
        fetch()
    assert not Path("models").exists()


def test_faults_of_the_server_are_told_and_tried_again(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(server, FILES)
    server.faults = [Fault("status", "?blobs=true", times=2, status=503), Fault("drop", "?blobs=true", after_bytes=9)]
    assert fetch().is_dir()
    assert server.count("?blobs=true") == 4
    for fault, message in [
        (Fault("status", "?blobs=true", times=-1, status=503), r"asked \(the server answered 503\). Check the ne"),
        (Fault("status", "?blobs=true", status=418), "The server answered 418 for"),
        (Fault("page", "?blobs=true", body=HTML), "returned something else than JSON: a web page, perhaps"),
        (Fault("page", "?blobs=true", body=b'{"sha": "main"}'), "does not say which commit"),
    ]:
        server.faults = [fault]
        with pytest.raises(DownloadError, match=message):
            fetch(f"{REPO}@main")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(
        DownloadError,
        match=r"there is no folder of that name here, and .* could not be asked .*refused.*\. Check the network, or "
        "name a mirror in the environment variable HF_ENDPOINT; a model that you fetched by other means is named by",
    ):
        fetch(f"{REPO}@main")


def test_only_the_hub_has_such_names() -> None:
    with pytest.raises(SettingsError, match="source is 'openai', and 'writers/small-gpt2' is on the Hugging Face hub"):
        gpt2simple.download_gpt2(REPO, source="openai")


def test_the_config_is_known_without_downloading_the_model(server: FaultServer) -> None:
    publish(server, FILES)
    assert locate.model_config_of(REPO, Path("models")).n_embd == 4
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (REPO, f"{REPO}@{COMMIT}", True),
        (f"{REPO}@{COMMIT}", f"{REPO}@{COMMIT}", True),
        (f"{REPO}@{OTHER_COMMIT}", f"{REPO}@{COMMIT}", False),
        ("writers/large-gpt2", f"{REPO}@{COMMIT}", False),
    ],
)
def test_a_name_without_a_revision_means_each_of_them(one: str, other: str, same: bool) -> None:
    assert locate.is_same_model(one, other) is same
    assert locate.with_revision(one, other) == (other if same and "@" not in one else one)
