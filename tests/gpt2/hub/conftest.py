"""Fixtures of the download tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.download import HUB, OPENAI, Download
from tests.helpers.fault_server import FaultServer, serving


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "GPT2SIMPLE_OPENAI_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as state:
        state.files = {f"/org/small/resolve/c0ffee/{name}": data for name, data in HUB.items()}
        state.files |= {f"/124M/{name}": data for name, data in OPENAI.items()}
        yield state


@pytest.fixture
def download(server: FaultServer, tmp_path: Path, messages: list[str]) -> Download:
    return Download(server, tmp_path / "models", messages)
