"""Encoding plain text with a vocabulary: tiktoken where its rule is provably the same, else the tokenizers library.

tiktoken is about five times as fast and releases the GIL, but it joins two neighbours whenever the joined bytes
are a token, while a merges file lists the pairs that may join. `rule_is_ranked` decides whether the two rules agree.
Knows nothing of added tokens: all text is plain here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import tiktoken
import tokenizers

from gpt2simple.gpt2.tokenizer.vocabulary import Vocabulary, to_symbols

# GPT-2's rule for cutting text into words before merging; possessive quantifiers give the same pieces, faster.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

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
        self._encoding = tiktoken.Encoding("gpt2simple", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={})

    def encode(self, text: str) -> list[int]:
        return self._encoding.encode_ordinary(text)

    def encode_array(self, text: str) -> np.ndarray:
        return self._encoding.encode_to_numpy(text)


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
