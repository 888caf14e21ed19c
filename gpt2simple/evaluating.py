"""One measuring call, from the user's text to figures.

Brings the parts together: reads the text, takes the part that was asked for, scores it. Prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from gpt2simple.data.corpus import Corpus, TokenSet
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.split import Split, split
from gpt2simple.errors import DataError
from gpt2simple.evaluation.measure import measure
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.score import TextScore, score_texts
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.windows import Protocol
from gpt2simple.loaded import LoadedModel
from gpt2simple.settings import EvaluateSettings, TextSettings

_PARTS = {"all": "all of", "held_out": "the held-out part of", "train": "the learned part of"}


def evaluate_text(
    loaded: LoadedModel,
    dataset: Any,
    settings: EvaluateSettings,
    text: TextSettings,
    *,
    model: str,
    precision: str,
    notify: Callable[[str], None],
) -> EvaluateResult:
    """The loaded model's figures on a text.

    Args:
        dataset: as for fine-tuning. model: what is measured, in words.
        precision: dtype name of the products.

    Raises:
        SettingsError: the window or stride is too long for the model.
        DataError: the text cannot be read, or the part asked for is empty.
    """
    started = time.perf_counter()
    protocol = Protocol.of(settings.window, settings.stride, loaded.shape.n_ctx)
    corpus, parts = read_parts(dataset, loaded, text, protocol.window, notify)
    found = measure(
        Scorer(loaded.variables, loaded.shape, precision),
        _part(settings.part, corpus, parts),
        protocol,
        byte_lengths=loaded.tokenizer.byte_lengths,
        end_of_text=loaded.tokenizer.end_of_text,
        batch_size=settings.batch_size,
        per_document=settings.per_document,
    )
    return EvaluateResult.from_measurement(
        found,
        model=model,
        text=f"{_PARTS[settings.part]} {', '.join(corpus.sources)}",
        protocol=protocol.text(),
        precision=precision,
        seconds=time.perf_counter() - started,
    )


def read_parts(
    dataset: Any, loaded: LoadedModel, text: TextSettings, window: int, notify: Callable[[str], None]
) -> tuple[Corpus, Split]:
    """A text and its parts, as fine-tuning with these settings parts it."""
    corpus = encode_corpus(dataset, loaded.tokenizer, text, notify=notify)
    validation = None
    if text.validation_file is not None:
        validation = encode_corpus(text.validation_file, loaded.tokenizer, text, notify=notify)
    return corpus, split(corpus, text, window, validation=validation)


def _part(part: str, corpus: Corpus, parts: Split) -> TokenSet:
    if part == "all":
        return TokenSet(corpus.ids, [(0, corpus.tokens)], documents=corpus.documents)
    if part == "train":
        return parts.train
    if parts.held_out is None:
        reason = parts.notices[0] if parts.notices else "validation_split is 0."
        raise DataError(f'part is "held_out", and there is no such part. {reason}')
    return parts.held_out


def score_with(loaded: LoadedModel, texts: Iterable[str], *, precision: str) -> list[TextScore]:
    """The log-probability of each token of each text."""
    scorer = Scorer(loaded.variables, loaded.shape, precision)
    return score_texts(scorer, loaded.tokenizer, texts, loaded.shape.n_ctx)
