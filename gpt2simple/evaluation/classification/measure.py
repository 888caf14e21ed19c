"""A classifier on a part of its labelled texts, beside simple models that learned from the training part."""

from __future__ import annotations

from gpt2simple.data.label_split import PARTS, Examples, LabelSplit, part_of
from gpt2simple.evaluation.classification.baselines import baselines
from gpt2simple.evaluation.classification.classifier import TextClassifier
from gpt2simple.evaluation.classification.metrics import ClassificationResult, classification_result
from gpt2simple.gpt2.model import LoadedModel


def evaluate_part(
    loaded: LoadedModel,
    split: LabelSplit,
    part: str,
    *,
    model: str,
    precision: str,
    longest: int | None,
    batch_size: int,
) -> ClassificationResult:
    """The figures of a classifier on a part of its texts, beside those of simple models trained on the training part.

    Args:
        split: of the texts. part: "train", "held_out" or "test".
        model: its name, for people.

    Raises:
        DataError: there is no such part. BackendError: scikit-learn is missing.
    """
    examples = part_of(split, part)
    simple = split.train if part != "train" else None
    return figures_on(
        loaded, examples, part=PARTS[part], model=model, precision=precision, longest=longest,
        batch_size=batch_size, simple=simple,
    )  # fmt: skip


def figures_on(
    loaded: LoadedModel, examples: Examples, *, part: str, model: str, precision: str,
    longest: int | None, batch_size: int, simple: Examples | None = None,
) -> ClassificationResult:  # fmt: skip
    """The figures of a classifier on some texts.

    Args:
        part, model: for people. simple: what the simple models beside it learn from; None: there are none.
    """
    classifier = TextClassifier(loaded, precision=precision, longest=longest)
    probabilities, truncated = classifier.probabilities(examples.texts, batch_size=batch_size)  # (N, C)
    names, labels = loaded.config.labels, examples.labels.tolist()
    beside = () if simple is None else baselines(simple.texts, simple.labels.tolist(), examples.texts, labels, names)
    return classification_result(
        probabilities, examples.labels, names, model=model, part=part, truncated=truncated, texts=examples.texts,
        baselines=beside,
    )  # fmt: skip
