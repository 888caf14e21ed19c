"""The text of a dataset without encoding it, and the documents of an encoded one as strings again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.data.documents import documents, split_long
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.data.sources import open_source
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings

_PART_CHARACTERS = 1 << 17


def read_texts(
    dataset: Any, settings: TextSettings | None = None, *, progress: Callable[[int, int | None], None] | None = None
) -> Iterator[str]:
    """The text of all documents in order, long ones in parts that no word spans, in bounded memory.

    Args:
        progress: called with bytes read and all bytes (None: unknown) after each part.

    Raises:
        DataError: the dataset is missing or cannot be read, or holds token ids (.npz).
        SettingsError: the encoding is unknown, or the template is invalid.
    """
    settings = settings or TextSettings()
    check_encoding(settings.encoding)
    source = open_source(dataset, None, settings)
    for part in split_long(documents(source.parts()), _PART_CHARACTERS):
        yield part.text
        if progress is not None:
            progress(source.bytes_read(), source.total_bytes())


def texts_of(tokens: TokenSet, tokenizer: Tokenizer) -> list[str]:
    """The documents of a part of a text, in order; a document of which it has only the tail gives that tail."""
    ids = tokens.read(0, tokens.tokens)  # (N,)
    cuts = np.flatnonzero(ids == tokenizer.end_of_text).tolist()
    starts, ends = [0, *(cut + 1 for cut in cuts)], [*cuts, len(ids)]
    return [tokenizer.decode(ids[start:end].tolist()) for start, end in zip(starts, ends, strict=True) if start < end]
