"""Making a byte-level BPE vocabulary from texts.

Counts and merges are the tokenizers library's; knows no files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import tokenizers

from gpt2simple.errors import DataError, SettingsError
from gpt2simple.tokenizer.alphabet import SYMBOLS, to_bytes
from gpt2simple.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

SMALLEST = 257  # the single bytes and the end of text


def train_vocabulary(texts: Iterable[str], vocab_size: int) -> Vocabulary:
    """A vocabulary of at most ``vocab_size`` tokens: 256 bytes, then merges, the end of text last.

    A small text gives fewer tokens: only pairs that stand at least twice are merged.

    Raises:
        SettingsError: ``vocab_size`` is below 257.
        DataError: the texts hold nothing.
    """
    if vocab_size < SMALLEST:
        raise SettingsError(
            f"vocab_size is {vocab_size}; expected at least {SMALLEST}: 256 bytes and the end of text. "
            "A few thousand suit a small model."
        )
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size - 1, min_frequency=2, initial_alphabet=list(SYMBOLS), show_progress=False
    )
    counted = _Counted(texts)
    trained.train_from_iterator(counted, trainer)
    if not counted.characters:
        raise DataError("The texts for the tokenizer hold no characters. Give texts of the language it shall spell.")
    return _vocabulary_of(trained)


class _Counted:
    """Passes texts on and counts what went through."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.characters = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        text = next(self._texts)
        self.characters += len(text)
        return text


def _vocabulary_of(trained: tokenizers.Tokenizer) -> Vocabulary:
    model = json.loads(trained.to_str())["model"]
    ids = {to_bytes(symbols) or b"": index for symbols, index in model["vocab"].items()}
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    merges = tuple((to_bytes(left) or b"", to_bytes(right) or b"") for left, right in pairs)
    return Vocabulary(ids=ids, merges=merges, special={END_OF_TEXT: len(ids)})
