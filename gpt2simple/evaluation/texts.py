"""The documents of an encoded text as strings again, as they were before they were encoded."""

from __future__ import annotations

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.tokenizer import Tokenizer


def texts_of(tokens: TokenSet, tokenizer: Tokenizer) -> list[str]:
    """The documents of a part of a text, in order; a document of which it has only the tail gives that tail."""
    ids = tokens.read(0, tokens.tokens)
    cuts = np.flatnonzero(ids == tokenizer.end_of_text).tolist()
    starts, ends = [0, *(cut + 1 for cut in cuts)], [*cuts, len(ids)]
    return [tokenizer.decode(ids[start:end].tolist()) for start, end in zip(starts, ends, strict=True) if start < end]
