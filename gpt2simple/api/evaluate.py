"""One measuring call, from the user's text to figures.

Brings the parts together: reads the text, takes the part that was asked for, scores it. Prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from gpt2simple.data.corpus import Corpus, TokenSet
from gpt2simple.data.encode import encode_corpus
from gpt2simple.data.split import Split, split
from gpt2simple.errors import DataError, RunError
from gpt2simple.evaluation.measure import measure
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.token_scores import TextScore, score_texts
from gpt2simple.evaluation.windows import Protocol
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.resume import with_recorded
from gpt2simple.settings import EvaluateSettings, TextSettings

_PARTS = {"all": "all of", "held_out": "the held-out part of", "train": "the learned part of"}


def evaluate_text(
    loaded: LoadedModel,
    dataset: Any,
    settings: EvaluateSettings,
    text: Mapping[str, Any],
    *,
    model: str,
    run: RunFolder | None,
    precision: str,
) -> EvaluateResult:
    """The loaded model's figures on a text.

    Args:
        dataset: as for fine-tuning. text: the text settings that the call gave, by name.
        model: its name. precision: dtype name of the products.
        run: whose weights these are; the parts of the text are then those that it learned and held out.

    Raises:
        SettingsError: the window or stride is too long for the model.
        DataError: the text cannot be read, the part asked for is empty, or the run learned from another text.
        RunError: the run parted its text in another way than the call asks for.
    """
    started = time.perf_counter()
    protocol = Protocol.of(settings.window, settings.stride, loaded.config.n_ctx)
    recorded = run.info.description if run is not None and run.exists and settings.part != "all" else None
    corpus, parts = _read_parts(dataset, loaded, text, recorded, protocol.window)
    found = measure(
        Scorer(loaded.variables, loaded.config, precision),
        _part(settings.part, corpus, parts),
        protocol,
        byte_lengths=loaded.tokenizer.byte_lengths,
        end_of_text=loaded.tokenizer.end_of_text,
        batch_size=settings.batch_size,
        per_document=settings.per_document,
    )
    return EvaluateResult.from_measurement(
        found,
        model=model if run is None else f"{run.path.name} ({model})",
        text=f"{_PARTS[settings.part]} {', '.join(corpus.sources)}",
        protocol=protocol.text(),
        precision=precision,
        seconds=time.perf_counter() - started,
    )


def _as_parted(recorded: RunDescription, given: Mapping[str, Any]) -> TextSettings:
    """The text settings of a run, with those that a call gave; another division would measure what was learned."""
    before, wanted = recorded.text_settings, with_recorded(recorded.text_settings, given)
    if before.validation_file is None:
        changed = [n for n in ("validation_split", "validation_file") if getattr(before, n) != getattr(wanted, n)]
    else:  # it may lie elsewhere by now
        changed = ["validation_file"] if wanted.validation_file is None else []
    for name in changed:
        raise RunError(
            f"The run held out with {name}={getattr(before, name)!r}, and this call gives {getattr(wanted, name)!r}: "
            f"what was learned would count as held out. Leave {name} out."
        )
    return wanted


def _read_parts(
    dataset: Any,
    loaded: LoadedModel,
    given: Mapping[str, Any],
    recorded: RunDescription | None,
    window: int,
) -> tuple[Corpus, Split]:
    """A text and its parts: as the run parted it, else as fine-tuning with these settings would."""
    text = TextSettings(**given)
    if recorded is not None:
        text, window = _as_parted(recorded, given), recorded.settings.window or loaded.config.n_ctx
    corpus = encode_corpus(dataset, loaded.tokenizer, text)
    if recorded is not None and corpus.fingerprint != recorded.data_fingerprint:
        raise DataError(
            "A part was asked for, and the dataset is not the text that the run learned from, or has changed since; "
            'nothing tells the parts. Give that text, or measure the whole of this one: part="all".'
        )
    validation = None
    if text.validation_file is not None:
        validation = encode_corpus(text.validation_file, loaded.tokenizer, text)
        _require_held_out(recorded, validation)
    return corpus, split(corpus, text, window, validation=validation)


def _require_held_out(recorded: RunDescription | None, validation: Corpus) -> None:
    known = None if recorded is None else recorded.validation_fingerprint  # None too in runs from before it was kept
    if known is not None and known != validation.fingerprint:
        raise DataError(
            "validation_file is not the text that the run held out, or has changed since. Give it that one."
        )


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
    scorer = Scorer(loaded.variables, loaded.config, precision)
    return score_texts(scorer, loaded.tokenizer, texts, loaded.config.n_ctx)
