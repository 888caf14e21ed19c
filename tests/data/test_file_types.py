"""Which reader serves which file: by its name, and by its first bytes where those tell more."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from gpt2simple.data import file_types
from gpt2simple.data.documents import TextPart
from gpt2simple.data.file_types import FILE_TYPES, FileType, file_type
from gpt2simple.settings.text import TextSettings
from tests.helpers.texts import documents_in


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.txt", b"text", "text"), ("a", b"text", "text"), ("a.log", b"text", "text"), ("A.CSV", b"a,b", "csv"),
        ("a.tab", b"a\tb", "tsv"), ("a.ndjson", b"{}", "jsonl"), ("a.json", b"[]", "json"),
        ("a.txt", b"PAR1...", "parquet"), ("a.parquet", b"text", "parquet"), ("a.npz", b"PK\x03\x04", "npz"),
        ("a.npz", b"text", "text"), ("a.csv", b"PK\x03\x04", "text"),
    ],
)  # fmt: skip
def test_the_type_follows_from_name_and_first_bytes(name: str, head: bytes, expected: str) -> None:
    assert file_type(name, head).name == expected


def test_no_suffix_stands_in_two_rows() -> None:
    suffixes = [suffix for kind in FILE_TYPES for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_a_new_type_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(name: str, stream: BinaryIO, settings: TextSettings) -> Iterator[TextPart]:
        with zipfile.ZipFile(stream) as archive:
            yield TextPart(archive.read("word/document.xml").decode(settings.encoding))

    row = FileType("docx", read, (".docx",), zipped=True)
    monkeypatch.setattr(file_types, "FILE_TYPES", (*FILE_TYPES, row))
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("word/document.xml", "Once upon a time.")
    assert documents_in(tmp_path / "a.docx", tmp_path / "cache") == ["Once upon a time."]
