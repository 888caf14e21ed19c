"""Texts that gpt-2-simple encoded before: .npz files of token ids.

They are decoded and encoded again, which gives the end-of-text token its right id: gpt-2-simple encoded its spelling.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from gpt2simple.data.documents import TextPart
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer

_TOKENS_AT_ONCE = 1 << 18


def read_npz(name: str, stream: BinaryIO, tokenizer: Tokenizer) -> Iterator[TextPart]:
    """One document for each array, and a new one after each end-of-text id.

    Raises:
        DataError: the file holds no token ids, or ids of another vocabulary.
    """
    try:
        with np.load(stream, allow_pickle=False) as arrays:
            for key in arrays.files:
                yield from _documents(name, _checked(name, key, arrays[key], tokenizer), tokenizer)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name} is not an .npz file of token ids ({error}). Encode the text again, or give the text itself."
        ) from error


def _checked(name: str, key: str, ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    if ids.ndim != 1 or ids.dtype.kind not in "ui":
        raise DataError(
            f"{name} holds {key}, {ids.dtype} of shape {ids.shape}; expected token ids, whole numbers in one row. "
            "Encode the text again, or give the text itself."
        )
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocab_size:
        strange = int(ids.max()) if int(ids.max()) >= tokenizer.vocab_size else int(ids.min())
        raise DataError(
            f"{name} holds the id {strange}, and the model's vocabulary has {tokenizer.vocab_size} tokens: it was "
            "encoded for another model. Give the text itself."
        )
    return ids


def _documents(name: str, ids: np.ndarray, tokenizer: Tokenizer) -> Iterator[TextPart]:
    for document in np.split(ids, np.flatnonzero(ids == tokenizer.end_of_text)):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for start in range(0, len(document), _TOKENS_AT_ONCE):
            data = tokenizer.decode_bytes(document[start : start + _TOKENS_AT_ONCE].tolist())
            yield TextPart(decoder.decode(data), False)
        yield TextPart(decoder.decode(b"", final=True))
