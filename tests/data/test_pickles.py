"""Files that would run code when they are unpickled never are: as a text, a model, a tokenizer or a run."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs import metrics, samples
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.writer import RunWriter
from tests.helpers.hostile import require_clear
from tests.helpers.run_folders import begin
from tests.helpers.texts import BYTES, encode
from tests.helpers.weight_layouts import random_weights, write_pytorch


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._folder),)


def pickled(flag: Path, protocol: int) -> bytes:
    return pickle.dumps([Runs(flag)], protocol)


def object_array(flag: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Runs(flag)], dtype=object), allow_pickle=True)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + (".npy" if "array" in name else ".pkl"), content)
    return file.getvalue()


CONTENTS: dict[str, Callable[[Path], bytes]] = {
    **{f"protocol {number}": lambda flag, number=number: pickled(flag, number) for number in range(6)},
    "array": object_array,
    "npz": lambda flag: zipped(array=object_array(flag)),
    "PyTorch": lambda flag: zipped(model__data=pickled(flag, 2)),
    "gzip": lambda flag: gzip.compress(pickled(flag, 4)),
}
TEXTS = ("a.pkl", "a.pickle", "a.joblib", "a.pt", "a.bin", "a.npz", "a.npy", "a.txt", "a.csv", "a.json", "a.parquet")
MODELS = ("pytorch_model.bin", "model.safetensors", "tf_model.h5", "config.json", "tokenizer.json", "vocab.json")
RUNS = ("run.json", "metrics.jsonl", "samples/index.json", "step-000003/state.json", "step-000003/manifest.json",
        "step-000003/optimizer.safetensors", "step-000003/model.safetensors")  # fmt: skip


def never_runs(content: str, tmp_path: Path, read: Callable[[bytes], Any]) -> str | None:
    flag = tmp_path / "ran"
    data = CONTENTS[content](flag)
    message = require_clear(lambda: read(data), tmp_path)
    assert not flag.exists()
    return message


@pytest.mark.parametrize("content", CONTENTS)
def test_a_text_is_not_unpickled(tmp_path: Path, content: str) -> None:
    for name in TEXTS:
        path = tmp_path / content / name
        path.parent.mkdir(exist_ok=True)

        def read(data: bytes, path: Path = path) -> None:
            path.write_bytes(data)
            encode(path, tmp_path / "cache")

        message = never_runs(content, tmp_path, read)
        # Protocols 0 and 1 may be plain text, which is learned as such.
        assert message is not None or content in ("protocol 0", "protocol 1"), name
        if content == "protocol 4" and name in ("a.pkl", "a.txt", "a.joblib"):
            assert message.endswith(f"{name} is a Python pickle, not text. Save its content as plain text first.")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_pytorch(folder / "model", random_weights())
    BYTES.save(folder / "model")
    begin(folder / "run", 3, 6, best=3)
    return folder


@pytest.mark.parametrize("content", CONTENTS)
def test_a_model_is_not_unpickled(tmp_path: Path, whole: Path, content: str) -> None:
    for name in MODELS:
        folder = Path(shutil.copytree(whole / "model", tmp_path / f"{content} {name}"))
        if name in ("pytorch_model.bin", "tf_model.h5"):
            (folder / "model.safetensors").unlink()
        if name == "vocab.json":
            (folder / "tokenizer.json").unlink()

        def read(data: bytes, folder: Path = folder, name: str = name) -> None:
            (folder / name).write_bytes(data)
            if "tok" in name or "vocab" in name:
                Tokenizer.load(folder)
            with open_checkpoint(folder) as source:
                source.read("wte.weight")

        assert never_runs(content, tmp_path, read) is not None, name


@pytest.mark.parametrize("content", CONTENTS)
def test_a_run_is_not_unpickled(tmp_path: Path, whole: Path, content: str) -> None:
    for name in RUNS:
        folder = Path(shutil.copytree(whole / "run", tmp_path / f"{content} {name.replace('/', ' ')}"))

        def read(data: bytes, folder: Path = folder, name: str = name) -> None:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            run = RunWriter(folder)
            with run.lock():
                run.repair()
            metrics.read(folder), samples.read(folder), RunFolder(folder).best()

        never_runs(content, tmp_path, read)
