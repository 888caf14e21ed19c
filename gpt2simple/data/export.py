"""Texts as the two kinds of file that gpt-2-simple reads: encoded .npz, and .txt with marked rows.

Both are sources here too. Knows no models.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gpt2simple.data.corpus import Corpus
from gpt2simple.data.documents import END_MARK
from gpt2simple.data.encode import Progress, encode_corpus
from gpt2simple.data.file_types import CSV, TEXT, TSV
from gpt2simple.data.files import Meter, clear_errors, find_files, members
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.outputs import UNMARKED, OutputKind, output_file

START_MARK = "<|startoftext|>"
ENCODED_TEXT = OutputKind("an encoded text of gpt2simple", begins=b"PK\x03\x04", mark=b"gpt2simple: encoded text")


def encode_dataset(
    dataset: Any,
    tokenizer: Tokenizer,
    out_path: Path,
    settings: TextSettings | None = None,
    *,
    combine: int = 50_000,
    progress: Progress,
) -> Corpus:
    """Encode a dataset, write its ids to an .npz file, and return the encoded text.

    Unlike gpt-2-simple's, the file has the end-of-text token itself between documents, not its spelling in seven
    tokens; gpt-2-simple reads it all the same.

    Args:
        combine: documents are joined in one array until it holds this many bytes of text.

    Raises:
        DataError: the dataset is missing, cannot be read or holds no text.
        SettingsError: ``out_path`` is a file that may not be replaced. StorageError: it cannot be written.
    """
    corpus = encode_corpus(dataset, tokenizer, settings, progress=progress)
    with (
        output_file(out_path, ENCODED_TEXT) as file,
        zipfile.ZipFile(cast(BinaryIO, file), "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.comment = ENCODED_TEXT.mark
        for number, (start, end) in enumerate(_groups(corpus, combine)):
            with archive.open(f"arr_{number}.npy", "w", force_zip64=True) as member:
                # Not the end-of-text id behind the last document: gpt-2-simple separates arrays itself.
                ids = np.ascontiguousarray(corpus.ids[start : end - 1], dtype=np.int32)  # (T,)
                np.lib.format.write_array(member, ids, allow_pickle=False)
    return corpus


def _groups(corpus: Corpus, combine: int) -> Iterator[tuple[int, int]]:
    """Start and end in ids of documents that together have ``combine`` bytes or more (the last may have fewer)."""
    start = joined = 0
    for document, size in enumerate(corpus.document_bytes.tolist()):
        joined += size
        if joined >= combine or document == corpus.documents - 1:
            yield int(corpus.document_starts[start]), int(corpus.document_ends[document])
            start, joined = document + 1, 0


def encode_csv(
    csv_path: Path,
    out_path: Path,
    settings: TextSettings | None = None,
    *,
    start_token: str = START_MARK,
    end_token: str = END_MARK,
) -> int:
    """Write the rows of a CSV or TSV file as text, each between two marks on lines of its own, and return their number.

    Args:
        settings: which column, or a template; the first column under a header by default, as in gpt-2-simple.

    Raises:
        DataError: the file is missing, is no table, or has no such column.
        SettingsError: ``out_path`` is a file that may not be replaced. StorageError: it cannot be written.
    """
    settings = settings or TextSettings(column=0, header=True)
    path = find_files(csv_path)[0]
    rows = 0
    with output_file(out_path, UNMARKED, [path]) as file:
        for text in _rows(path, settings):
            file.write(f"{start_token}{text}{end_token}\n".encode())
            rows += 1
    return rows


def _rows(path: Path, settings: TextSettings) -> Iterator[str]:
    with clear_errors(str(path)):
        for member in members(path, Meter()):
            table = CSV if member.kind is TEXT else member.kind  # gpt-2-simple takes a table under any name
            if table not in (CSV, TSV):
                raise DataError(f"{member.name} is a {table.name} file; expected a table, .csv or .tsv.")
            for part in table.read(member.name, member.stream, settings):
                yield part.text
