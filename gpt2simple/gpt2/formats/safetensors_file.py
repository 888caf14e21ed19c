"""Safetensors files, read and written one tensor at a time.

Why not the safetensors library: it maps the whole file into memory, where every page it touches counts as resident;
its numpy side cannot read bfloat16; and it writes only tensors that are all in memory at once, which for a 355M model
with its optimizer state would be four gigabytes. The format itself is an 8-byte length, a JSON header and the data.
Knows nothing of GPT-2: names and numbers may be any.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from gpt2simple.backend.arrays import aligned_empty
from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.validate import open_data
from gpt2simple.storage.contents import json_object, quoted, reason

_DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
PYTORCH_METADATA = {"format": "pt"}  # for the header: without it transformers takes the tensors for TensorFlow's
_FLOATS = ("F64", "F32", "F16", "BF16")
_LENGTH = struct.Struct("<Q")
_MOST_DIMENSIONS, _MOST_VALUES = 16, 1 << 48
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: its place in the header, and a function that makes its values when their turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # F32, F16, BF16, I64, ...; the values are converted to it
    values: Callable[[], np.ndarray]

    @property
    def n_bytes(self) -> int:
        """What its values take in the file."""
        return math.prod(self.shape) * _DTYPES[self.dtype].itemsize


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file."""

    dtype: str
    shape: tuple[int, ...]
    start: int  # byte offset in the file
    size: int  # bytes


class SafetensorsFile:
    """A safetensors file, open for reading; its header has been checked against its length.

    Attributes:
        tensors: what it holds, by name.
        metadata: the strings its writer left.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and check its header.

        Raises:
            CheckpointError: it is no safetensors file, cut short, or has data that belongs to no tensor or to two.
        """
        self.path = path
        self._file = open_data(path)
        try:
            self.metadata, self.tensors = _read_header(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def read(self, name: str) -> np.ndarray:
        """One tensor in the type it is stored in; bfloat16 comes as ml_dtypes' type."""
        tensor = self.tensors[name]
        array = aligned_empty(tensor.shape, _DTYPES[tensor.dtype])
        self._file.seek(tensor.start)
        if self._file.readinto(array.reshape(-1).view(np.uint8).data) != tensor.size:
            raise CheckpointError(f"{self.path} was cut short while {name} was read. Copy or download it again.")
        return array

    def is_float(self, name: str) -> bool:
        return self.tensors[name].dtype in _FLOATS

    def close(self) -> None:
        self._file.close()


def write_safetensors(file: BinaryIO, tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, holding the values of one tensor at a time.

    Args:
        file: an open binary file (such as `storage.atomic_file` yields).
        tensors: what to write. Wider types come first in the file, so that readers that map it find every value
            aligned; within a type the order is kept.
        metadata: strings for the header, such as `PYTORCH_METADATA`.
    """
    ordered = sorted(tensors, key=lambda tensor: -_DTYPES[tensor.dtype].itemsize)
    file.write(_header(ordered, metadata))
    for tensor in ordered:
        values = np.ascontiguousarray(tensor.values(), _DTYPES[tensor.dtype])
        assert values.size == math.prod(tensor.shape), (tensor.name, values.shape, tensor.shape)
        file.write(values.reshape(-1).view(np.uint8).data)
        del values  # before the next one is made


def _header(tensors: list[Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for tensor in tensors:
        assert tensor.name not in header, f"two tensors named {tensor.name}"
        start, end = end, end + tensor.n_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    return _LENGTH.pack(len(text)) + text


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, str], dict[str, StoredTensor]]:
    total = os.fstat(file.fileno()).st_size
    first = file.read(_LENGTH.size)
    length = _LENGTH.unpack(first)[0] if len(first) == _LENGTH.size else _LARGEST_HEADER + 1
    if length > _LARGEST_HEADER:
        raise _unreadable(path, "it does not begin with the length of a header")
    if _LENGTH.size + length > total:
        raise _cut_short(path, total, _LENGTH.size + length)
    try:
        header = json_object(file.read(length).decode("utf-8"))
        metadata = header.pop("__metadata__", None) or {}
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("__metadata__ holds something else than strings")
        tensors = {name: _entry(entry, _LENGTH.size + length) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, f"its header cannot be understood ({reason(error)})") from error
    end = max((tensor.start + tensor.size for tensor in tensors.values()), default=_LENGTH.size + length)
    if end > total:
        raise _cut_short(path, total, end)
    _require_no_gaps(path, tensors, _LENGTH.size + length, total)
    return metadata, tensors


def _require_no_gaps(path: Path, tensors: Mapping[str, StoredTensor], start: int, end: int) -> None:
    """The data is that of the tensors, one after the other: otherwise a header was edited, or belongs to other data."""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
        if tensor.start != start:
            how = "overlaps the tensor before it" if tensor.start < start else "leaves a gap before it"
            raise _unreadable(path, f"{quoted(name)} {how}")
        start += tensor.size
    if start != end:
        raise _unreadable(path, f"{end - start:,} bytes at its end belong to no tensor")


def _entry(entry: Mapping[str, Any], base: int) -> StoredTensor:
    """One entry of the header; ValueError, TypeError or KeyError if it makes no sense."""
    dtype, shape = str(entry["dtype"]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if dtype not in _DTYPES:
        raise ValueError(f"the type {quoted(dtype)} is unknown")
    whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))  # JSON's true and 1e999 are not
    # NumPy refuses what is larger even where a 0 among the sizes makes it empty.
    if not whole or len(shape) > _MOST_DIMENSIONS or math.prod(max(n, 1) for n in shape) > _MOST_VALUES:
        raise ValueError(f"offsets {quoted([begin, end])} and shape {quoted(list(shape))} make no sense")
    size = math.prod(shape) * _DTYPES[dtype].itemsize
    if end - begin != size:
        raise ValueError(f"offsets {quoted([begin, end])} for a {dtype} of shape {quoted(list(shape))}")
    return StoredTensor(dtype, shape, base + begin, size)


def _unreadable(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a safetensors file: {why}. Copy or download it again.")


def _cut_short(path: Path, found: int, expected: int) -> CheckpointError:
    return CheckpointError(
        f"{path} is cut short: {found:,} bytes of at least {expected:,}. Copy or download it again; if it "
        "belongs to a run, the checkpoints in its step folders may still be whole."
    )
