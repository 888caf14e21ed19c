"""A small published model, and a download of it whose messages and waits are recorded."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub import download, fetch, registry
from gpt2simple.gpt2.hub.registry import KnownModel, PublishedFile
from tests.helpers.fault_server import FaultServer

WEIGHTS = random.Random(0).randbytes(300_000)
HUB = {
    "config.json": b'{"model_type": "gpt2"}',
    "vocab.json": b'{"a": 0}',
    "merges.txt": b"#version: 0.2\n",
    "model.safetensors": WEIGHTS,
}
OPENAI = {
    "checkpoint": b'model_checkpoint_path: "model.ckpt"\n',
    "encoder.json": b'{"a": 0}',
    "vocab.bpe": b"#version: 0.2\n",
    "hparams.json": b'{"n_vocab": 1}',
    "model.ckpt.meta": b"\ngraph",
    "model.ckpt.index": b"index",
    "model.ckpt.data-00000-of-00001": WEIGHTS,
}


def published(files: dict[str, bytes], *, sizes: bool = True, digests: bool = True) -> tuple[PublishedFile, ...]:
    return tuple(
        PublishedFile(name, len(data) if sizes else None, hashlib.sha256(data).hexdigest() if digests else None)
        for name, data in files.items()
    )


def small_model(*, sizes: bool = True, digests: bool = True) -> KnownModel:
    """An entry named 124M whose files are the small ones above."""
    return KnownModel(
        name="124M",
        config=ModelConfig(n_vocab=8, n_ctx=8, n_embd=4, n_head=1, n_layer=1),
        hub_repo="org/small",
        hub_revision="c0ffee",
        hub_files=published(HUB, sizes=sizes, digests=digests),
        openai_folder="124M",
        openai_files=published(OPENAI, sizes=sizes, digests=digests),
    )


class Download:
    """One call, with its waits recorded instead of made."""

    def __init__(self, server: FaultServer, folder: Path, messages: list[str]) -> None:
        self.server = server
        self.model_dir = folder
        self.folder = folder / "124M"
        self.messages = messages
        self.waits: list[float] = []

    def __call__(self, known: KnownModel | None = None, *, source: str = "huggingface", base_url: str = "") -> Path:
        return download._fetch_model(
            known or small_model(),
            self.folder,
            source=source,
            base_url=base_url or self.server.address,
            progress=False,
            sleep=self.waits.append,
        )

    def visible(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.folder.iterdir() if not p.name.startswith(".")}

    def partial_bytes(self) -> int:
        return sum(p.stat().st_size for p in self.folder.glob(".part-*") if p.suffix != ".etag")


def holds_only(download: Download, *names: str) -> bool:
    """Only these files under their own names, and none of them broken."""
    return download.visible() == {name: HUB[name] for name in names}


def partial_of(download: Download, known: KnownModel) -> Path:
    download.folder.mkdir(parents=True, exist_ok=True)
    last = registry.downloads_of(known, base_url=download.server.address)[-1]
    return fetch.partial_path(download.folder, last)
