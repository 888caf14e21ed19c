"""One evaluation, from the user's text to the metrics: reads the text, selects the requested part and scores it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple, TypeAlias

from gpt2simple.data.corpus import TokenSet
from gpt2simple.data.prepare import PreparedText, check_texts, prepare_text
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.evaluation.classification.metrics import ClassificationResult
from gpt2simple.evaluation.measure import measure
from gpt2simple.evaluation.outputs.result import PairResult
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.evaluation.token_scores import TextScore, score_texts
from gpt2simple.evaluation.windows import Protocol
from gpt2simple.gpt2.model import LoadedModel, require_language_model
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.resume import with_recorded
from gpt2simple.settings import EvaluateSettings, FinetuneSettings, TextSettings, pick
from gpt2simple.settings.classify import LABELS
from gpt2simple.settings.pairs import PAIR_COLUMNS
from gpt2simple.settings.tasks import CLASSIFICATION, LANGUAGE_MODELING, PAIRS

# Of a text, of a classifier on labelled texts, of a model on pairs.
EvaluationResult: TypeAlias = EvaluateResult | ClassificationResult | PairResult


class Evaluation(NamedTuple):
    """How a model of one task is evaluated.

    Attributes:
        check: looks at the dataset before a model is loaded, and returns what ``run`` takes in its place: what was
            read already is not read again. run: evaluates.
    """

    check: Callable[..., Any]
    run: Callable[..., Any]


def evaluation_of(run: RunFolder | None) -> Evaluation:
    """That of a run's task; without a run, of a text."""
    task = LANGUAGE_MODELING if run is None or not run.exists else run.info.description.task
    return {LANGUAGE_MODELING: _of_texts, CLASSIFICATION: _of_classifier, PAIRS: _of_pairs}[task]()


def _of_texts() -> Evaluation:
    return Evaluation(check_evaluation_text, evaluate_text)


def _of_classifier() -> Evaluation:
    from gpt2simple.api import classifier  # here: few need it

    return Evaluation(classifier.check_evaluation, classifier.evaluate_labelled)


def _of_pairs() -> Evaluation:
    from gpt2simple.api import pair_evaluation  # here: few need it

    return Evaluation(pair_evaluation.choose_pairs, pair_evaluation.evaluate_pairs)


_PARTS = {"all": "all of", "held_out": "the held-out part of", "train": "the training part of"}


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
    """The loaded model's metrics on a text.

    Args:
        dataset: as for fine-tuning. text: the settings given in the call, by name, of which those of texts are used.
        model: its name. precision: dtype name of the matrix products.
        run: the run that the weights come from; the text is then split as the run split it.

    Raises:
        SettingsError: the window or stride is too long for the model.
        DataError: the text cannot be read, the requested part is empty, or the run was trained on another text.
        RunError: the call requests another split of the text than the run used.
    """
    started, text = time.perf_counter(), pick(text, TextSettings)
    require_language_model(loaded, "evaluate")
    protocol = Protocol.of(settings.window, settings.stride, loaded.config.n_ctx)
    recorded = _recorded(settings, run)
    prepared = _prepared(dataset, loaded, text, recorded, protocol.window)
    found = measure(
        Scorer(loaded.variables, loaded.config, precision, loaded.devices),
        _part(settings.part, prepared),
        protocol,
        byte_lengths=loaded.tokenizer.byte_lengths,
        end_of_text=loaded.tokenizer.end_of_text,
        batch_size=settings.batch_size,
        per_document=settings.per_document,
    )
    return EvaluateResult.from_measurement(
        found,
        model=model if run is None else f"{run.path.name} ({model})",
        text=f"{_PARTS[settings.part]} {', '.join(prepared.corpus.sources)}",
        protocol=protocol.text(),
        precision=precision,
        seconds=time.perf_counter() - started,
    )


def check_evaluation_text(
    dataset: Any, settings: EvaluateSettings, text: Mapping[str, Any], run: RunFolder | None
) -> Any:
    """Look at the text before a model is loaded, and return it. Arguments and errors as for ``evaluate_text``."""
    for name in [f.name for cls in (LABELS, PAIR_COLUMNS) for f in fields(cls)]:
        if text.get(name) is not None:
            raise SettingsError(f"{name} was given, and the model is no run on labelled texts or pairs. Leave it out.")
    if settings.predictions is not None:
        raise SettingsError("predictions was given, and the model was not trained on pairs. Leave it out.")
    text = pick(text, TextSettings)
    TextSettings(**text)
    if settings.part == "test":
        raise SettingsError(
            'part is "test", which only runs on labelled texts and pairs have. Give "all", "held_out" or "train".'
        )
    recorded = _recorded(settings, run)
    check_texts(dataset, TextSettings(**text) if recorded is None else _as_parted(recorded, text))
    return dataset


def _recorded(settings: EvaluateSettings, run: RunFolder | None) -> RunDescription | None:
    """The run whose split of the text is meant, if any is."""
    return run.info.description if run is not None and run.exists and settings.part != "all" else None


def _as_parted(recorded: RunDescription, given: Mapping[str, Any]) -> TextSettings:
    """The text settings of a run, updated by those of a call, which must keep the split."""
    before = recorded.text_settings
    assert isinstance(before, TextSettings)
    wanted = with_recorded(before, given)
    if before.validation_file is None:
        changed = [n for n in ("validation_split", "validation_file") if getattr(before, n) != getattr(wanted, n)]
    else:  # the file may have been moved
        changed = ["validation_file"] if wanted.validation_file is None else []
    for name in changed:
        raise RunError(
            f"The run was trained with {name}={getattr(before, name)!r}, and this call gives "
            f"{getattr(wanted, name)!r}: training text would count as held out. Leave {name} out."
        )
    return wanted


def _prepared(
    dataset: Any, loaded: LoadedModel, given: Mapping[str, Any], recorded: RunDescription | None, window: int
) -> PreparedText:
    """A text, split as the run split it, or without a run as fine-tuning with these settings would."""
    tokenizer, n_ctx = loaded.tokenizer, loaded.config.n_ctx
    if recorded is None:
        return prepare_text(dataset, TextSettings(**given), tokenizer, window, n_ctx=n_ctx)
    assert isinstance(recorded.settings, FinetuneSettings)
    prepared = prepare_text(dataset, _as_parted(recorded, given), tokenizer, recorded.settings.window, n_ctx=n_ctx)
    _require_same_texts(recorded, prepared)
    return prepared


def _require_same_texts(recorded: RunDescription, prepared: PreparedText) -> None:
    if prepared.corpus.fingerprint != recorded.data_fingerprint:
        raise DataError(
            "The dataset is not the text that the run was trained on, or has changed since, so its training and "
            'held-out parts are unknown. Give the original text, or evaluate all of this one: part="all".'
        )
    validation, known = prepared.validation, recorded.validation_fingerprint  # not recorded by the first versions
    if validation is not None and known not in (None, validation.fingerprint):
        raise DataError("validation_file is not the text that the run held out, or has changed since. Give that text.")


def _part(part: str, prepared: PreparedText) -> TokenSet:
    if part == "all":
        return prepared.corpus.whole()
    if part == "train":
        return prepared.split.train
    if prepared.split.held_out is None:
        raise DataError(f'part is "held_out", and there is no such part. {prepared.no_held_out_reason}')
    return prepared.split.held_out


def score_with(loaded: LoadedModel, texts: Iterable[str], *, precision: str) -> list[TextScore]:
    """The log-probability of each token of each text."""
    require_language_model(loaded, "score")
    scorer = Scorer(loaded.variables, loaded.config, precision)
    return score_texts(scorer, loaded.tokenizer, texts, loaded.config.n_ctx)
