"""No content of a model's folder ends in anything but one clear error, or takes time and memory first."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile
from gpt2simple.gpt2.hub.download import holds_model
from gpt2simple.gpt2.tokenizer import Tokenizer
from tests.helpers.hostile import JSON, changed, require_clear
from tests.helpers.texts import BYTES
from tests.helpers.weight_layouts import random_weights, write_hparams, write_pytorch

HDF = b"\x89HDF\r\n\x1a\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_pytorch(folder, random_weights(), shards=2)
    write_hparams(folder)
    BYTES.save(folder)
    (folder / "added_tokens.json").write_text("{}")
    return folder


@pytest.fixture
def model(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def read_all(folder: Path) -> None:
    holds_model(folder)
    with open_checkpoint(folder) as source:
        for name in ("wte.weight", "h.1.mlp.c_fc.bias"):
            source.read(name)


def load_tokenizer(folder: Path) -> None:
    Tokenizer.load(folder).encode("text")


def load_pair(folder: Path) -> None:
    (folder / "tokenizer.json").unlink(missing_ok=True)
    load_tokenizer(folder)


READERS: dict[str, Callable[[Path], None]] = {
    "config.json": read_all,
    "model.safetensors.index.json": read_all,
    "tokenizer.json": load_tokenizer,
    "tokenizer_config.json": load_tokenizer,
    "vocab.json": load_pair,
    "merges.txt": load_pair,
    "added_tokens.json": load_pair,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", JSON)
def test_damaged_json_is_one_clear_error(model: Path, name: str, content: str) -> None:
    (model / name).write_bytes(JSON[content])
    message = require_clear(lambda: READERS[name](model), model)
    assert message is None or name in message or "vocabulary" in message or "model_type" in message


@pytest.mark.parametrize("name", READERS)
def test_a_value_of_another_kind_is_one_clear_error(model: Path, name: str) -> None:
    if name.endswith(".txt"):
        return
    values = json.loads((model / name).read_text())
    keys = list(values)[:20]
    if name == "tokenizer.json":
        keys += ["model/vocab", "model/merges", "model/type", "model/vocab/a", "pre_tokenizer/type"]
    if name.endswith("index.json"):
        keys = ["weight_map", f"weight_map/{next(iter(values['weight_map']))}"]
    for content in changed(values, *keys):
        (model / name).write_text(json.dumps(content))
        require_clear(lambda: READERS[name](model), model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"n_layer": 2147483648},
            r"n_layer is 2147483648; expected a whole number from 1 to 1,000\.",
        ),
        ({"n_layer": float("inf")}, r"n_layer is inf; expected a whole number"),
        ({"n_embd": 16.0}, r"n_embd is 16\.0; expected a whole number"),
        ({"n_head": "2"}, r"n_head is '2'; expected a whole number"),
        ({"n_head": 3}, r"n_embd is 16; expected a multiple of n_head, which is 3"),
        ({"vocab_size": 10**400}, r"n_vocab is a number of 1,329 bits; expected a whole number from 1 to 16,777,216"),
        ({"layer_norm_epsilon": float("inf")}, r"layer_norm_epsilon is inf; expected a number between 0 and 1"),
    ],
)
def test_a_config_may_not_claim_anything(model: Path, changes: dict[str, Any], message: str) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes).replace("Infinity", "1e999"))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(model)


def test_an_id_beyond_any_vocabulary_is_refused(model: Path) -> None:
    path = model / "vocab.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"a": 10**12}))
    with pytest.raises(CheckpointError, match=r"gives 'a' the id 1000000000000; expected a number below 16,777,216"):
        load_pair(model)


def safetensors(entries: Any, data: bytes = bytes(16)) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(*offsets: Any, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


GOOD = {"a": entry(0, 8), "b": entry(8, 16)}


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors({**GOOD, "empty": entry(8, 8, shape=[0])}))
    assert np.array_equal(SafetensorsFile(tmp_path / "a.safetensors").read("b"), np.zeros(2))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": entry(0, 8), "b": entry(0, 8)}, r"not a safetensors file: 'b' overlaps the tensor before it"),
        ({"a": entry(0, 8), "b": entry(4, 12)}, r"'b' overlaps"),
        ({"b": entry(8, 16)}, r"'b' leaves a gap before it"),
        ({"a": entry(0, 8)}, r"8 bytes at its end belong to no tensor"),
        (b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 16]}}', r"shape \[inf\] make no sense"),
        ({**GOOD, "c": entry(16, 16, shape=[0, 10**30])}, r"make no sense"),
        ({**GOOD, "c": entry(16, 16, shape=[0] * 100)}, r"make no sense"),
        ({**GOOD, "c": entry(16, 16, shape=[-1])}, r"make no sense"),
        ({**GOOD, "__metadata__": {"a": 1}}, r"__metadata__ holds something else than strings"),
    ],
)
def test_a_header_that_does_not_fit_its_data_is_refused(tmp_path: Path, entries: Any, message: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(entries))
    with pytest.raises(CheckpointError, match=message):
        SafetensorsFile(path)


def test_a_hostile_header_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    nested = changed(GOOD, "a", "a/dtype", "a/shape", "a/data_offsets") + changed({**GOOD, "__metadata__": {}})
    for content in (*JSON.values(), *(json.dumps(values).encode() for values in nested)):
        path.write_bytes(safetensors(content))

        def read() -> None:
            file = SafetensorsFile(path)
            for name in file.tensors:
                file.read(name)

        require_clear(read, tmp_path)


@pytest.mark.parametrize("content", [HDF + bytes(500), HDF + b"\xff" * 500, bytes(99)])
def test_a_damaged_h5_file_is_one_clear_error(model: Path, content: bytes) -> None:
    (model / "model.safetensors.index.json").unlink()
    (model / "tf_model.h5").write_bytes(content)
    assert require_clear(lambda: read_all(model), model)


@pytest.mark.parametrize("pointer", [b"", b'model_checkpoint_path: "model-1\0"', b'model_checkpoint_path: "m"', None])
def test_a_damaged_tf1_checkpoint_is_one_clear_error(model: Path, pointer: bytes | None) -> None:
    (model / "model.safetensors.index.json").unlink()
    if pointer is not None:
        (model / "checkpoint").write_bytes(pointer)
    for content in (b"x" * 100, bytes(5000)):
        (model / "model-1.index").write_bytes(content)
        (model / "model-1.data-00000-of-00001").write_bytes(content)
        assert require_clear(lambda: read_all(model), model)
