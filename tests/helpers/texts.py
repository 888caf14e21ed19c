"""Helpers of the data tests: encode into a cache of the test's own, and get documents back as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2simple.data.corpus import Corpus
from gpt2simple.data.encode import encode_corpus
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.text import TextSettings
from gpt2simple.testing import byte_tokenizer

BYTES = byte_tokenizer()


def encode(dataset: Any, cache: Path, tokenizer: Tokenizer = BYTES, **how: Any) -> Corpus:
    """The dataset encoded by bytes; ``how`` are TextSettings."""
    return encode_corpus(dataset, tokenizer, TextSettings(cache_dir=str(cache), **how))


def texts_of(corpus: Corpus) -> list[str]:
    """The documents of an encoded text, through the layout that the corpus promises."""
    assert corpus.ids[0] == BYTES.end_of_text
    texts = []
    for start, end, size in zip(
        corpus.document_starts.tolist(), corpus.document_ends.tolist(), corpus.document_bytes.tolist(), strict=True
    ):
        assert corpus.ids[start - 1] == corpus.ids[end - 1] == BYTES.end_of_text
        texts.append(BYTES.decode(corpus.ids[start : end - 1].tolist()))
        assert len(texts[-1].encode()) == size
    assert corpus.characters == sum(map(len, texts))
    return texts


def documents_in(dataset: Any, cache: Path, **how: Any) -> list[str]:
    """The documents that a dataset comes to."""
    return texts_of(encode(dataset, cache, **how))


def write(path: Path, content: str | bytes) -> Path:
    """The path, after the content was written there as UTF-8 or as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path
