"""Every fault of server, network and disk: one message that names the next step, and no broken file."""

from __future__ import annotations

import errno
import hashlib
import random
from pathlib import Path

import pytest
import requests

from gpt2simple.errors import DownloadError, StorageError
from gpt2simple.gpt2.hub import fetch
from tests.helpers.download import HUB, WEIGHTS, Download, holds_only, partial_of, small_model
from tests.helpers.fault_server import AZURE_XML, HTML, Fault, FaultServer, closed_port


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(HTML, "text/html; charset=utf-8"), (HTML, "application/octet-stream"), (AZURE_XML, "application/xml")],
)
def test_a_web_page_instead_of_a_file_is_refused(
    server: FaultServer, download: Download, body: bytes, content_type: str
) -> None:
    server.faults = [Fault("page", "vocab.json", times=-1, body=body, content_type=content_type)]
    message = r"vocab\.json returned a web page .* open the address in a browser\. .* check base_url and HF_ENDPOINT"
    with pytest.raises(DownloadError, match=message):
        download()
    assert holds_only(download, "config.json")
    assert download.waits == []


def test_a_web_page_is_refused_where_no_size_was_published(server: FaultServer, download: Download) -> None:
    server.faults = [Fault("page", "model.safetensors", times=-1, body=AZURE_XML)]
    with pytest.raises(DownloadError, match="returned a web page or an error text instead of the file"):
        download(small_model(sizes=False, digests=False))
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert download.partial_bytes() == 0


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            404,
            r"config\.json is not there \(status 404\): this server does not carry the model\. Check base_url and HF_E",
        ),
        (403, r"The server refuses .*config\.json \(status 403\).* or use the other source"),
        (401, r"The server refuses .*config\.json \(status 401\)"),
        (418, r"The server answered 418 for .*config\.json; expected the file\."),
    ],
)
def test_a_refusal_is_final(server: FaultServer, download: Download, status: int, message: str) -> None:
    server.faults = [Fault("status", times=-1, status=status, body=HTML)]
    with pytest.raises(DownloadError, match=message):
        download()
    assert len(server.requests) == 1
    assert holds_only(download)


def test_a_busy_server_is_asked_again_with_growing_waits(server: FaultServer, download: Download) -> None:
    server.faults = [Fault("status", "config.json", times=3, status=502)]
    download()
    assert download.visible() == HUB
    assert download.waits == [1.0, 2.0, 4.0]
    assert "the server answered 502" in download.messages[0]


def test_a_server_that_stays_busy_is_told(server: FaultServer, download: Download) -> None:
    server.faults = [Fault("status", times=-1, status=500)]
    with pytest.raises(DownloadError, match=r"could not be fetched whole: the server answered 500\. Try again later"):
        download()
    assert download.waits == [1.0, 2.0, 4.0, 8.0]
    assert holds_only(download)


@pytest.mark.parametrize(
    ("value", "shortest", "longest"),
    [("7", 7, 7), ("9999", 120, 120), ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0), ("soon", 1, 1)],
)
def test_the_wait_that_a_server_asks_for_is_kept(
    server: FaultServer, download: Download, value: str, shortest: float, longest: float
) -> None:
    server.faults = [Fault("status", "config.json", status=429, headers={"Retry-After": value})]
    download()
    assert len(download.waits) == 1
    assert shortest <= download.waits[0] <= longest


def test_a_file_of_wrong_content_is_refused_and_removed(server: FaultServer, download: Download) -> None:
    other = random.Random(1).randbytes(len(WEIGHTS))
    server.files["/org/small/resolve/c0ffee/model.safetensors"] = other
    found, expected = (hashlib.sha256(data).hexdigest() for data in (other, WEIGHTS))
    message = rf"is not the published file: its sha256 is {found}, expected {expected}\. .*mirror in HF_ENDPOINT"
    with pytest.raises(DownloadError, match=message):
        download()
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert download.partial_bytes() == 0


def test_a_file_of_wrong_length_is_refused_before_it_is_fetched(server: FaultServer, download: Download) -> None:
    server.files["/org/small/resolve/c0ffee/model.safetensors"] = WEIGHTS[:-1]
    with pytest.raises(DownloadError, match=r"is 299999 bytes long, the published file has 300000\. Nothing of it"):
        download()
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert download.partial_bytes() == 0


@pytest.mark.parametrize("linked", [True, False], ids=["X-Linked-Etag", "ETag"])
def test_the_digest_that_the_hub_sends_is_checked_where_none_was_published(
    server: FaultServer, download: Download, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    server.large = {"model.safetensors"}
    server.sends_linked_etag = linked
    known = small_model(sizes=False, digests=False)
    digests: list[str | None] = []
    ask = fetch._digest_from_hub

    def wrong_for_weights(response: requests.Response) -> str | None:
        digests.append(ask(response))
        return "0" * 64 if digests[-1] else None

    monkeypatch.setattr(fetch, "_digest_from_hub", wrong_for_weights)
    with pytest.raises(DownloadError, match=rf"its sha256 is {hashlib.sha256(WEIGHTS).hexdigest()}, expected 0000"):
        download(known)
    assert digests == [None, None, None, hashlib.sha256(WEIGHTS).hexdigest()]
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    download(known)
    assert download.visible() == HUB


def test_a_resumed_file_follows_the_hubs_redirect(server: FaultServer, download: Download) -> None:
    server.large = {"model.safetensors"}
    server.faults = [Fault("drop", "model.safetensors", after_bytes=200_000)]
    download(small_model(digests=False))
    assert download.visible() == HUB
    assert server.requests[-1].path.startswith("/stored/")
    assert server.requests[-1].status == 206


def test_no_network_names_the_ways_on(download: Download) -> None:
    with pytest.raises(DownloadError) as caught:
        download(base_url=f"http://127.0.0.1:{closed_port()}")
    message = str(caught.value)
    assert message.startswith("There is no connection to http://127.0.0.1:")
    assert "environment variable HF_ENDPOINT" in message
    assert f"put these files into {download.folder} by hand: {', '.join(HUB)}" in message
    assert 'model_name="tiny"' in message
    assert "(Failed to establish a new connection: " in message
    assert "\n" not in message
    assert download.waits == [1.0, 2.0]
    assert holds_only(download)


def test_no_network_in_the_middle_says_what_is_kept(download: Download) -> None:
    for name in ("config.json", "vocab.json", "merges.txt"):
        download.folder.mkdir(parents=True, exist_ok=True)
        (download.folder / name).write_bytes(HUB[name])
    partial_of(download, small_model()).write_bytes(WEIGHTS[:100_000])
    with pytest.raises(
        DownloadError, match=r"no connection .*\. 100\.0 kB are kept: the same call continues from there"
    ):
        download(base_url=f"http://127.0.0.1:{closed_port()}")
    assert download.waits == [1.0, 2.0, 4.0, 8.0]


def test_what_another_source_left_half_fetched_goes_when_the_folder_is_complete(download: Download) -> None:
    download.folder.mkdir(parents=True)
    (download.folder / ".part-00000000-model.ckpt.data-00000-of-00001").write_bytes(b"half")
    download()
    assert {path.name for path in download.folder.iterdir()} == set(HUB)


def test_what_a_download_killed_at_its_very_end_left_goes_with_the_next_call(download: Download) -> None:
    download()
    for name in (".part-00000000-model.safetensors.etag", ".download.lock"):
        (download.folder / name).write_bytes(b"")
    download()
    assert {path.name for path in download.folder.iterdir()} == set(HUB)


def test_proxy_and_certificate_faults_name_their_settings(
    download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError, match=r"The proxy did not let .* through .*HTTPS_PROXY, HTTP_PROXY and NO_PROXY"):
        download(base_url="http://mirror.invalid")
    error = fetch.connection_fault(requests.exceptions.SSLError("self-signed certificate"), "https://mirror.example")
    assert isinstance(error, DownloadError)
    assert "certificate of https://mirror.example could not be verified (self-signed certificate)" in str(error)
    assert "REQUESTS_CA_BUNDLE" in str(error)
    error = fetch.connection_fault(requests.TooManyRedirects("30 redirects"), "https://mirror.example")
    assert "could not be requested (30 redirects). Check base_url" in str(error)


def test_a_tls_request_to_a_plain_server_is_told_at_once(server: FaultServer, download: Download) -> None:
    with pytest.raises(DownloadError, match=r"could not be verified .*REQUESTS_CA_BUNDLE"):
        download(base_url=server.address.replace("http:", "https:"))
    assert download.waits == []


def test_a_disk_that_fills_up_while_writing_is_told_and_the_download_goes_on_later(
    server: FaultServer, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk:
        """tqdm's place in the loop: after the first chunk of the weights there is no room."""

        def __init__(self, *, desc: str, **_: object) -> None:
            self.fails = "safetensors" in desc

        def __enter__(self) -> FullDisk:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, _: int) -> None:
            if self.fails:
                raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "tqdm", FullDisk)
        with pytest.raises(
            StorageError, match=r"Cannot write .*model\.safetensors: the disk is full\. Free some space"
        ):
            download()
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert 0 < download.partial_bytes() < len(WEIGHTS)
    download()
    assert download.visible() == HUB
    assert server.count("model.safetensors", 206) == 1


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    server: FaultServer, download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        StorageError, match=r"Downloading 124M needs 300\.0 kB, and the disk that holds .* 1\.0 kB free"
    ):
        download()
    assert server.requests == []


def test_a_folder_that_cannot_be_made_is_told(download: Download) -> None:
    download.model_dir.write_text("a file")
    with pytest.raises(StorageError, match="a part of the path is a file, where a folder is needed"):
        download()
