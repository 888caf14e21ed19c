"""Downloads that were interrupted, resumed, raced by a second process, or killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import gpt2simple
from gpt2simple.errors import DownloadError
from tests.helpers.download import HUB, WEIGHTS, Download, holds_only, partial_of, small_model
from tests.helpers.fault_server import Fault, FaultServer
from tests.helpers.paths import ROOT


def test_a_dropped_connection_goes_on_where_it_stopped(server: FaultServer, download: Download) -> None:
    server.faults = [Fault("drop", "model.safetensors", after_bytes=200_000)]
    download()
    assert download.visible() == HUB
    first, second = (r for r in server.requests if r.path.endswith("model.safetensors"))
    assert (first.range, first.status) == (None, 200)
    assert second.range is not None
    assert int(second.range.removeprefix("bytes=").rstrip("-")) >= 100_000
    assert second.status == 206
    assert download.waits == [1.0]
    assert download.messages == ["model.safetensors: the connection dropped. Trying again in 1 s."]


def test_after_too_many_drops_the_rest_waits_for_the_next_call(server: FaultServer, download: Download) -> None:
    server.faults = [Fault("drop", "model.safetensors", times=1, after_bytes=200_000)]
    server.faults += [Fault("drop", "model.safetensors", times=-1, after_bytes=0)]
    with pytest.raises(DownloadError, match=r"could not be fetched whole: the connection dropped\. .* kB are kept"):
        download()
    assert download.waits == [1.0, 1.0, 2.0, 4.0, 8.0]
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert download.partial_bytes() >= 100_000
    server.faults = []
    before = server.count("model.safetensors", 200)
    download()
    assert download.visible() == HUB
    assert server.count("model.safetensors", 200) == before
    assert download.partial_bytes() == 0


def test_a_body_without_length_that_ends_early_is_noticed(server: FaultServer, download: Download) -> None:
    server.with_length = False
    server.faults = [Fault("page", "model.safetensors", body=WEIGHTS[:150_000])]
    download()
    assert download.visible() == HUB


def test_a_server_that_ignores_ranges_sends_the_file_anew(server: FaultServer, download: Download) -> None:
    server.faults = [
        Fault("drop", "model.safetensors", after_bytes=200_000),
        Fault("ignore_range", "model.safetensors"),
    ]
    download()
    assert download.visible() == HUB
    assert server.count("model.safetensors", 200) == 2


def test_a_partial_file_that_is_whole_already_is_kept(server: FaultServer, download: Download) -> None:
    partial_of(download, small_model()).write_bytes(WEIGHTS)
    download()
    assert download.visible() == HUB
    assert server.count("model.safetensors", 416) == 1
    assert server.count("model.safetensors", 200) == 0


def test_a_partial_file_that_is_too_long_is_fetched_anew(server: FaultServer, download: Download) -> None:
    partial_of(download, small_model()).write_bytes(WEIGHTS + b"more")
    download()
    assert download.visible() == HUB
    assert [server.count("model.safetensors", status) for status in (416, 200)] == [1, 1]


def test_another_part_than_the_one_asked_for_is_not_appended(server: FaultServer, download: Download) -> None:
    partial_of(download, small_model()).write_bytes(WEIGHTS[:1000])
    server.faults = [Fault("other_part", "model.safetensors")]
    download()
    assert download.visible() == HUB
    assert download.messages[0].startswith("model.safetensors: the server sent another part than the requested one.")


def test_a_partial_file_of_other_content_is_fetched_anew(server: FaultServer, download: Download) -> None:
    partial_of(download, small_model()).write_bytes(b"x" * 1000)
    download()
    assert download.visible() == HUB
    assert [server.count("model.safetensors", status) for status in (206, 200)] == [1, 1]


def test_without_a_published_digest_only_an_unchanged_file_is_resumed(server: FaultServer, download: Download) -> None:
    """A half of the old file and a half of the new one would have the right length and nothing to betray it."""
    known, path = small_model(digests=False), "/org/small/resolve/c0ffee/model.safetensors"
    server.faults = [Fault("drop", "model.safetensors", times=1, after_bytes=200_000)]
    server.faults += [Fault("status", "model.safetensors", times=-1)]
    with pytest.raises(DownloadError, match="503"):
        download(known)
    assert download.partial_bytes() >= 100_000
    server.files[path] = changed = random.Random(1).randbytes(len(WEIGHTS))
    server.faults = []
    download(known)
    assert download.visible()["model.safetensors"] == changed
    assert server.requests[-1].if_range is not None
    assert server.requests[-1].status == 200


def test_without_digest_and_etag_a_partial_file_starts_anew(server: FaultServer, download: Download) -> None:
    known = small_model(digests=False)
    partial_of(download, known).write_bytes(b"x" * 1000)
    download(known)
    assert download.visible() == HUB
    assert server.requests[-1].range is None


CHILD = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from tests.helpers.download import small_model
from gpt2simple.gpt2.hub import download
download._fetch_model(small_model(), Path(sys.argv[2]), source="huggingface", base_url=sys.argv[1], progress=False)
"""


def start_child(download: Download) -> subprocess.Popen[str]:
    arguments = [download.server.address, str(download.folder), str(ROOT)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_of_two_processes_one_downloads_and_the_other_waits(server: FaultServer, download: Download) -> None:
    held = Fault("wait", "config.json")
    server.faults = [held]
    with start_child(download) as child:
        wait_until(lambda: held.times == 0, "the child never asked for the first file")
        waiting = threading.Thread(target=download)
        waiting.start()
        wait_until(lambda: download.messages, "this process did not say that it waits")
        held.event.set()
        waiting.join(timeout=20)
        assert child.wait(timeout=20) == 0
    assert download.messages == [f"Another process is downloading into {download.folder}. Waiting for it."]
    assert download.visible() == HUB
    assert all(server.count(name) == 1 for name in HUB)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_download_leaves_no_broken_file_and_is_resumed(server: FaultServer, download: Download) -> None:
    stalled = Fault("stall", "model.safetensors", after_bytes=200_000)
    server.faults = [stalled]
    with start_child(download) as child:
        wait_until(lambda: download.folder.exists() and download.partial_bytes() > 100_000, "no partial file")
        os.kill(child.pid, signal.SIGKILL)
    stalled.event.set()
    assert holds_only(download, "config.json", "vocab.json", "merges.txt")
    assert not gpt2simple.is_gpt2_downloaded("124M", download.model_dir)
    download()
    assert download.visible() == HUB
    assert server.count("model.safetensors", 206) == 1
