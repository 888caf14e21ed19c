"""A byte-level BPE vocabulary in memory: what each id spells, which pairs merge, which ids are special.

Knows no files and does not encode; `reading` makes vocabularies from files, `encoder` uses them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gpt2simple.errors import CheckpointError

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokens and merges of a byte-level BPE.

    Attributes:
        ids: the id of each ordinary token, by the bytes that it spells; all 256 single bytes are among them.
        merges: pairs of tokens that are joined, the first in the list first.
        special: the ids of tokens that text never becomes by itself, by their names; the end of text is among them.
        end_of_text_name: the name of the token that ends a document.
    """

    ids: Mapping[bytes, int]
    merges: tuple[tuple[bytes, bytes], ...]
    special: Mapping[str, int]
    end_of_text_name: str = END_OF_TEXT

    def __post_init__(self) -> None:
        missing = sum(bytes([byte]) not in self.ids for byte in range(256))
        if missing:
            raise CheckpointError(
                f"The vocabulary lacks {missing} of the 256 single bytes, so it cannot spell every text. "
                "Use a byte-level BPE vocabulary, such as GPT-2's or one made by `gpt2simple tokenizer`."
            )
        if self.end_of_text_name not in self.special:
            raise CheckpointError(
                f"The vocabulary has no token {self.end_of_text_name!r} that ends a text. Use the files that came with "
                "the model, or name its end token as eos_token in tokenizer_config.json."
            )
        for left, right in self.merges:
            if not (left in self.ids and right in self.ids and left + right in self.ids):
                raise CheckpointError(
                    f"The merge {left!r} + {right!r} names a token that the vocabulary does not hold: the two files "
                    "belong to different models. Take both from the same folder."
                )
        if len(set(self.ids.values()) | set(self.special.values())) < len(self.ids) + len(self.special):
            raise CheckpointError(
                "The vocabulary gives one id to several tokens, so the file is damaged. Get it anew from where the "
                "model came from."
            )

    @property
    def end_of_text(self) -> int:
        """The id that ends a document."""
        return self.special[self.end_of_text_name]

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return 1 + max(max(self.ids.values()), max(self.special.values()))

    @cached_property
    def spelling(self) -> tuple[bytes, ...]:
        """The bytes of each id; empty for special ids."""
        table = [b""] * self.size
        for token, index in self.ids.items():
            table[index] = token
        return tuple(table)

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """Bytes that each id spells, int32 [V]; 0 for special ids."""
        return np.array([len(token) for token in self.spelling], dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of tokens, ids and merges, the same for every file layout of one vocabulary."""
        digest = hashlib.sha256()
        for token, index in sorted(self.ids.items(), key=lambda item: item[1]):
            digest.update(b"%d %d %b" % (index, len(token), token))
        for left, right in self.merges:
            digest.update(b"%d %d;" % (self.ids[left], self.ids[right]))
        for name, index in sorted(self.special.items()):
            digest.update(f"{index} {name};".encode())
        digest.update(self.end_of_text_name.encode())
        return digest.hexdigest()
