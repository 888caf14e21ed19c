"""A byte-level BPE vocabulary in memory: the bytes of each id, which pairs merge, which tokens were added.

GPT-2's files are text, so each of the 256 bytes needs a visible character: printable Latin-1 represents itself, the
others take the code points from 256 on, in order (a space is written ``Ġ``). A new vocabulary is trained from texts by
the tokenizers library. Knows no files and does not encode; `files` reads vocabularies, `encoder` uses them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tokenizers

from gpt2simple.errors import CheckpointError, DataError, SettingsError
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.storage.contents import quoted

_VISIBLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))
_HIDDEN = [byte for byte in range(256) if byte not in _VISIBLE]
SYMBOLS = tuple(chr(256 + _HIDDEN.index(byte) if byte in _HIDDEN else byte) for byte in range(256))  # by byte value
# From a character to that of its byte in Latin-1; from one that stands for no byte to one that is not in Latin-1.
_BYTE_OF = dict.fromkeys(_HIDDEN, 0xFFFF) | {ord(symbol): byte for byte, symbol in enumerate(SYMBOLS)}


def to_symbols(data: bytes) -> str:
    """The spelling of bytes in a vocabulary file."""
    return "".join(SYMBOLS[byte] for byte in data)


def to_bytes(symbols: str) -> bytes | None:
    """The bytes of a spelling in a vocabulary file; None where a character represents no byte."""
    try:
        return symbols.translate(_BYTE_OF).encode("latin-1")
    except UnicodeEncodeError:
        return None


END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokens and merges of a byte-level BPE.

    Attributes:
        ids: the id of each ordinary token, by its bytes; all 256 single bytes are among them.
        merges: pairs of tokens that are joined, the first in the list first.
        added: the tokens that no merges make, by their spellings; the end of text is among them.
        end_of_text_name: the name of the token that ends a document.
    """

    ids: Mapping[bytes, int]
    merges: tuple[tuple[bytes, bytes], ...]
    added: Mapping[str, AddedToken]
    end_of_text_name: str = END_OF_TEXT

    def __post_init__(self) -> None:
        missing = sum(bytes([byte]) not in self.ids for byte in range(256))
        if missing:
            raise CheckpointError(
                f"The vocabulary lacks {missing} of the 256 single bytes, so it cannot represent every text. "
                "Use a byte-level BPE vocabulary, such as GPT-2's or one made by `gpt2simple tokenizer`."
            )
        if self.end_of_text_name not in self.added:
            raise CheckpointError(
                f"The vocabulary has no token {quoted(self.end_of_text_name)} that ends a text. Use the files that "
                "came with the model, or name its end token as eos_token in tokenizer_config.json."
            )
        for left, right in self.merges:
            if not (left in self.ids and right in self.ids and left + right in self.ids):
                raise CheckpointError(
                    f"The merge {quoted(left)} + {quoted(right)} names a token that the vocabulary does not hold: "
                    "the two files belong to different models. Take both from the same folder."
                )
        # transformers can add a token that merges make too, which then has its id twice.
        own = [token.id for name, token in self.added.items() if self.ids.get(to_bytes(name) or b"") != token.id]
        if len({*self.ids.values(), *own}) < len(self.ids) + len(own):
            raise CheckpointError(
                "The vocabulary gives one id to several tokens, so the file is damaged. Copy or download it again."
            )

    @property
    def end_of_text(self) -> int:
        """The id that ends a document."""
        return self.added[self.end_of_text_name].id

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return 1 + max(*self.ids.values(), *(token.id for token in self.added.values()))

    def with_added(self, names: Iterable[str]) -> Vocabulary:
        """This vocabulary and further added tokens, which get the next ids.

        Raises:
            SettingsError: one holds the end of text, or is a token that merges make: it would be cut out of every word.
        """
        added = dict(self.added)
        for number, name in enumerate(names):
            if self.end_of_text_name in name or name.encode() in self.ids:
                what = "the end of text" if self.end_of_text_name in name else "a token of ordinary text"
                raise SettingsError(
                    f"special_tokens holds {quoted(name)}, and the model's vocabulary has {what} for that already. "
                    "Leave it out, or choose a spelling that no other text has, such as <speaker1>."
                )
            # Not `special`, with which transformers' pipelines would leave them out of the text they return.
            added[name] = AddedToken(id=self.size + number, special=False)
        return replace(self, added=added)

    @cached_property
    def spelling(self) -> tuple[bytes, ...]:
        """The bytes of each id; none for the end of text and for ids that no token has."""
        table = [b""] * self.size
        for name, token in self.added.items():
            table[token.id] = b"" if name == self.end_of_text_name else name.encode()
        for data, index in self.ids.items():
            table[index] = data
        return tuple(table)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """The number of bytes of each id, int32 [V], as ``spelling`` has them."""
        return np.array([len(token) for token in self.spelling], dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of tokens, ids and merges, the same for every file layout of one vocabulary."""
        digest = hashlib.sha256()
        for token, index in sorted(self.ids.items(), key=lambda item: item[1]):
            digest.update(b"%d %d %b" % (index, len(token), token))
        for left, right in self.merges:
            digest.update(b"%d %d;" % (self.ids[left], self.ids[right]))
        for name, added in sorted(self.added.items()):
            digest.update(f"{added.id} {name};".encode())
            if name != self.end_of_text_name:
                rules = (added.single_word, added.lstrip, added.rstrip, added.normalized, added.in_text)
                digest.update(f"{rules};".encode())
        digest.update(self.end_of_text_name.encode())
        return digest.hexdigest()


SMALLEST = 257  # the single bytes and the end of text


def train_vocabulary(texts: Iterable[str], vocab_size: int) -> Vocabulary:
    """A vocabulary of at most ``vocab_size`` tokens: 256 bytes, then merges, the end of text last.

    A small text gives fewer tokens: only pairs that occur at least twice are merged.

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
    characters = 0

    def counted() -> Iterator[str]:
        nonlocal characters
        for text in texts:
            characters += len(text)
            yield text

    trained.train_from_iterator(counted(), trainer)
    if not characters:
        raise DataError("The texts for the tokenizer hold no characters. Give texts in its language.")
    model = json.loads(trained.to_str())["model"]
    ids = {to_bytes(symbols) or b"": index for symbols, index in model["vocab"].items()}
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    merges = tuple((to_bytes(left) or b"", to_bytes(right) or b"") for left, right in pairs)
    return Vocabulary(ids=ids, merges=merges, added={END_OF_TEXT: AddedToken(id=len(ids))})
