"""The result of classifying texts: figures with their intervals, baselines beside them, and what they do not show.

Accuracy, precision, recall, F1, the confusion matrix and the log loss are scikit-learn's. The calibration error is the
expected calibration error (Guo et al. 2017) of the predicted class over ten bins of equal width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gpt2simple.evaluation.classification.baselines import BAG_OF_WORDS, CONTROL, Baseline
from gpt2simple.evaluation.classification.mcnemar import Comparison
from gpt2simple.evaluation.classification.scores import Scores, checked, require_scikit_learn
from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.evaluation.intervals import Interval, wilson
from gpt2simple.evaluation.significance import LEVEL, binomial_p
from gpt2simple.evaluation.tables import text_table
from gpt2simple.storage.contents import as_name, counted

__all__ = [
    "ClassFigures", "ClassificationResult", "Interval", "Mistake", "classification_result", "require_scikit_learn",
    "wilson",
]  # fmt: skip

BINS = 10
MOST_LISTED = 40  # classes, in a summary
_OF_TEXTS = ("labels", "predicted", "predictions")  # long, and not in JSON
_FEWEST_FOR_CALIBRATION = 50  # texts; the accuracy of fewer is known to no better than a quarter
CLASS_HEADS = ("class", "texts", "precision", "recall", "F1")
BESIDE_HEADS = ("", "accuracy", "95% interval", "F1", "log loss", "training texts")


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """How well the texts of one class are recognised; ``texts``: how many there are. The others are 0 to 1."""

    name: str
    texts: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A text, its label, the class that was predicted in its place, and the probability of that."""

    text: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class ClassificationResult(Scores):
    """How well texts were classified.

    Attributes:
        accuracy, interval, precision, recall, f1, log_loss: as in ``Scores``.
        model, part: descriptions of the model and of the texts. texts: how many.
        truncated: of how many only the beginning was read.
        calibration_error: the mean distance between the probability of the predicted class and the share that is
            correct, over ten bins of equal width.
        calibration_bins: mean probability, share that is correct, and texts of each bin that has any.
        classes: each class. confusion: texts by true class, then by predicted class.
        baselines: simple models on the same texts. comparisons: the model beside each of them.
        mistakes: the most confident first.
    """

    model: str
    part: str
    texts: int
    truncated: int
    calibration_error: float
    calibration_bins: tuple[tuple[float, float, int], ...]
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    baselines: tuple[Baseline, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    mistakes: tuple[Mistake, ...] = ()

    @property
    def wrong(self) -> tuple[int, ...]:
        """The numbers of the texts that were not classified correctly."""
        return tuple(np.flatnonzero(self.labels != self.predicted).tolist())

    def beside_words(self) -> Comparison | None:
        """The comparison with the bag of words; None: there is none."""
        return next((one for one in self.comparisons if one.baseline == BAG_OF_WORDS), None)

    def beside(self, *baselines: Baseline) -> ClassificationResult:
        """The result beside further baselines, measured on the same texts in the same order."""
        comparisons = (_compared(baseline, self) for baseline in baselines)
        return replace(self, baselines=(*self.baselines, *baselines), comparisons=(*self.comparisons, *comparisons))

    def main_comparison(self) -> Comparison | None:
        """The one with the bag of words, or without it the first; None: there is none."""
        return self.beside_words() or next(iter(self.comparisons), None)

    def conclusion(self) -> str:
        """Whether the model is better than the bag of words and the control, and than which others it is not."""
        main = self.main_comparison()
        if main is None:
            return "There is no simple model to compare with, so these figures do not say what the model is worth."
        others = [
            one for one in self.comparisons if one is not main and (one.outcome != "better" or one.baseline == CONTROL)
        ]
        return " ".join(one.sentence() for one in [main, *others])

    def calibration(self) -> str:
        """Whether the probabilities of the predicted classes can be believed, in a sentence or two."""
        confidence = sum(mean * texts for mean, _, texts in self.calibration_bins) / self.texts
        facts = (
            f"The mean probability of the predicted class is {confidence:.1%}, and {self.accuracy:.1%} are correct: "
        )
        if self.texts < _FEWEST_FOR_CALIBRATION:
            return f"{facts}of {counted(self.texts, 'text')} it cannot be told whether such probabilities are right."
        # If each probability is right, the number of correct ones spreads no more than a binomial one.
        p_value = binomial_p(round(self.accuracy * self.texts), self.texts, confidence)
        too = "high" if confidence > self.accuracy else "low"
        by = f"too {too} by {100 * abs(confidence - self.accuracy):.1f} points on average."
        verdict = by if p_value < LEVEL else "chance alone may make this difference."
        return f"{facts}{verdict} {self._calibration_by_chance()}"

    def _calibration_by_chance(self) -> str:
        """The calibration error beside the one of probabilities that are right, which is not 0."""
        # The mean distance of a binomial share from its mean, in the normal approximation, times the texts.
        chance = sum(math.sqrt(2 / math.pi * texts * p * (1 - p)) for p, _, texts in self.calibration_bins) / self.texts
        return (
            f"The expected calibration error over {BINS} bins of equal width is {self.calibration_error:.3f}; "
            f"probabilities that are right would give about {chance:.3f} on as many texts."
        )

    def notes(self) -> tuple[str, ...]:
        """What else to know of the figures, sentences."""
        missing = [as_name(one.name) for one in self.classes if not one.texts]
        said = [baseline.note for baseline in self.baselines if baseline.note]
        if missing:
            said.append(f"No text here is of {_listed(missing)}: the figures say nothing of how well it is recognised.")
        return tuple(said)

    def summary(self) -> str:
        """The figures in a few lines, the baselines beside them, and what follows from both."""
        lines = [self.headline(), *(f"  {name:<18} {value}" for name, value in self.rows()), ""]
        lines += text_table([CLASS_HEADS, *self.class_rows()[:MOST_LISTED]])
        if len(self.classes) > MOST_LISTED:
            lines.append(f"  and {len(self.classes) - MOST_LISTED:,} more classes")
        if self.baselines:
            lines += ["", *text_table([BESIDE_HEADS, *self.beside_rows()])]
        return "\n".join([*lines, "", self.conclusion(), self.calibration(), *self.notes()])

    def headline(self) -> str:
        """What was classified."""
        cut = f", {self.truncated:,} of them read in part" if self.truncated else ""
        return f"{self.model} on {self.part}: {counted(self.texts, 'text')}{cut}"

    def rows(self) -> list[tuple[str, str]]:
        """The figures with their names."""
        return [
            ("accuracy", f"{self.accuracy:.1%} (95% interval: {self.interval.text()})"),
            ("precision", f"{self.precision:.3f} (mean over the classes)"),
            ("recall", f"{self.recall:.3f} (mean over the classes)"),
            ("F1", f"{self.f1:.3f} (mean over the classes)"),
            ("log loss", f"{self.log_loss:.4f} nats/text"),
            ("calibration error", f"{self.calibration_error:.3f} (expected, {BINS} bins of equal width)"),
        ]

    def class_rows(self) -> list[tuple[str, ...]]:
        """The classes, under ``CLASS_HEADS``."""
        return [
            (as_name(one.name), f"{one.texts:,}", f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}")
            for one in self.classes
        ]

    def beside_rows(self) -> list[tuple[str, ...]]:
        """The model and the baselines, under ``BESIDE_HEADS``."""
        shown: list[tuple[str, str, ClassificationResult | Baseline]] = [("model", "", self)]
        shown += [(one.name, f"{one.train_texts:,}", one) for one in self.baselines]
        return [
            (name, f"{one.accuracy:.1%}", one.interval.text(), f"{one.f1:.3f}", f"{one.log_loss:.4f}", learned)
            for name, learned, one in shown
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values, without the class of each text."""
        values = asdict(
            self, dict_factory=lambda pairs: {name: _plain(v) for name, v in pairs if name not in _OF_TEXTS}
        )
        return {**values, "conclusion": self.conclusion(), "calibration": self.calibration()}

    def _repr_html_(self) -> str:
        tables: list[dict[str, Any]] = [
            {"heads": (), "rows": self.rows(), "caption": self.headline()},
            {"heads": CLASS_HEADS, "rows": self.class_rows()},
        ]
        if self.baselines:
            tables.append({"heads": BESIDE_HEADS, "rows": self.beside_rows()})
        return shown_in_notebook(tables, after=[self.conclusion(), *self.notes()])


def classification_result(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], *, model: str, part: str, truncated: int = 0,
    texts: Sequence[str] | None = None, most_mistakes: int = 20, baselines: Sequence[Baseline] = (),
) -> ClassificationResult:  # fmt: skip
    """How well some probabilities fit the labels.

    Args:
        probabilities: float [texts, classes]. The most probable class is the predicted one; of equal ones the first.
        labels: int [texts], the class of each text. names: of the classes.
        model, part: descriptions. truncated: of how many texts only the beginning was read.
        texts: the texts themselves, of which ``most_mistakes`` wrongly classified ones are kept; None: none.
        baselines: measured on the same texts in the same order.

    Raises:
        BackendError: scikit-learn is missing.
        DataError: there is no text, or only one class.
        CheckpointError: the probabilities are no numbers.
        ValueError: arguments do not fit together.
    """
    require_scikit_learn()
    from sklearn import metrics  # an extra, which most users lack

    values, truth = checked(probabilities, labels, len(names))  # [texts, classes], [texts]
    scores = Scores.of(values, truth)
    order = np.arange(len(names))  # [classes]
    by_class = metrics.precision_recall_fscore_support(truth, scores.predicted, labels=order, zero_division=0)
    confidence = values.max(axis=1)  # [texts]
    error, bins = _calibration(confidence, scores.predicted == truth)
    found = ClassificationResult(
        **vars(scores),
        model=model,
        part=part,
        texts=len(truth),
        truncated=truncated,
        calibration_error=error,
        calibration_bins=bins,
        classes=tuple(
            ClassFigures(name=name, texts=int(count), precision=float(p), recall=float(r), f1=float(f))
            for name, p, r, f, count in zip(names, *by_class, strict=True)
        ),
        confusion=tuple(map(tuple, metrics.confusion_matrix(truth, scores.predicted, labels=order).tolist())),
        mistakes=_mistakes(texts, truth, scores.predicted, confidence, names)[:most_mistakes]
        if texts is not None
        else (),
    )
    return found.beside(*baselines)


def _calibration(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    """The expected calibration error and its bins, from float [texts] and bool [texts]."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)  # [texts]; a probability of 1 is in the last
    found = []
    for number in range(BINS):
        inside = bins == number  # [texts]
        if inside.any():
            found.append((float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum())))
    return sum(abs(mean - share) * texts for mean, share, texts in found) / len(confidence), tuple(found)


def _compared(baseline: Baseline, model: Scores) -> Comparison:
    """A model beside a baseline on the same texts."""
    truth = model.labels
    if len(baseline.predictions) != len(truth):
        raise ValueError(f"the baseline {baseline.name} has {len(baseline.predictions)} predictions of {len(truth)}")
    correct, other = model.predicted == truth, np.array(baseline.predictions) == truth  # [texts]
    return Comparison.of(baseline.name, int((correct & ~other).sum()), int((other & ~correct).sum()))


def _mistakes(
    texts: Sequence[str], truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, names: Sequence[str]
) -> tuple[Mistake, ...]:
    """All mistakes, the most confident first; of equally confident ones the earlier. Each array is [texts]."""
    if len(texts) != len(truth):
        raise ValueError(f"{len(texts)} texts do not fit {len(truth)} labels")
    wrong = np.flatnonzero(predicted != truth)
    return tuple(
        Mistake(
            text=texts[i], label=names[truth[i]], predicted=names[predicted[i]], probability=float(confidence[i])
        )
        for i in wrong[np.argsort(-confidence[wrong], kind="stable")]
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_LISTED:
        return f"{', '.join(names[:MOST_LISTED])} or {len(names) - MOST_LISTED:,} more classes"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _plain(value: Any) -> Any:
    """A value of dictionaries and tuples with lists in place of the tuples, as JSON gives it back."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
