"""No content of a file of texts ends in anything but one clear error."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import pytest

from gpt2simple.data import documents
from gpt2simple.data.documents import TextPart
from gpt2simple.data.readers import plain
from gpt2simple.errors import DataError
from tests.helpers.hostile import DEEP, JSON, require_clear
from tests.helpers.texts import BYTES, encode, texts_of, write


def zipped(content: bytes, name: str = "a.txt", *, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    data = bytearray(file.getvalue())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(signature) + offset, method)
    return bytes(data)


def array_header(shape: str, dtype: str = "<u2") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def packed(content: bytes, times: int) -> bytes:
    for _ in range(times):
        content = gzip.compress(content)
    return content


CONTENTS = {
    "a.zip": [
        zipped(b"text", method=99),  # AES
        zipped(b"text", method=9),  # deflate64
        zipped(b"text", method=14),  # LZMA, which this is not
        zipped(b"text", method=8),
        zipped(b"text")[:60],
        zipped(b"text").replace(b"text", b"tExt"),  # the checksum
        zipped(zipped(zipped(zipped(zipped(zipped(b"text"), "b.zip"), "b.zip"), "b.zip"), "b.zip"), "b.zip"),
    ],
    "a.gz": [packed(b"text", 6), gzip.compress(b"text")[:-4], b"\x1f\x8b\x08\xff" + bytes(30)],
    "a.xz": [b"\xfd7zXZ\0" + bytes(100)],
    "a.json": list(JSON.values()),
    "a.jsonl": [*JSON.values(), b'{"text": "a"}\n' + DEEP.encode(), b'{"text": {"a": 1}}', b'{"a": 1, "b": NaN}'],
    "a.csv": [b'"' + b"x," * 1000, bytes(1000), b"a,b\n" + b"1," * 10_000, b'a\n"\xe9"\n'],
    "a.npz": [
        zipped(b"raw", "raw.npy"),
        zipped(b"", "raw.npy"),
        *(
            zipped(array_header(*header) + bytes(10), "a.npy")
            for header in (
                (f"({10**15},)",), (f"({10**30},)",), ("(-1,)",), ("()",), (f"({10**9}, {10**9})",), ("('a',)",),
                ("(5,)", "|O"), ("(5,)", "<f4"), ("(5,)", "|S9"), ("(5,)", "nonsense"), ("(1e999,)",), ("(" * 200,),
            )
        ),
    ],
    "a.parquet": [b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, all_ in CONTENTS.items() for content in all_])
def test_whatever_a_file_holds_gives_a_text_or_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path / name, content)
    message = require_clear(lambda: encode(path, tmp_path / "cache"), tmp_path)
    assert message is None or name in message or "no text" in message or "empty" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.zip", zipped(b"text", method=99), r"packed in a way that Python cannot unpack \(.*Unpack it first"),
        ("a.gz", packed(b"text", 6), r"a\.gz is packed more than 4 times over\. Unpack it first"),
        ("a.npz", zipped(b"raw", "x.npy"), r"a\.npz is not an \.npz file of token ids \(x: .*Encode the text again"),
        ("a.npz", zipped(array_header("(1000000000000,)"), "x.npy"), r"ends before the 1,000,000,000,000 ids that"),
        ("a.jsonl", b'"a"\n' + DEEP.encode(), r"a\.jsonl, line 2: this is not JSON \(it is nested too deeply\)"),
        ("a.json", b'[{"text": "a"}, {"text": "b\\ud83d"}]', r"a\.json, entry 1: the text holds half a surrogate pair"),
    ],
)  # fmt: skip
def test_the_error_names_the_cause_and_the_next_step(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(write(tmp_path / name, content), tmp_path / "cache")


def test_a_cut_emoji_among_many_lines_is_named_with_its_line(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"line {number}", "unused": "\ud83d"}) for number in range(2000)]
    assert len(texts_of(encode(write(tmp_path / "a.jsonl", "\n".join(lines)), tmp_path / "cache"))) == 2000
    lines[1234] = '{"text": "cut \\ud83d", "unused": ""}'
    with pytest.raises(DataError, match=r"b\.jsonl, line 1235: the text holds half a surrogate pair.*Remove it, or"):
        encode(write(tmp_path / "b.jsonl", "\n".join(lines)), tmp_path / "cache")


def test_a_well_packed_text_is_streamed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", gzip.compress(b"word " * 1_000_000))
    assert path.stat().st_size * 100 < 5_000_000
    assert texts_of(encode(path, tmp_path / "cache")) == ["word " * 1_000_000]


def test_a_line_longer_than_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_LONGEST_LINE", 1000)
    for name in ("a.jsonl", "a.csv", "a.json"):
        path = write(tmp_path / f"{name}.gz", gzip.compress(b'"' + b"x" * 5000 + b'"'))
        with pytest.raises(DataError, match=rf"{name}\.gz (has a line|holds a text) of more than 1,000 characters"):
            encode(path, tmp_path / "cache")


def test_endless_white_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MOST_BLANKS", 5000)
    assert texts_of(encode(write(tmp_path / "a.txt", " " * 5000 + "text"), tmp_path / "cache")) == [" " * 5000 + "text"]
    with pytest.raises(DataError, match=r"begins with more than 5,000 characters of white space\. Remove them"):
        encode(write(tmp_path / "b.txt", " " * 1_200_000 + "text"), tmp_path / "cache")


class Counted(str):
    """A text that counts the characters copied by adding to it and by cutting it."""

    copied = 0

    def __new__(cls, text: str) -> Counted:
        Counted.copied += len(text)
        return super().__new__(cls, text)

    def __add__(self, other: str) -> Counted:
        return Counted(str.__add__(self, other))

    def __radd__(self, other: str) -> Counted:
        return Counted(other + str(self))

    def __getitem__(self, place: SupportsIndex | slice) -> str:
        return Counted(str.__getitem__(self, place))


def test_one_long_line_is_read_in_parts_without_copying_the_rest_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [Counted("word " * 10)] * 1000
    monkeypatch.setattr(plain, "decoded", lambda *_: iter(reads))
    for work in (
        lambda: plain.decoded_lines("", io.BytesIO(), ""),
        lambda: documents.split_long([TextPart(Counted("".join(reads)))], 100),
    ):
        Counted.copied = 0
        parts = list(work())
        assert sum(map(len, (getattr(part, "text", part) for part in parts))) == 50_000
        assert Counted.copied <= 4 * 50_000


@pytest.mark.parametrize("make", ["bad UTF-8", "far time"])
def test_a_value_that_parquet_holds_and_python_cannot_is_explained(tmp_path: Path, make: str) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from pyarrow import parquet

    if make == "bad UTF-8":
        bad = pyarrow.Array.from_buffers(
            pyarrow.string(), 1, [None, pyarrow.py_buffer(struct.pack("<ii", 0, 1)), pyarrow.py_buffer(b"\xe9")]
        )
        table = pyarrow.table({"text": bad})
    else:
        table = pyarrow.table({"text": ["a"], "when": pyarrow.array([2**62], pyarrow.timestamp("us"))})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"holds a value that cannot be read \(.*Name the column of the text"):
        encode(tmp_path / "a.parquet", tmp_path / "cache")
    if make == "far time":
        assert texts_of(encode(tmp_path / "a.parquet", tmp_path / "cache", column="text")) == ["a"]


def test_an_array_of_many_ids_is_read_in_parts(tmp_path: Path) -> None:
    ids = np.array([*BYTES.encode("word " * 120_000), BYTES.end_of_text, *BYTES.encode("last")])
    np.savez(tmp_path / "a.npz", ids)
    assert texts_of(encode(tmp_path / "a.npz", tmp_path / "cache")) == ["word " * 120_000, "last"]


def test_a_closed_standard_input_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match=r"standard input is closed\. Give the name of a file"):
        encode("-", tmp_path / "cache")


@pytest.mark.parametrize("name", ["text.json", "documents.npy", "grams.npy", "*.json"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.txt", "some text")
    encode(path, tmp_path / "cache")
    for entry in (tmp_path / "cache").rglob(name):
        entry.write_bytes(DEEP.encode())
    assert texts_of(encode(path, tmp_path / "cache")) == ["some text"]
