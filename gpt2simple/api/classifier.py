"""What a trained classifier does: it classifies texts, and is evaluated on a part of its own texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpt2simple.api.classification import LabelledData, open_labelled
from gpt2simple.api.control import beside_control
from gpt2simple.api.result import Classification
from gpt2simple.data.documents import plain_line_ends
from gpt2simple.data.label_split import Examples
from gpt2simple.data.labelled import check_labelled, read_labelled, without_end_marks
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.evaluation.classification.classifier import TextClassifier
from gpt2simple.evaluation.classification.measure import evaluate_part, figures_on
from gpt2simple.evaluation.classification.metrics import ClassificationResult, require_scikit_learn
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.resume import require_same_data, require_same_parts, with_recorded
from gpt2simple.settings import ClassifierSettings, EvaluateSettings, LabelledTextSettings, pick
from gpt2simple.settings.classify import ClassifySettings
from gpt2simple.settings.fields import is_text
from gpt2simple.storage.contents import counted, quoted

logger = logging.getLogger(__name__)


def checked_texts(texts: Any) -> list[str]:
    """The texts of a call, without marks of the end of text at their ends.

    Raises:
        DataError: one is no string, or blank, or they are no list, or in a table, of which no column is named.
    """
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise DataError("texts is a table; expected a string or a list of strings. Give one of its columns as a list.")
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise DataError(f"texts is {quoted(texts)}; expected a string or a list of strings.")
    cleaned = []
    for number, text in enumerate([texts] if isinstance(texts, str) else texts):
        if not is_text(text):
            raise DataError(f"Text {number} is {quoted(text)}; expected a string of valid Unicode.")
        cleaned.append(without_end_marks(plain_line_ends(text)))
        if not cleaned[-1].strip():
            raise DataError(f"Text {number} is blank, so that there is nothing to classify. Leave it out.")
    return cleaned


def classify_texts(
    loaded: LoadedModel, texts: Sequence[str], settings: ClassifySettings, *, run: RunFolder | None, precision: str
) -> list[Classification]:
    """The class of each text, in their order.

    Args:
        texts: from ``checked_texts``. run: that the weights come from, if they come from one.

    Raises:
        CheckpointError: the model is no classifier. SettingsError: it reads fewer tokens than ``max_length``.
    """
    longest = settings.max_length
    if longest is None and run is not None and run.exists:
        longest = getattr(run.info.description.settings, "max_length", None)
    classifier = TextClassifier(loaded, precision=precision, longest=longest)
    probabilities, truncated = classifier.probabilities(texts, batch_size=settings.batch_size)  # (N, C)
    if truncated:
        logger.info(f"Of {counted(truncated, 'text')} only the beginning was read: see max_length.")
    names = loaded.config.labels
    return [
        Classification(
            text=text, label=names[int(row.argmax())], probability=float(row.max()),
            probabilities=dict(zip(names, row.tolist(), strict=True)),
        )
        for text, row in zip(texts, probabilities, strict=True)
    ]  # fmt: skip


def check_evaluation(dataset: Any, settings: EvaluateSettings, given: Mapping[str, Any], run: RunFolder | None) -> Any:
    """Look at the texts before a model is loaded, and return them. Arguments, errors: see ``evaluate_labelled``."""
    require_scikit_learn()
    for name in ("window", "stride"):
        if getattr(settings, name) is not None:
            raise SettingsError(f"{name} was given, and a classifier reads each text as a whole. Leave it out.")
    if settings.per_document:
        raise SettingsError("per_document was given, which is for language models. Use classify() for single texts.")
    if settings.predictions is not None:
        raise SettingsError("predictions was given, and the model is a classifier. Use classify() for single texts.")
    if "cache_dir" in given:
        raise SettingsError("cache_dir was given, and labelled texts are not kept in a cache. Leave it out.")
    for name in ("validation_file", "test_file") if settings.part == "all" else ():
        if given.get(name) is not None:
            raise SettingsError(f'{name} was given, and part="all" means the dataset alone. Leave it out.')
    assert run is not None
    read = _as_read(run.info.description, given)
    if not isinstance(dataset, LabelledData):
        check_labelled(dataset, read)
    return dataset


def evaluate_labelled(
    loaded: LoadedModel,
    dataset: Any,
    settings: EvaluateSettings,
    given: Mapping[str, Any],
    *,
    model: str,
    run: RunFolder,
    precision: str,
) -> ClassificationResult:
    """The figures of a run's classifier on labelled texts: on a part of those that it was trained on, or on all.

    Args:
        given: the settings of the call, by name, of which those of labelled texts are used.

    Raises:
        DataError: the texts cannot be read, have another label, or are not those that the run was trained on.
        RunError: the call names another split than the run used.
    """
    recorded = run.info.description
    training = recorded.settings
    assert isinstance(training, ClassifierSettings)
    read = _as_read(recorded, given)
    name = f"{run.path.name} ({model})"
    if settings.part == "all":
        texts = read_labelled(dataset, read, names=loaded.config.labels)
        examples = Examples(texts=texts.texts, labels=texts.labels)
        return figures_on(
            loaded, examples, part=f"all of {', '.join(texts.sources)}", model=name, precision=precision,
            longest=training.max_length, batch_size=settings.batch_size,
        )  # fmt: skip
    data = open_labelled(dataset, read)
    require_same_data(recorded, data.fingerprint, data.validation_fingerprint, "texts")
    result = evaluate_part(
        loaded, data.split(recorded.seed), settings.part, model=name, precision=precision,
        longest=training.max_length, batch_size=settings.batch_size,
    )  # fmt: skip
    return beside_control(result, run, settings.part)


def _as_read(recorded: RunDescription, given: Mapping[str, Any]) -> LabelledTextSettings:
    """The settings by which a run reads texts, updated by those of a call, which must keep the split."""
    before = recorded.text_settings
    assert isinstance(before, LabelledTextSettings)
    wanted = with_recorded(before, pick(given, LabelledTextSettings))
    require_same_parts(before, wanted, "texts")
    return wanted
