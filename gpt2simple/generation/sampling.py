"""Which token comes next: a chain of small pure functions from logits to logits, and a draw.

A filter takes the logits of one row [V] (float32, natural log, up to a constant) and the tokens that stand so far, and
returns new logits, with minus infinity for what must not be drawn. The chain is composed once from the settings. Works
on one row at a time in NumPy, so a row's result cannot depend on the rows beside it. Knows no model, no text and no
random state: a draw takes the key of a table of numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from gpt2simple.settings import GenerateSettings

Logits = np.ndarray[Any, np.dtype[np.float32]]

Chain = Callable[[Logits, Sequence[int], int], Logits]

_NEVER = np.float32(-np.inf)

_BLOCK = 256  # logits looked at together where all of them would take long


def apply_temperature(logits: Logits, temperature: float) -> Logits:
    """The logits divided by the temperature, which must be above 0."""
    return logits / np.float32(temperature)


def apply_top_k(logits: Logits, k: int) -> Logits:
    """Keep exactly the k highest logits; of equal ones those with the lower ids."""
    if k >= logits.size:
        return logits
    lowest = _reached_by_highest(logits, k)
    candidates = np.flatnonzero(logits >= lowest if lowest > _NEVER else logits > _NEVER)
    if candidates.size < k:
        return logits
    values = logits[candidates]
    threshold = np.partition(values, -k)[-k]
    above, ties = candidates[values > threshold], candidates[values == threshold]
    kept = np.concatenate([above, ties[: k - above.size]])
    result = np.full_like(logits, _NEVER)
    result[kept] = logits[kept]
    return result


def apply_top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of likeliest tokens whose probabilities add up to p or more, never fewer than one.

    With probabilities 0.5, 0.3, 0.2 and p = 0.6 the first two stay: the first alone does not reach p.
    """
    descending = np.sort(logits)[::-1]
    shares = np.cumsum(np.exp(descending - descending[0]), dtype=np.float64)
    return apply_top_k(logits, int(np.searchsorted(shares, p * shares[-1])) + 1)


def apply_min_p(logits: Logits, share: float) -> Logits:
    """Leave out tokens whose probability is below a share of the likeliest one's."""
    return np.where(logits < logits.max() + np.float32(np.log(share)), _NEVER, logits)


def apply_repetition_penalty(logits: Logits, penalty: float, tokens: Sequence[int]) -> Logits:
    """Make the tokens that already stand less likely: positive logits divided by the penalty, negative ones times it.

    Source: Keskar et al. 2019 (CTRL), section 4.1, with the sign handled as transformers does.
    """
    seen = np.unique(np.asarray(tokens, dtype=np.int64))
    scores = logits[seen]
    changed = logits.copy()
    changed[seen] = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return changed


def forbid_repeated_ngrams(logits: Logits, size: int, tokens: Sequence[int]) -> Logits:
    """Forbid each token that would complete a sequence of `size` tokens that stands already."""
    if len(tokens) < size:
        return logits
    array = np.asarray(tokens, dtype=np.int64)
    followers = array[size - 1 :]
    if size > 1:
        starts = np.lib.stride_tricks.sliding_window_view(array[:-1], size - 1)  # [n-size+1, size-1]
        followers = followers[(starts == array[len(array) - size + 1 :]).all(axis=1)]
    return forbid(logits, followers)


def forbid(logits: Logits, tokens: Sequence[int] | np.ndarray) -> Logits:
    """Forbid some tokens."""
    changed = logits.copy()
    changed[np.asarray(tokens, dtype=np.int64)] = _NEVER
    return changed


def draw(logits: Logits, key: int) -> int | None:
    """A token drawn by its probability: the highest sum of a logit and Gumbel noise that the key gives to its token.

    As each token has noise of its own, nearly equal logits nearly always draw the same token with the same key, which
    is what makes guessing ahead worth it (see `writer`).
    Source: Maddison, Tarlow and Minka 2014, section 3 (the maximum); Daliri et al. 2024 (equal draws for a draft).

    Args:
        logits: [V], filtered.
        key: 0 to 2^64 - 1, new for each draw.

    Returns:
        A token id; None where every token is forbidden.
    """
    tokens = np.flatnonzero(logits > _NEVER)
    if not tokens.size:
        return None
    return int(tokens[np.argmax(logits[tokens] - np.log(-np.log(_uniform(key, tokens))))])


def take_likeliest(logits: Logits, key: int) -> int | None:
    """The token with the highest logit, of equal ones the lowest id; the key is not used."""
    best = int(np.argmax(logits))
    return best if logits[best] > _NEVER else None


def draw_key(seed: int, sample: int, position: int) -> int:
    """A key for `draw` that depends on its arguments alone: on any machine, in any order, in any batch.

    Args:
        seed: 0 or more.
        sample: the sample's number in its call, from 0.
        position: tokens of the sample that stand before the one to be drawn.
    """
    digest = hashlib.blake2b(f"{seed} {sample} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def log_probability(logits: Logits, token: int) -> float:
    """The log-probability in nats of a token under unfiltered logits."""
    shifted = logits.astype(np.float64) - float(logits.max())
    return float(shifted[token] - np.log(np.exp(shifted).sum()))


def sampling_chain(
    settings: GenerateSettings, end_of_text: int, forbidden: Callable[[Sequence[int]], np.ndarray] | None = None
) -> Chain:
    """The filters of some settings as one function of (logits [V], tokens that stand, how many of them are new).

    Order as in transformers: what depends on the text first, then temperature, top_k, top_p, min_p. With temperature
    0 the last four are left out: they never remove the likeliest token.

    Args:
        settings: what the user chose.
        end_of_text: the token that `min_length` holds back.
        forbidden: the tokens that bad_words forbids after some tokens; None: there are none.
    """
    by_text = _filters_by_text(settings, end_of_text, forbidden)
    by_shape = _filters_by_shape(settings) if settings.temperature > 0 else []

    def chain(logits: Logits, tokens: Sequence[int], new: int) -> Logits:
        for apply in by_text:
            logits = apply(logits, tokens, new)
        if by_shape and not np.isfinite(logits.max()):
            return logits  # every token is forbidden; the draw says so
        for shape in by_shape:
            logits = shape(logits)
        return logits

    return chain


def _filters_by_text(
    settings: GenerateSettings, end_of_text: int, forbidden: Callable[[Sequence[int]], np.ndarray] | None
) -> list[Chain]:
    chosen: list[Chain] = []
    if settings.repetition_penalty != 1.0:
        chosen.append(lambda x, tokens, _: apply_repetition_penalty(x, settings.repetition_penalty, tokens))
    if settings.no_repeat_ngram_size:
        chosen.append(lambda x, tokens, _: forbid_repeated_ngrams(x, settings.no_repeat_ngram_size, tokens))
    if forbidden is not None:
        chosen.append(lambda x, tokens, _: forbid(x, forbidden(tokens)))
    if settings.min_length:
        chosen.append(lambda x, _, new: forbid(x, [end_of_text]) if new < settings.min_length else x)
    return chosen


def _filters_by_shape(settings: GenerateSettings) -> list[Callable[[Logits], Logits]]:
    chosen: list[Callable[[Logits], Logits]] = []
    if settings.temperature != 1.0:
        chosen.append(partial(apply_temperature, temperature=settings.temperature))
    if settings.top_k:
        chosen.append(partial(apply_top_k, k=settings.top_k))
    if 0.0 < settings.top_p < 1.0:
        chosen.append(partial(apply_top_p, p=settings.top_p))
    if settings.min_p > 0.0:
        chosen.append(partial(apply_min_p, share=settings.min_p))
    return chosen


def _reached_by_highest(logits: Logits, k: int) -> float:
    """A value that the k highest logits reach, and few others; k below their number.

    The k-th highest among the maxima of blocks is no higher than the k-th highest of all, and sooner found.
    """
    whole = logits[: logits.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    return float(np.partition(logits if k > len(whole) else whole.max(axis=1), -k)[-k])


def _uniform(key: int, tokens: np.ndarray) -> np.ndarray:
    """Numbers strictly between 0 and 1, float64, that depend on the key and each token [N] alone.

    Source: Steele, Lea and Flood 2014, SplitMix64: its sequence from the key on, at the tokens' places.
    """
    bits = tokens.astype(np.uint64)
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(key)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
