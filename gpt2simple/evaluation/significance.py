"""What chance alone makes of counts, and from where on a difference is taken for one.

Takes what is counted as drawn independently, as ``evaluation.intervals`` does.
"""

from __future__ import annotations

import math

FEWEST_DISCORDANT = 10  # fewer texts or pairs that differ are no evidence, whichever way they fall
LEVEL = 0.05  # a difference that chance makes this often or more often is none


def binomial_p(successes: int, trials: int, probability: float = 0.5) -> float:
    """The two-sided p-value of the exact binomial test: twice the smaller tail, at most 1."""
    if probability <= 0.0 or probability >= 1.0:
        return 1.0 if successes == trials * round(probability) else 0.0
    tails = (range(successes + 1), range(successes, trials + 1))
    return min(1.0, 2 * min(math.fsum(_chance(k, trials, probability) for k in tail) for tail in tails))


def _chance(k: int, trials: int, probability: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
    return math.exp(ways + k * math.log(probability) + (trials - k) * math.log1p(-probability))


def outcome_of(differing: int, p_value: float, *, is_better: bool) -> str:
    """What a test shows: "better" or "worse", "no difference", or "cannot say": fewer differ than a judgement needs.

    Args:
        differing: texts, pairs or windows on which the two differ. is_better: what it is, if a difference is shown.
    """
    if differing < FEWEST_DISCORDANT:
        return "cannot say"
    if p_value >= LEVEL:
        return "no difference"
    return "better" if is_better else "worse"


def p_text(value: float) -> str:
    """A p-value for a sentence, after the letter p."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"
