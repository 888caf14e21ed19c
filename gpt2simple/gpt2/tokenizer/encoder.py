"""Encoding plain text with a vocabulary: tiktoken where its rule is provably the same, else the tokenizers library.

tiktoken is about ten times as fast and releases the GIL, but it joins two neighbours whenever the joined bytes
are a token, while a merges file lists the pairs that may join. `rule_is_ranked` decides whether the two rules agree.
Knows nothing of added tokens: all text is plain here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import tiktoken
import tokenizers

from gpt2simple.gpt2.tokenizer.vocabulary import Vocabulary, to_symbols

# GPT-2's rule for cutting text into words before merging, but for its one look ahead, `\s+(?!\S)`: the last of several
# white-space characters before a word is not taken with the others. With it tiktoken would search by backtracking, at
# three quarters of the speed; instead the text is cut there beforehand.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"
_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # White_Space of Unicode, unlike Python's \s
_BEFORE_LAST_SPACE = re.compile(f"[{_SPACE}](?=[{_SPACE}][^{_SPACE}])")
_CUT = "\U0010ffff"  # not a character, and never to be one

# Fingerprints for which the (slower) proof in `rule_is_ranked` has been done: GPT-2's own vocabulary.
_PROVEN = frozenset({"63d972b9c8cf6b362ea46afdefe1e2cb04edcb82b38069621935dbb5645d9eac"})


class Encoder(Protocol):
    """Plain text to ids."""

    def encode(self, text: str) -> list[int]: ...

    def encode_array(self, text: str) -> np.ndarray:
        """The same as uint32 [T]."""


def make_encoder(vocabulary: Vocabulary) -> Encoder:
    """The fastest encoder that follows the vocabulary's rule exactly."""
    end = vocabulary.end_of_text_name
    merged = replace(vocabulary, added={end: vocabulary.added[end]})
    if merged.fingerprint in _PROVEN or rule_is_ranked(vocabulary):
        return _RankedEncoder(vocabulary)
    return _MergesEncoder(vocabulary)


def rule_is_ranked(vocabulary: Vocabulary) -> bool:
    """Whether "join the neighbours whose joined token has the lowest id" gives what the list of merges gives.

    It does when (1) the merges make distinct tokens with ascending ids and (2) the merges turn the bytes of every such
    token into that one token. Proof: take the first place in some text where the two rules part. Ranks of listed pairs
    agree by (1), so the ranked rule joins x and y into a token t by a pair that is not listed. All joins so far within
    t's bytes would have happened in the same order on t's bytes alone, so there the merges reach [x, y] too and stop,
    which (2) excludes.
    """
    made = [vocabulary.ids[left + right] for left, right in vocabulary.merges]
    if any(later <= earlier for earlier, later in pairwise(made)):
        return False
    rank_of = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
    return all(_merge(left + right, rank_of) == [left + right] for left, right in vocabulary.merges)


def _merge(data: bytes, rank_of: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """The tokens that the merges make of one word, by the definition."""
    parts = [bytes([byte]) for byte in data]
    while len(parts) > 1:
        ranked = ((rank_of.get(pair, len(rank_of)), i) for i, pair in enumerate(pairwise(parts)))
        rank, i = min(ranked)
        if rank == len(rank_of):
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


class _RankedEncoder:
    """tiktoken over the single bytes and the tokens that merges make."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in vocabulary.merges]
        ranks = {token: vocabulary.ids[token] for token in tokens}
        self._cut_id = max(ranks.values()) + 1
        # Where no special token is given, tiktoken looks for the empty text, and finds it before each byte: half the
        # time that encoding takes.
        self._encoding = tiktoken.Encoding(
            "gpt2simple", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={_CUT: self._cut_id}
        )

    def encode(self, text: str) -> list[int]:
        return self.encode_array(text).tolist()

    def encode_array(self, text: str) -> np.ndarray:
        if _CUT in text:
            places = [0, *(match.end() for match in _BEFORE_LAST_SPACE.finditer(text)), len(text)]
            return np.concatenate([self._encode(text[start:end]) for start, end in pairwise(places)])
        ids = self._encode(_BEFORE_LAST_SPACE.sub(lambda match: match[0] + _CUT, text), {_CUT})
        return ids[ids != self._cut_id]

    def _encode(self, text: str, special: Set[str] = frozenset()) -> np.ndarray:
        return self._encoding.encode_to_numpy(text, allowed_special=special, disallowed_special=())


class _MergesEncoder:
    """The tokenizers library over the list of merges."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids = {to_symbols(token): index for token, index in vocabulary.ids.items()}
        merges = [(to_symbols(left), to_symbols(right)) for left, right in vocabulary.merges]
        self._tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=ids, merges=merges))
        self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def encode_array(self, text: str) -> np.ndarray:
        return np.array(self.encode(text), dtype=np.uint32)
