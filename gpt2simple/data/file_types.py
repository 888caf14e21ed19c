"""The types of file that texts come in, one row each: how the type is recognised, and its reader.

A new type is a reader in `readers` and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from gpt2simple.data.documents import TextPart
from gpt2simple.data.readers.json_lines import read_json, read_json_lines
from gpt2simple.data.readers.npz import read_npz
from gpt2simple.data.readers.parquet import read_parquet
from gpt2simple.data.readers.plain import read_lines, read_plain
from gpt2simple.data.readers.tables import read_table

ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class FileType:
    """A type of file.

    Attributes:
        name: for messages, and for the setting ``format`` where that offers it.
        read: takes the file's name for messages, its stream and the TextSettings, and yields the text.
        suffixes: endings of its names, lower case.
        magic: how every such file begins; it overrides the name.
        zipped: whether it is a zip archive of a kind of its own, known by its name.
        holds_ids: whether it holds token ids; ``read`` then takes the tokenizer in place of the settings.
    """

    name: str
    read: Callable[[str, BinaryIO, Any], Iterator[TextPart]]
    suffixes: tuple[str, ...] = ()
    magic: bytes = b""
    zipped: bool = False
    holds_ids: bool = False


TEXT = FileType("text", read_plain, (".txt", ".md"))
LINES = FileType("lines", read_lines)
NPZ = FileType("npz", read_npz, (".npz",), zipped=True, holds_ids=True)
CSV = FileType("csv", partial(read_table, delimiter=","), (".csv",))
TSV = FileType("tsv", partial(read_table, delimiter="\t"), (".tsv", ".tab"))

FILE_TYPES = (
    TEXT,
    LINES,
    NPZ,
    CSV,
    TSV,
    FileType("jsonl", read_json_lines, (".jsonl", ".ndjson")),
    FileType("json", read_json, (".json",)),
    FileType("parquet", read_parquet, (".parquet",), magic=b"PAR1"),
)


def type_named(name: str) -> FileType:
    """The type that a value of the setting ``format`` means."""
    return next(kind for kind in FILE_TYPES if kind.name == name)


def file_type(name: str, head: bytes) -> FileType:
    """The type of a file, from its name and its first bytes; plain text by default."""
    suffix, is_zip = PurePosixPath(name.lower()).suffix, head.startswith(ZIP)
    by_name = (kind for kind in FILE_TYPES if suffix in kind.suffixes and kind.zipped == is_zip)
    by_magic = (kind for kind in FILE_TYPES if kind.magic and head.startswith(kind.magic))
    return next(by_magic, None) or next(by_name, TEXT)
