"""BLEU and chrF of sacrebleu and ROUGE of rouge-score, with what each output adds to them.

Figures of a corpus are computed from sums over its outputs, so a resampled corpus costs a sum and not a computation
from its texts. sacrebleu sums the same statistics itself, and gives them only through a method that it does not
document; the figure is that of its documented one.

What the three make of other scripts: BLEU's usual tokenizer, 13a, splits at spaces and the punctuation of ASCII, so a
Chinese sentence would be one token, and without four of those in a row the BLEU of a perfect output is 0. So references
that are mostly Chinese get sacrebleu's tokenizer zh, which makes a token of each character of theirs, and those in
Japanese, Thai and other scripts without spaces its tokenizer char, which does so with every character; the one for
Japanese words, ja-mecab, would need further packages. Korean has spaces, and 13a. The signature names the tokenizer.
ROUGE takes all but a to z and 0 to 9 for spaces: Chinese or Russian text has no tokens, and 0 for a perfect output.
chrF counts the characters of any script.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import regex

from gpt2simple.backend.packages import require, version

_LETTER = regex.compile(r"[\p{L}\p{N}]")
_HAN = regex.compile(r"\p{Han}")
_WITHOUT_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_ALL_HAN = 0.9  # share of Han among letters without spaces, above which they are Chinese: Japanese has half of it
_ROUGE = {"rouge1": "rouge1", "rouge2": "rouge2", "rouge_l": "rougeL"}  # their names there


def require_text_metrics() -> None:
    """Return if BLEU, chrF and ROUGE can be computed; to be called before anything large is loaded.

    Raises:
        BackendError: sacrebleu or rouge-score is not installed or cannot be imported.
    """
    require({"sacrebleu": "sacrebleu", "rouge_score.rouge_scorer": "rouge-score"}, "BLEU, chrF and ROUGE need")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure of all outputs, and what it is computed from.

    Attributes:
        value: the figure. each: float64 [N], that of each output.
        statistics: float64 [N, S], what each output adds to the sums.
        of_sums: the figure of sums float64 [S] over N outputs.
        signature: how it was computed.
    """

    value: float
    each: np.ndarray
    statistics: np.ndarray
    of_sums: Callable[[np.ndarray], float]
    signature: str


def mean(values: Sequence[float], signature: str) -> Measure:
    """The mean of a value of each output, as a measure."""
    each, count = np.array(values, np.float64), len(values)  # [N]
    return Measure(
        value=float(each.mean()), each=each, statistics=each[:, None], of_sums=lambda sums: float(sums[0] / count),
        signature=signature,
    )  # fmt: skip


def overlap_measures(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Measure]:
    """BLEU and chrF from 0 to 100, and the means of ROUGE-1, ROUGE-2 and ROUGE-L (F-measure) from 0 to 1, by name.

    Several references: BLEU takes the sequences of words of any of them, chrF and ROUGE the best reference.

    Args:
        references: of each output at least one.
    """
    from rouge_score.rouge_scorer import RougeScorer  # an extra, which most users lack
    from rouge_score.tokenizers import DefaultTokenizer
    from sacrebleu.metrics import BLEU, CHRF

    # force: no warning that outputs look tokenized, which says nothing of what a model writes.
    found = {
        "bleu": _of_corpus(BLEU(force=True, tokenize=bleu_tokenizer(references)), outputs, references),
        "chrf": _of_corpus(CHRF(), outputs, references),
    }
    # As use_stemmer=True, which would also set up logging for the whole process.
    scorer = RougeScorer([*_ROUGE.values()], tokenizer=DefaultTokenizer(use_stemmer=True))
    scores = [scorer.score_multi(wanted, output) for wanted, output in zip(references, outputs, strict=True)]
    about = f"rouge-score {version('rouge-score')}: mean F-measure, use_stemmer, the best reference"
    return found | {name: mean([score[there].fmeasure for score in scores], about) for name, there in _ROUGE.items()}


def bleu_tokenizer(references: Sequence[Sequence[str]]) -> str:
    """The tokenizer of sacrebleu that suits the script of most letters of the references: "13a", "zh" or "char"."""
    letters = _LETTER.findall("".join(text for right in references for text in right))
    unspaced = share_without_spaces(letters)
    if unspaced <= 0.5:
        return "13a"
    return "zh" if sum(map(bool, map(_HAN.match, letters))) > _ALL_HAN * unspaced * len(letters) else "char"


def share_without_spaces(letters: Sequence[str]) -> float:
    """The share of letters in scripts that put no spaces between words, 0 to 1."""
    return sum(map(bool, map(_WITHOUT_SPACES.match, letters))) / max(len(letters), 1)


def _of_corpus(metric: Any, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Measure:
    """A measure of sacrebleu, which takes as many lists of references as an output has at most, with None for none."""
    streams = list(zip_longest(*references))
    statistics = np.array(metric._extract_corpus_statistics(outputs, streams), np.float64)  # [N, S]

    def of_sums(sums: np.ndarray) -> float:
        return float(metric._compute_score_from_stats(sums.tolist()).score)

    return Measure(
        value=float(metric.corpus_score(outputs, streams).score), each=np.array([of_sums(row) for row in statistics]),
        statistics=statistics, of_sums=of_sums, signature=str(metric.get_signature()),
    )  # fmt: skip


def words_of_bleu(statistics: np.ndarray) -> np.ndarray:
    """The words of each output, int [N], from BLEU's statistics [N, 10], which begin with them."""
    return statistics[:, 0].astype(np.int64)
