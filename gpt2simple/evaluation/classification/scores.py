"""The figures that a model and a baseline have in common, as scikit-learn computes them from probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gpt2simple.backend.packages import require
from gpt2simple.errors import CheckpointError, DataError
from gpt2simple.evaluation.intervals import Interval, wilson

_ROUNDING = 1e-9  # of sums of 64-bit probabilities; those of 32-bit ones are further from 1
_NO_SUM = 0.02  # further from 1 than the rounding of 16-bit probabilities


def require_scikit_learn() -> None:
    """Return if scikit-learn can be used; to be called before anything large is loaded.

    Raises:
        BackendError: it is not installed or cannot be imported.
    """
    require({"sklearn.metrics": "scikit-learn"}, "classifying texts needs")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well some probabilities fit the labels.

    Attributes:
        labels, predicted: int [texts], the class of each text and its most probable one; not in JSON.
        accuracy: share that was classified correctly, 0 to 1. interval: where it lies with 95 % confidence for other
            texts of this kind (Wilson 1927); another training run may differ by more.
        precision, recall, f1: means over the classes that occur among labels or predictions (macro).
        log_loss: nats per text.
    """

    labels: np.ndarray = field(repr=False, compare=False)
    predicted: np.ndarray = field(repr=False, compare=False)
    accuracy: float
    interval: Interval
    precision: float
    recall: float
    f1: float
    log_loss: float

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray) -> Scores:
        """The scores of probabilities, float64 [texts, classes], and labels, int [texts], that ``checked`` returned."""
        from sklearn import metrics  # an extra, which most users lack

        predicted = probabilities.argmax(axis=1)  # [texts]; of equal ones the first
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels, predicted, average="macro", zero_division=0
        )
        return cls(
            labels=labels,
            predicted=predicted,
            accuracy=float(metrics.accuracy_score(labels, predicted)),
            interval=wilson(int((predicted == labels).sum()), len(labels)),
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            log_loss=float(metrics.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))),
        )


def require_texts(texts: int, classes: int) -> None:
    """Return if a classifier can be tested on so many texts. Raises DataError where there is no text or one class."""
    if classes < 2:
        raise DataError("All texts have the same label, so there is nothing to tell apart. Give texts of two classes.")
    if texts == 0:
        raise DataError("There is no text to test the classifier on. Hold out more text or give a test file.")


def checked(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities as float64 [texts, classes] that sum to 1, and the labels as int64 [texts].

    Sums that are 1 but for the rounding of 16 or 32 bits are made 1; scikit-learn would warn of them.

    Raises:
        DataError: there is no text, or only one class.
        CheckpointError: the model's probabilities are no numbers.
        ValueError: the arrays do not fit together.
    """
    values, found = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    require_texts(len(found), classes)
    if values.shape != (len(found), classes) or found.ndim != 1:
        raise ValueError(f"probabilities {values.shape} and labels {found.shape} do not fit {classes} classes")
    if found.min() < 0 or found.max() >= classes:
        raise ValueError(f"labels from {found.min()} to {found.max()} do not fit {classes} classes")
    if not np.isfinite(values).all():
        raise CheckpointError(
            "The model gives probabilities that are not numbers: training has ruined its weights. Train it again with "
            "a lower learning_rate."
        )
    sums = values.sum(axis=1, keepdims=True)  # [texts, 1]
    if values.min() < 0.0 or np.abs(sums - 1.0).max() > _NO_SUM:
        raise ValueError("probabilities must be at least 0 and sum to 1")
    return (values / sums if np.abs(sums - 1.0).max() > _ROUNDING else values), found
