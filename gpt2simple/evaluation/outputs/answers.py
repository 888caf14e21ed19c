"""Exact match and token F1, as SQuAD's script counts them (Rajpurkar et al. 2016, 2018).

Texts are compared in lower case, without the punctuation of ASCII and without a, an and the; a token is what stands
between spaces. Chinese, Japanese or Thai text without spaces is one token: its F1 is 0 or 1, as exact match is.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """A text as it is compared, its tokens with a space between each."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(output: str, references: Sequence[str]) -> bool:
    """Whether an output equals one of its references, once both are normalised."""
    return normalised(output) in map(normalised, references)


def token_f1(output: str, references: Sequence[str]) -> float:
    """The harmonic mean of the precision and recall of the output's tokens, 0 to 1, with the best of the references.

    Two texts without a token, such as "" and "The.", have an F1 of 1; one with and one without tokens, of 0.
    """
    return max(_f1(normalised(output).split(), normalised(reference).split()) for reference in references)


def _f1(output: list[str], reference: list[str]) -> float:
    if not output or not reference:
        return float(output == reference)
    same = (Counter(output) & Counter(reference)).total()
    return 2 * same / (len(output) + len(reference))
