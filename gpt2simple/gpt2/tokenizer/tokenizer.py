"""The tokenizer that the rest of the package holds: text to ids and back, its files, its training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer.added import AddedTokens
from gpt2simple.gpt2.tokenizer.encoder import Encoder, make_encoder
from gpt2simple.gpt2.tokenizer.files import read_vocabulary, write_vocabulary
from gpt2simple.gpt2.tokenizer.vocabulary import Vocabulary, train_vocabulary


class Tokenizer:
    """A byte-level BPE: every valid text becomes ids and comes back unchanged.

    The spelling of an added token (``<speaker1>``) in a text is that token, as in transformers, except for the end of
    text: ``<|endoftext|>`` is thirteen ordinary characters unless the caller says otherwise, so that no text can end a
    document by accident. Safe to use from several threads.

    Attributes:
        end_of_text: the id that ends a document (50256 in GPT-2).
        end_of_text_name: how that token is written (``<|endoftext|>`` in GPT-2).
        vocab_size: one more than the largest id (50257 in GPT-2).
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.end_of_text = vocabulary.end_of_text
        self.end_of_text_name = vocabulary.end_of_text_name
        self.vocab_size = vocabulary.size

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer of a model folder: tokenizer.json, vocab.json + merges.txt, or encoder.json + vocab.bpe.

        Raises:
            CheckpointError: the files are missing, damaged, or of another kind of tokenizer.
        """
        return cls(read_vocabulary(Path(folder)))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """A new tokenizer of at most ``vocab_size`` tokens for texts like these.

        Raises:
            SettingsError: ``vocab_size`` is below 257.
            DataError: the texts hold no characters.
        """
        return cls(train_vocabulary(texts, vocab_size))

    def save(self, folder: Path, *, max_length: int | None = None, pads: bool = False) -> None:
        """Write the files that this package and transformers open as a GPT-2 tokenizer.

        Args:
            max_length: the longest context of the model in tokens, for other tools; None leaves it out.
            pads: whether other tools are to pad texts with the end of text, as a classifier's batches need it.

        Raises:
            StorageError: the folder cannot be written.
        """
        write_vocabulary(self._vocabulary, Path(folder), max_length=max_length, pads=pads)

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokens, added tokens and merges."""
        return self._vocabulary

    @property
    def added(self) -> Mapping[str, int]:
        """The ids of the tokens that no merges make, by their spellings; the end of text is among them."""
        return {name: token.id for name, token in self._vocabulary.added.items()}

    def with_added(self, names: Iterable[str]) -> Tokenizer:
        """A tokenizer with further added tokens, which get the next ids; itself where it has them all.

        Args:
            names: their spellings; those that it has are left as they are.

        Raises:
            SettingsError: one is the end of text, or a token of ordinary text.
        """
        new = [name for name in names if name not in self.added or name == self.end_of_text_name]
        return Tokenizer(self._vocabulary.with_added(new)) if new else self

    def without_token(self, rows: int) -> np.ndarray:
        """The ids below a number that no token has, int64 [n]: what a model with more rows must not generate."""
        used = [*self._vocabulary.ids.values(), *self.added.values()]
        return np.setdiff1d(np.arange(rows), used)

    def encode(self, text: str, *, allow_end_of_text: bool = False) -> list[int]:
        """The ids of a text.

        Args:
            allow_end_of_text: read the spelling of the end-of-text token (``<|endoftext|>``) as that token.

        Raises:
            DataError: the text holds half a surrogate pair, which no UTF-8 text does.
        """
        ids: list[int] = []
        for part in self._parts(text, self._added_and_end if allow_end_of_text else self._added):
            ids += [part] if isinstance(part, int) else self._encoder.encode(part)
        return ids

    def encode_array(self, text: str, *, allow_end_of_text: bool = False) -> np.ndarray:
        """``encode`` as uint32 [T], without making a Python number of each id."""
        arrays = [
            np.array([part], dtype=np.uint32) if isinstance(part, int) else self._encoder.encode_array(part)
            for part in self._parts(text, self._added_and_end if allow_end_of_text else self._added)
        ]
        return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]

    def may_cut(self, text: str, place: int) -> bool:
        """Whether a text may be encoded in two parts as far as added tokens are concerned."""
        return self._added is None or not self._added.near(text, place)

    def _parts(self, text: str, added: AddedTokens | None) -> Iterator[str | int]:
        """A text as ids of added tokens and the ordinary text between them; at least one part."""
        _require_unicode(text)
        return added.split(text) if added is not None and text else iter((text,))

    @cached_property
    def _added(self) -> AddedTokens | None:
        tokens = self._vocabulary.added.items()
        found = {name: token for name, token in tokens if token.in_text and name not in ("", self.end_of_text_name)}
        return AddedTokens(found) if found else None

    @cached_property
    def _added_and_end(self) -> AddedTokens:
        return AddedTokens({name: token for name, token in self._vocabulary.added.items() if token.in_text and name})

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; incomplete UTF-8 becomes U+FFFD, the end of text becomes nothing.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids; the end of text has none.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        numbers = ids if isinstance(ids, Sequence) else list(ids)
        spelling = self._vocabulary.spelling
        try:
            if any(index < 0 for index in numbers):
                raise IndexError
            return b"".join([spelling[index] for index in numbers])
        except IndexError:
            strange = next(index for index in numbers if not 0 <= index < len(spelling))
            raise DataError(
                f"The id {strange} is not in the vocabulary of {len(spelling)} tokens. "
                "Use the tokenizer that belongs to the model."
            ) from None

    @property
    def byte_lengths(self) -> np.ndarray:
        """The number of bytes of each id, int32 [V]; 0 for the end of text."""
        return self._vocabulary.byte_lengths

    @property
    def fingerprint(self) -> str:
        """The sha256 of vocabulary, merges and added tokens: equal for two tokenizers that give the same ids."""
        return self._vocabulary.fingerprint

    @cached_property
    def _encoder(self) -> Encoder:
        return make_encoder(self._vocabulary)


def _require_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"The text holds {text[error.start]!r} at character {error.start}, an unpaired surrogate, which is not a "
            "character. Read the text with its right encoding, or replace such characters first."
        ) from None
