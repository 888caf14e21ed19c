"""Several classifiers trained on the same labelled texts and tested alike; `comparison` goes from one to the next.

The texts are read once, and the seed splits them in the same way for each model. Knows no arithmetic of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.api.classification import CLASSIFIER, open_labelled
from gpt2simple.api.comparison import (
    Candidate,
    SplitComparison,
    candidates_of,
    common_length,
    require_whole,
    shapes_of,
    write,
)
from gpt2simple.api.request import TrainingCall
from gpt2simple.api.result import FinetuneResult
from gpt2simple.api.session import Session
from gpt2simple.errors import DataError
from gpt2simple.evaluation.classification.comparison import ClassifierRow, CompareClassifiersResult
from gpt2simple.evaluation.classification.metrics import require_scikit_learn
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.settings import (
    ClassifierSettings,
    CompareClassifiersSettings,
    LabelledTextSettings,
    SessionSettings,
    to_json,
)
from gpt2simple.settings.tasks import CLASSIFICATION
from gpt2simple.storage.contents import counted


def compare_labelled(
    dataset: Any,
    model_names: Sequence[str],
    settings: CompareClassifiersSettings,
    texts: LabelledTextSettings,
    name: str,
    place: SessionSettings,
) -> CompareClassifiersResult:
    """Compare classifiers. Called again with the same texts and settings, it continues where it stopped.

    Args:
        dataset: as for ``finetune_classifier``. name: of the comparison's folder; the runs' names begin with it.
        place: folders of models and runs, and how to compute.

    Raises:
        BackendError: scikit-learn is missing.
        SettingsError: fewer than two models or methods, one named twice, or one reads fewer tokens than ``max_length``.
        DataError: no text is held out. RunError: a comparison of that name has other texts or settings.
        KeyboardInterrupt: a model's training was interrupted; called again, it continues from there.
    """
    require_scikit_learn()
    candidates = candidates_of(model_names, settings, name)
    data = open_labelled(dataset, texts)
    split = data.split(settings.seed)
    if split.test is None and split.validation is None:
        raise DataError(
            "Classifiers are compared on texts that training never saw, but none are held out. Set test_split or "
            "validation_split above 0, or give a test_file."
        )
    shapes = shapes_of(candidates, Path(place.model_dir))
    training = {**settings.common(), "max_length": common_length(settings.max_length, shapes)}
    comparison = SplitComparison(
        folder=Path(place.checkpoint_dir) / name,
        place=place,
        asked={
            "task": CLASSIFICATION,
            **training,
            "lora_rank": settings.lora_rank,
            "validation_split": texts.validation_split,
            "test_split": texts.test_split,
            "precision": place.precision,
            "text": data.fingerprint,
            "validation_file": data.validation_fingerprint,
        },
        data=data,
        training=training,
        tested=split.test is not None,
    )
    comparison.begin()
    rows = [_row(candidate, shapes[candidate.model], comparison) for candidate in candidates]
    found = data.texts
    rate = settings.learning_rate
    result = CompareClassifiersResult(
        rows=tuple(rows),
        text=f"Texts: {counted(len(found.texts), 'text')} in {counted(len(found.names), 'class', 'classes')}, of which "
        f"{len(split.train.texts):,} to train on and {rows[0].texts:,} in {rows[0].part}; the same for all.",
        budget=f"Each model: {counted(rows[0].steps, 'step')} of up to {counted(settings.batch_size, 'text')}, "
        f"{settings.epochs:g} passes over the training texts, up to {training['max_length']} tokens of each text, "
        f"{'the default learning rate of its size and method' if rate is None else f'learning rate {rate:g}'}, seed "
        f"{settings.seed}.{settings.adapters_in_words()}",
        asked=comparison.asked,
        chosen_by=not comparison.tested,
        **comparison.files,
    )
    write(result)
    return result


def _row(candidate: Candidate, config: ModelConfig, comparison: SplitComparison) -> ClassifierRow:
    data = comparison.data

    def train_and_test(session: Session, training: Mapping[str, Any]) -> tuple[FinetuneResult, Any]:
        result = session.train(TrainingCall(CLASSIFIER, data, {**to_json(data.settings), **training}, None))
        require_whole(result, candidate)
        if comparison.tested:
            return result, result.test
        return result, session.evaluate(data, part="held_out", batch_size=training["batch_size"])

    def about(result: FinetuneResult, settings: ClassifierSettings) -> dict[str, Any]:
        return {
            "learning_rate": settings.rate_for(config.parameters),
            "default_rate": settings.learning_rate is None,
            "validation_accuracy": result.best_accuracy,
        }

    row: ClassifierRow = comparison.trained_row(
        candidate, config, ClassifierRow, train_and_test, about, metric="accuracy"
    )  # fmt: skip
    return row
