"""Texts that gpt-2-simple encoded before: .npz files of token ids.

They are decoded and encoded again, which gives the end-of-text token its right id: gpt-2-simple encoded its spelling.
Read in parts: a member of a few bytes may claim, or unpack to, more ids than the memory holds.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO

import numpy as np

from gpt2simple.data.documents import TextPart
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.storage.contents import reason

_TOKENS_AT_ONCE = 1 << 18
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ADVICE = "Encode the text again, or give the text itself."


def read_npz(name: str, stream: BinaryIO, tokenizer: Tokenizer) -> Iterator[TextPart]:
    """One document for each array, and a new one after each end-of-text id.

    Raises:
        DataError: the file holds no token ids, or ids of another vocabulary.
    """
    with zipfile.ZipFile(stream) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                yield from _documents(_ids(name, member.removesuffix(".npy"), file, tokenizer), tokenizer)


def _ids(name: str, key: str, file: IO[bytes], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """The ids of an array in parts.

    Raises:
        DataError: it is none of token ids, holds ids of another vocabulary, or ends early.
    """
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # NumPy evaluates the header as Python
        raise DataError(f"{name} is not an .npz file of token ids ({key}: {reason(error)}). {_ADVICE}") from error
    if len(shape) != 1 or dtype.kind not in "ui":
        raise DataError(
            f"{name} holds {key}, {dtype} of shape {str(shape)[:60]}; expected token ids, whole numbers in one row. "
            f"{_ADVICE}"
        )
    left = shape[0]
    while left > 0:
        count = min(left, _TOKENS_AT_ONCE)
        data = file.read(count * dtype.itemsize)
        if len(data) < count * dtype.itemsize:
            raise DataError(f"{name} ends before the {shape[0]:,} ids that its {key} should have. {_ADVICE}")
        ids = np.frombuffer(data, dtype)  # (N,)
        if not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
            strange = int(ids.max()) if int(ids.max()) >= tokenizer.vocab_size else int(ids.min())
            raise DataError(
                f"{name} holds the id {strange}, and the model's vocabulary has {tokenizer.vocab_size} tokens: it was "
                "encoded for another model. Give the text itself."
            )
        yield ids
        left -= count


def _documents(parts: Iterator[np.ndarray], tokenizer: Tokenizer) -> Iterator[TextPart]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for ids in parts:
        for number, piece in enumerate(np.split(ids, np.flatnonzero(ids == tokenizer.end_of_text))):
            if number:
                yield TextPart(decoder.decode(b"", final=True))
                decoder.reset()
            yield TextPart(decoder.decode(tokenizer.decode_bytes(piece.tolist())), False)
    yield TextPart(decoder.decode(b"", final=True))
