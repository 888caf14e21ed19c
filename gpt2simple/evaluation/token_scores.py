"""The log-probability of each token of a text, as data and as a view coloured by surprise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpt2simple.data.corpus import TokenSet
from gpt2simple.data.documents import plain_line_ends
from gpt2simple.errors import DataError
from gpt2simple.evaluation.html import render
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.windows import Protocol, strided_windows
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.records import LanguageFigures
from gpt2simple.storage.contents import quoted

_MOST_NATS = 12.0  # shown in the deepest colour: guessing uniformly costs 10.8 with GPT-2's vocabulary


@dataclass(frozen=True)
class TokenScore:
    """One token of a text.

    Attributes:
        id: in the model's vocabulary. text: of the token; a part of a character is U+FFFD.
        logprob: natural log-probability given all tokens before it.
        rank: 1 where it is the most probable token.
    """

    id: int
    text: str
    logprob: float
    rank: int


@dataclass(frozen=True)
class TextScore:
    """A text with the score of each of its tokens; the first one is predicted from the end-of-text token.

    Windows line ends have become plain ones, as in training.
    """

    text: str
    tokens: tuple[TokenScore, ...]
    pieces: tuple[tuple[str, int], ...]  # the text in whole characters, and how many tokens encode each piece

    @property
    def nats(self) -> float:
        """Of the whole text: its negative log-likelihood."""
        return -math.fsum(token.logprob for token in self.tokens)

    @property
    def figures(self) -> LanguageFigures:
        """Loss, perplexity and bits per byte."""
        size = len(self.text.encode())
        return LanguageFigures(nats=self.nats, target_tokens=len(self.tokens), target_bytes=size)

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.figures.loss

    @property
    def bits_per_byte(self) -> float:
        return self.figures.bits_per_byte

    def summary(self) -> str:
        """The metrics in a line."""
        hits = sum(token.rank == 1 for token in self.tokens)
        return f"{len(self.tokens)} tokens, {self.figures.text()}, accuracy {hits / len(self.tokens):.0%}"

    def to_json(self) -> dict[str, Any]:
        """The scores as JSON values."""
        values = {name: getattr(self, name) for name in ("text", "nats", "loss", "bits_per_byte")}
        return {**values, "tokens": [asdict(token) for token in self.tokens]}

    def to_html(self) -> str:
        """The text, each token coloured by its surprise, with its probability as a tooltip."""
        return render("token_scores.html", score=self)

    _repr_html_ = to_html

    def parts(self) -> Iterator[tuple[str, str, float]]:
        """Each piece of the text, a description of its tokens' scores, and its surprise, 0 to 1."""
        first = 0
        for piece, count in self.pieces:
            tokens = self.tokens[first : first + count]
            first += count
            scores = [f"probability {math.exp(t.logprob):.2g}, {-t.logprob:.2f} nats, rank {t.rank}" for t in tokens]
            nats = -sum(token.logprob for token in tokens) / count
            yield piece, "; ".join(scores), min(max(nats / _MOST_NATS, 0.0), 1.0)


def scores_page(scores: Iterable[TextScore]) -> str:
    """The coloured views of several texts as one HTML file."""
    return render("scores.html", title="Token scores", scores=scores)


def score_texts(
    scorer: Scorer, tokenizer: Tokenizer, texts: Iterable[str], longest: int, *, batch_size: int = 1
) -> list[TextScore]:
    """The scores of each text, every text on its own.

    Args:
        longest: tokens of context that the model has positions for; longer texts are scored in windows of that length
            that overlap by half.

    Raises:
        DataError: a text is empty or not a string.
    """
    protocol = Protocol(longest, max(longest // 2, 1))
    return [_score_text(scorer, tokenizer, text, number, protocol, batch_size) for number, text in enumerate(texts)]


def _score_text(
    scorer: Scorer, tokenizer: Tokenizer, text: str, number: int, protocol: Protocol, batch_size: int
) -> TextScore:
    if not isinstance(text, str):
        raise DataError(f"Text {number} is {quoted(text)}; expected a string.")
    text = plain_line_ends(text)
    ids = tokenizer.encode(text)
    if not ids:
        raise DataError(f"Text {number} is empty, so there is nothing to score. Leave it out.")
    stream = np.array([tokenizer.end_of_text, *ids], dtype=np.int64)  # (1 + tokens,)
    tokens: list[TokenScore] = []
    for batch in strided_windows(TokenSet(stream, [(0, len(stream))]), protocol, batch_size):
        scores = scorer.score(batch.inputs, batch.targets)
        columns = (values[batch.counts].tolist() for values in (batch.targets, scores.nats, scores.ranks))
        for token, nats, rank in zip(*columns, strict=True):
            tokens.append(TokenScore(token, tokenizer.decode([token]), -nats, rank))
    return TextScore(text, tuple(tokens), tuple(whole_pieces(tokenizer, ids)))


def whole_pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The text of ids in pieces of whole characters, with the number of ids in each."""
    waiting, count = b"", 0
    for index in ids:
        waiting += tokenizer.decode_bytes([index])
        count += 1
        try:
            piece = waiting.decode("utf-8")
        except UnicodeDecodeError:
            continue
        yield piece, count
        waiting, count = b"", 0
    if count:
        yield waiting.decode("utf-8", "replace"), count
