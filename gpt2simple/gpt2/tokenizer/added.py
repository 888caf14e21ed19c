"""Added tokens: spellings that a text's BPE never sees, because each is read as one id of its own.

How they are found in a text (the longest of several, white space beside them, whole words only) is what transformers
does, by the same library. Knows no vocabulary and no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tokenizers


@dataclass(frozen=True, kw_only=True)
class AddedToken:
    """A token that is not made by merging; the flags are those of the tokenizers library.

    Attributes:
        id: in the vocabulary.
        single_word: found only where no letter, digit or underscore touches it.
        lstrip, rstrip: the white space before it, or after it, is taken along and lost.
        normalized: found only in what the tokens without this flag have left.
        special: transformers can leave it out of decoded text (``skip_special_tokens``); this package does not.
        in_text: False where no text becomes it: an odd entry of a vocabulary that its files do not call added.
    """

    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True
    in_text: bool = True

    @property
    def flags(self) -> dict[str, bool]:
        """As tokenizer files have them."""
        return {name: getattr(self, name) for name in FLAGS}


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class AddedTokens:
    """Finds added tokens in a text.

    Args:
        tokens: by their spellings, none of which is empty.
    """

    def __init__(self, tokens: Mapping[str, AddedToken]) -> None:
        # Of this tokenizer only the search is used: whatever lies between the tokens is one unknown word, id 0.
        self._search = tokenizers.Tokenizer(tokenizers.models.WordLevel({"": 0}, unk_token=""))
        self._search.add_tokens([tokenizers.AddedToken(name, **token.flags) for name, token in tokens.items()])
        self._ids = {self._search.token_to_id(name): token.id for name, token in tokens.items()}
        self._names = tuple(tokens)
        self._longest = max(map(len, tokens))

    def split(self, text: str) -> Iterator[str | int]:
        """The text in order, as ids of added tokens and the pieces between them."""
        found = self._search.encode(text)
        for number, (start, end) in zip(found.ids, found.offsets, strict=True):
            yield self._ids[number] if number else text[start:end]

    def near(self, text: str, place: int) -> bool:
        """Whether one lies at a place of a text, or so close that cutting the text there might change the ids."""
        window = text[max(place - self._longest, 0) : place + self._longest]
        return any(name in window for name in self._names)
