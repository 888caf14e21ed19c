"""Models of a small hub: what its API says of them, and their files, on the server of the download tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.helpers.fault_server import FaultServer

COMMIT, OTHER_COMMIT = "c0ffee" + "0" * 34, "decade" + "1" * 34
REPO = "writers/small-gpt2"
CONFIG = {"model_type": "gpt2", "vocab_size": 8, "n_positions": 8, "n_embd": 4, "n_head": 1, "n_layer": 1}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40,
}


def publish(
    server: FaultServer,
    files: dict[str, bytes],
    *,
    repo: str = REPO,
    commit: str = COMMIT,
    revisions: tuple[str, ...] = ("main",),
    card: dict[str, Any] | None = None,
) -> None:
    """Make a model available at a commit, and under the names of branches and tags."""
    siblings = [
        {"rfilename": name, "size": len(data), **({"lfs": _lfs(data)} if name.endswith("tensors") else {})}
        for name, data in files.items()
    ]
    answer = json.dumps({"id": repo, "sha": commit, "siblings": siblings, "cardData": card or {}}).encode()
    for revision in (commit, *revisions):
        server.files[f"/api/models/{repo}/revision/{revision}?blobs=true"] = answer
    server.files |= {f"/{repo}/resolve/{commit}/{name}": data for name, data in files.items()}


def _lfs(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def publish_folder(server: FaultServer, folder: Path, **others: Any) -> None:
    """The same for the files of a folder."""
    publish(server, {path.name: path.read_bytes() for path in folder.iterdir()}, **others)


def visible(folder: Path) -> dict[str, bytes]:
    """The files in a folder by name, without hidden ones."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
