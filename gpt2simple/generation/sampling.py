"""Which token comes next: a chain of small pure functions from logits to logits, and a draw.

A filter takes the logits of one row [V] (float32, natural log, up to a constant) and the tokens that stand so far, and
returns new logits, with minus infinity for what must not be drawn. The chain is composed once from the settings. Works
on one row at a time in NumPy, so a row's result cannot depend on the rows beside it. Knows no model, no text and no
random state: a draw takes a number between 0 and 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.settings import GenerateSettings

Logits = np.ndarray[Any, np.dtype[np.float32]]
Chain = Callable[[Logits, Sequence[int], int], Logits]


class Scores(NamedTuple):
    """The logits of some tokens, from which one is drawn."""

    logits: Logits  # [N]
    tokens: np.ndarray | None = None  # [N], ascending ids; None: all tokens

    def token(self, place: int) -> int:
        """The token whose logit stands in a place."""
        return place if self.tokens is None else int(self.tokens[place])


_NEVER = np.float32(-np.inf)
_BLOCK = 256  # logits looked at together where all of them would take long
_FEW = 4096  # up to as many that may be drawn are looked at by themselves


def apply_temperature(logits: Logits, temperature: float) -> Logits:
    """The logits divided by the temperature, which must be above 0."""
    return logits / np.float32(temperature)


def apply_top_k(logits: Logits, k: int) -> Logits:
    """Keep exactly the k highest logits; of equal ones those with the lower ids."""
    if k >= logits.size:
        return logits
    lowest = reached_by_highest(logits, k)
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


def reached_by_highest(logits: Logits, k: int) -> float:
    """A value that the k highest logits reach, and few others; k below their number.

    The k-th highest among the maxima of blocks is no higher than the k-th highest of all, and sooner found.
    """
    whole = logits[: logits.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    return float(np.partition(logits if k > len(whole) else whole.max(axis=1), -k)[-k])


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


def draw(logits: Logits, number: float) -> int | None:
    """The token whose share of the probability, tokens laid side by side by id, contains a number.

    Args:
        logits: [V], filtered.
        number: at least 0, below 1.

    Returns:
        A token id; None where every token is forbidden.
    """
    kept = np.flatnonzero(logits > _NEVER)
    if not kept.size:
        return None
    if kept.size <= _FEW:
        ends = np.cumsum(_weights(logits[kept]), dtype=np.float64)
        return int(kept[_first_beyond(ends, number * ends[-1])])
    weights = _weights(logits)
    # First the block, then the place in it: a running sum over 50,257 numbers takes longer than all the rest.
    starts = range(0, weights.size, _BLOCK)
    ends = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
    wanted = number * ends[-1]
    block = _first_beyond(ends, wanted)
    within = np.cumsum(weights[starts[block] : starts[block] + _BLOCK], dtype=np.float64)
    return starts[block] + _first_beyond(within, wanted - (ends[block - 1] if block else 0.0))


def take_likeliest(logits: Logits, number: float) -> int | None:
    """The token with the highest logit, of equal ones the lowest id; the number is not used."""
    best = int(np.argmax(logits))
    return best if logits[best] > _NEVER else None


def uniform(seed: int, sample: int, position: int) -> float:
    """A number in [0, 1) that depends on its arguments alone: on any machine, in any order, in any batch.

    Args:
        seed: 0 or more.
        sample: the sample's number in its call, from 0.
        position: tokens of the sample that stand before the one to be drawn.
    """
    digest = hashlib.blake2b(f"{seed} {sample} {position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / float(1 << 53)


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


def highest_needed(settings: GenerateSettings) -> int | None:
    """How many of the highest logits alone decide what is drawn; None where others can.

    Filters that look at the text, and log-probabilities, may need any.
    """
    if settings.logprobs or _filters_by_text(settings, 0, (lambda _: np.array([])) if settings.bad_words else None):
        return None
    return (settings.top_k or None) if settings.temperature > 0 else 1


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


def _weights(logits: Logits) -> Logits:
    """Probabilities up to a common factor."""
    return np.exp(logits - logits.max())


def _first_beyond(ends: np.ndarray, number: float) -> int:
    """The first place whose running sum exceeds a number; where rounding leaves none, the last that adds anything."""
    place = int(np.searchsorted(ends, number, side="right"))
    return place if place < ends.size else int(np.searchsorted(ends, ends[-1]))
