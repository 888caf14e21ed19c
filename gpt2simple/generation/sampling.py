"""Which token comes next: a chain of small pure functions from logits to logits, and a draw.

A filter takes the logits of one row [V] (float32, natural log, up to a constant) and the tokens of the text so far, and
returns new logits, with minus infinity for what must not be drawn. The chain is composed once from the settings: to
add a filter, write its function and its line in `sampling_chain`. With top_k the filters after it see only the logits
that it may keep: most of a large vocabulary is looked at once. Works on one row at a time in NumPy, so a row's result
cannot depend on the other rows. There is no random state: a draw takes a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.settings import GenerateSettings

Logits = np.ndarray[Any, np.dtype[np.float32]]
Filter = Callable[[Logits, Sequence[int], int], Logits]  # (logits, tokens of the text, how many of them are new)
_NEVER = np.float32(-np.inf)
_LIKELY = (256, 4096)  # how many of the highest logits top-p sorts before it sorts them all
_GROUPS = 512  # of logits, when a bound for top-k is computed; more where k is large
_ROUNDED = 1e-6  # more than the share by which two logits differ that a temperature makes equal


class Candidates(NamedTuple):
    """What the filters of a chain have left."""

    logits: Logits  # [n], minus infinity: not to be drawn
    tokens: np.ndarray | None  # [n], their tokens, ascending; None: those of the whole vocabulary


Chain = Callable[[Logits, Sequence[int], int], Candidates]


def apply_temperature(logits: Logits, temperature: float) -> Logits:
    """The logits divided by the temperature, which must be above 0."""
    return logits / np.float32(temperature)


def apply_top_k(logits: Logits, k: int) -> Logits:
    """Keep exactly the k highest logits; of equal ones those with the lower ids."""
    if k >= logits.size:
        return logits
    candidates = _highest(logits, k)  # (n,)
    if candidates.size < k:
        return logits
    values = logits[candidates]  # (n,)
    threshold = np.partition(values, -k)[-k]  # ()
    above, ties = candidates[values > threshold], candidates[values == threshold]
    kept = np.concatenate([above, ties[: k - above.size]])  # (k,)
    result = np.full_like(logits, _NEVER)  # (V,)
    result[kept] = logits[kept]
    return result


def apply_top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of most likely tokens whose probabilities add up to p or more, at least one.

    With probabilities 0.5, 0.3, 0.2 and p = 0.6 the first two stay: the first alone does not reach p.
    """
    highest = logits.max()
    wanted = p * np.exp(logits - highest).sum(dtype=np.float64)  # of shares that are not divided by their sum
    for count in (*_LIKELY, logits.size):
        likely = logits if count >= logits.size else logits[logits >= _bound_of_highest(logits, count)]  # (n,)
        shares = np.cumsum(np.exp(np.sort(likely)[::-1] - highest), dtype=np.float64)  # (n,)
        if shares[-1] >= wanted:
            break
    return apply_top_k(logits, int(np.searchsorted(shares, wanted)) + 1)


def apply_min_p(logits: Logits, share: float) -> Logits:
    """Leave out tokens whose probability is below a share of the most likely one's."""
    return np.where(logits < logits.max() + np.float32(np.log(share)), _NEVER, logits)


def apply_repetition_penalty(logits: Logits, penalty: float, tokens: Sequence[int]) -> Logits:
    """Make tokens already in the text less likely: positive logits divided by the penalty, negative ones times it.

    Source: Keskar et al. 2019 (CTRL), section 4.1, with the sign handled as transformers does.
    """
    seen = np.unique(np.asarray(tokens, dtype=np.int64))  # (n,)
    scores = logits[seen]  # (n,)
    changed = logits.copy()
    changed[seen] = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return changed


def forbid_repeated_ngrams(logits: Logits, size: int, tokens: Sequence[int]) -> Logits:
    """Forbid each token that would complete a sequence of `size` tokens that is already in the text."""
    if len(tokens) < size:
        return logits
    array = np.asarray(tokens, dtype=np.int64)  # (T,)
    followers = array[size - 1 :]  # (T-size+1,), the last token of each sequence
    if size > 1:
        starts = np.lib.stride_tricks.sliding_window_view(array[:-1], size - 1)  # (T-size+1, size-1)
        followers = followers[(starts == array[len(array) - size + 1 :]).all(axis=1)]  # (n,)
    return forbid(logits, followers)


def forbid(logits: Logits, tokens: Sequence[int] | np.ndarray) -> Logits:
    """Forbid some tokens."""
    changed = logits.copy()
    changed[np.asarray(tokens, dtype=np.int64)] = _NEVER
    return changed


def draw(logits: Logits, key: int, tokens: np.ndarray | None = None) -> int | None:
    """A token sampled with the Gumbel-max trick: the highest sum of a logit and Gumbel noise from key and token.

    As each token has noise of its own, nearly equal logits nearly always draw the same token with the same key, which
    is what makes a draft model useful (see `scheduler`).
    Source: Maddison, Tarlow and Minka 2014, section 3 (the maximum); Daliri et al. 2024 (equal draws for a draft).

    Args:
        logits: [n], filtered.
        key: 0 to 2^64 - 1, new for each draw.
        tokens: [n], of the logits; None: those of the whole vocabulary.

    Returns:
        A token id; None if every token is forbidden.
    """
    places = np.flatnonzero(logits > _NEVER)  # (n,)
    if not places.size:
        return None
    allowed = places if tokens is None else tokens[places]  # (n,)
    return int(allowed[np.argmax(logits[places] - np.log(-np.log(_uniform(key, allowed))))])


def greedy(logits: Logits, key: int, tokens: np.ndarray | None = None) -> int | None:
    """The token with the highest logit, of equal ones the lowest id, None where all are forbidden; ignores the key."""
    best = int(np.argmax(logits))
    if logits[best] == _NEVER:
        return None
    return best if tokens is None else int(tokens[best])


def draw_key(seed: int, sample: int, position: int) -> int:
    """A key for `draw` that depends on its arguments alone: on any machine, in any order, in any batch.

    Args:
        seed: 0 or more.
        sample: the sample's number in its call, from 0.
        position: new tokens of the sample before the one to be drawn.
    """
    digest = hashlib.blake2b(f"{seed} {sample} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def log_probability(logits: Logits, token: int) -> float:
    """The log-probability in nats of a token under unfiltered logits."""
    shifted = logits.astype(np.float64) - float(logits.max())  # (V,)
    return float(shifted[token] - np.log(np.exp(shifted).sum()))


def sampling_chain(
    settings: GenerateSettings,
    end_of_text: int,
    forbidden: Callable[[Sequence[int]], np.ndarray] | None = None,
    *,
    never: Sequence[int] = (),
) -> Chain:
    """The filters of some settings as one function of (logits [V], tokens of the text, how many of them are new).

    Order as in transformers: what depends on the text first, then temperature, top_k, top_p, min_p. With temperature
    0 the last four are left out: they never remove the most likely token.

    Args:
        settings: what the user chose.
        end_of_text: the token that `min_length` forbids.
        forbidden: from the tokens so far, the ids that bad_words forbids next; None: no bad_words.
        never: tokens that are always forbidden.
    """
    s, forbidden_after = settings, forbidden or (lambda tokens: np.zeros(0))
    # One line a filter, in their order: whether it is used, and the call.
    by_text: list[tuple[bool, Filter]] = [
        (len(never) > 0, lambda x, tokens, new: forbid(x, never)),
        (s.repetition_penalty != 1.0, lambda x, tokens, new: apply_repetition_penalty(x, s.repetition_penalty, tokens)),
        (s.no_repeat_ngram_size > 0, lambda x, tokens, new: forbid_repeated_ngrams(x, s.no_repeat_ngram_size, tokens)),
        (forbidden is not None, lambda x, tokens, new: forbid(x, forbidden_after(tokens))),
        (s.min_length > 0, lambda x, tokens, new: forbid(x, [end_of_text]) if new < s.min_length else x),
    ]
    by_probability: list[tuple[bool, Callable[[Logits], Logits]]] = [
        (s.temperature != 1.0, lambda x: apply_temperature(x, s.temperature)),
        (s.top_k > 0, lambda x: apply_top_k(x, s.top_k)),
        (0.0 < s.top_p < 1.0, lambda x: apply_top_p(x, s.top_p)),
        (s.min_p > 0.0, lambda x: apply_min_p(x, s.min_p)),
    ]
    text_filters = [apply for used, apply in by_text if used]
    probability_filters = [apply for used, apply in by_probability if used and s.temperature > 0]

    def chain(logits: Logits, tokens: Sequence[int], new: int) -> Candidates:
        for apply in text_filters:
            logits = apply(logits, tokens, new)
        # Where every token is forbidden, `draw` reports it.
        if not probability_filters or not np.isfinite(logits.max()):
            return Candidates(logits, None)
        likely = _highest(logits, s.top_k, _ROUNDED) if 0 < s.top_k < logits.size else None  # (n,)
        logits = logits if likely is None else logits[likely]
        for apply_to in probability_filters:
            logits = apply_to(logits)
        return Candidates(logits, likely)

    return chain


def _highest(logits: Logits, k: int, margin: float = 0.0) -> np.ndarray:
    """The places of the k highest logits, ascending, and of few others; only finite ones.

    Args:
        logits: [V], more than k.
        k: 1 or more.
        margin: share of a logit by which one may be lower and still is among them.
    """
    bound = _bound_of_highest(logits, k)
    if margin > 0.0:
        bound -= margin * abs(bound)
    return np.flatnonzero(logits >= bound if bound > _NEVER else logits > _NEVER)


def _bound_of_highest(logits: Logits, k: int) -> float:
    """A lower bound of the k-th highest logit that few other logits reach; k is below their number.

    The k-th highest among the maxima of groups is no higher than the k-th highest of all, and found sooner.
    """
    groups = max(_GROUPS, 4 * k)
    size = logits.size // groups  # logits in each
    if size < 2:
        return float(np.partition(logits, -k)[-k])
    highest = logits[: size * groups].reshape(size, groups).max(axis=0)  # (groups,)
    return float(np.partition(highest, -k)[-k])


def _uniform(key: int, tokens: np.ndarray) -> np.ndarray:
    """Numbers strictly between 0 and 1, float64 [n], each a function of the key and one token [n] alone.

    Source: Steele, Lea and Flood 2014, SplitMix64: its sequence from the key on, at the tokens' positions.
    """
    bits = tokens.astype(np.uint64)  # (n,)
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(key)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
