"""Safetensors files: ours are read by the library, the library's by us, damaged ones by nobody."""

import io
import json
import struct
import weakref

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile, Tensor, write_safetensors

ARRAYS = {
    "matrix": np.random.RandomState(0).standard_normal((3, 5)).astype(np.float32),
    "step": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float32),
    "half": np.array([1.5, -2.25], np.float16),
}
DTYPES = {"matrix": "F32", "step": "I64", "empty": "F32", "half": "F16"}


def tensors():
    return [Tensor(name, array.shape, DTYPES[name], lambda name=name: ARRAYS[name]) for name, array in ARRAYS.items()]


def write_file(path, given, metadata):
    with path.open("wb") as file:
        write_safetensors(file, given, metadata)


def read_all(path):
    file = SafetensorsFile(path)
    try:
        return {name: file.read(name) for name in file.tensors}, file.metadata
    finally:
        file.close()


def assert_same(found):
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_the_library_reads_what_we_write(tmp_path):
    write_file(tmp_path / "a.safetensors", tensors(), {"format": "pt"})
    assert_same(load_file(tmp_path / "a.safetensors"))


def test_we_read_what_the_library_writes(tmp_path):
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found, metadata = read_all(tmp_path / "a.safetensors")
    assert_same(found)
    assert metadata == {"format": "pt"}


def test_arrays_begin_where_tensorflow_needs_no_copy(tmp_path):
    path = tmp_path / "some.safetensors"
    write_file(path, tensors(), {})
    assert {array.ctypes.data % 64 for array in read_all(path)[0].values() if array.size} == {0}


def test_an_open_file_is_written_to_and_left_open():
    file = io.BytesIO()
    write_safetensors(file, tensors(), {})
    assert not file.closed
    length = struct.unpack("<Q", file.getvalue()[:8])[0]
    assert length % 8 == 0  # so the data begins aligned
    assert file.getbuffer().nbytes == 8 + length + sum(array.nbytes for array in ARRAYS.values())


def test_bfloat16_rounds_to_the_nearest_even_and_comes_back(tmp_path):
    values = np.array([1.0, 1.00390625, 1.01171875, 3.0e38, -0.0], np.float32)  # two ties: down to 1, up to 1.015625
    write_file(tmp_path / "a", [Tensor("x", values.shape, "BF16", lambda: values)], {})
    found, _ = read_all(tmp_path / "a")
    assert found["x"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(
        found["x"].astype(np.float32), np.float32([1.0, 1.0, 1.015625, float(ml_dtypes.bfloat16(3.0e38)), -0.0])
    )


def test_values_are_let_go_before_the_next_are_made(tmp_path):
    made = []

    def make():
        assert all(earlier() is None for earlier in made)
        values = np.zeros(4, np.float32)
        made.append(weakref.ref(values))
        return values

    write_file(tmp_path / "a", [Tensor(f"t{i}", (4,), "F32", make) for i in range(3)], {})
    assert len(made) == 3


def header(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x01\x02", "not a safetensors file: it does not begin with the length of a header"),
        (b"\xff" * 64, "not a safetensors file: it does not begin with the length of a header"),
        (struct.pack("<Q", 500) + b"{}", r"cut short: 10 bytes of at least 508"),
        (struct.pack("<Q", 4) + b"{{{{", "not a safetensors file: its header cannot be understood"),
        (header([]), "its header cannot be understood"),
        (header({"x": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}), "the type 'F8_E4M3' is unknown"),
        (
            header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}),
            r"offsets \[0, 4\] for a F32 of shape \[2\]",
        ),
        (header({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}) + b"1234", "cut short"),
        (b"", "is empty: a copy or download was cut off"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 9\n",
            "is a Git LFS pointer, not the data.*git lfs pull",
        ),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not the data"),
    ],
)
def test_a_damaged_file_is_refused_with_its_reason(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        SafetensorsFile(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"x": np.zeros(100_000, np.float32)}, path)
    file = SafetensorsFile(path)
    with path.open("r+b") as opened:
        opened.truncate(1000)
    with pytest.raises(CheckpointError, match="was cut short while x was read"):
        file.read("x")
    file.close()
