"""Several classifiers on the same texts: their figures beside simple models, and which of them are better than others.

A difference counts only where McNemar's exact test shows it, with the p-value multiplied by the number of such tests:
the best of several models is ahead of the others by chance too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

from matplotlib.ticker import PercentFormatter

from gpt2simple.evaluation.classification.baselines import Baseline
from gpt2simple.evaluation.classification.mcnemar import Comparison
from gpt2simple.evaluation.classification.metrics import ClassFigures, ClassificationResult
from gpt2simple.evaluation.intervals import Interval, wilson
from gpt2simple.evaluation.report.comparison import ModelRow, ModelsCompared, Table
from gpt2simple.evaluation.report.figure import models_figure
from gpt2simple.runs.figure import Figure
from gpt2simple.storage.contents import counted

HEADS = (
    "model",
    "accuracy",
    "95% interval",
    "F1",
    "log loss",
    "beside the bag of words",
    "beside the best other model",
)
TRAINING_HEADS = (
    "model", "parameters", "learning rate", "best step", "validation accuracy", "validation loss", "time", "memory",
    "verdict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ClassifierRow(ModelRow):
    """One classifier, and its figures on the test part, or without one on the validation part.

    Attributes:
        learning_rate: the highest. default_rate: whether it is the model's default one.
        validation_accuracy, validation_loss: at the best step, 0 to 1 and nats per text; None: not evaluated.
        part: the texts of the figures, in words. texts: how many. truncated: of how many only the beginning was read.
        accuracy: 0 to 1. f1: mean over the classes. log_loss: nats per text.
        wrong: the numbers of the texts that were wrongly classified.
        beside_words: how many texts only the model and only the bag of words classified correctly; None: there is none.
        classes: the figures of each class. baselines: on the same texts, without predictions.
        evaluations: step, validation loss and validation accuracy of each evaluation.
    """

    learning_rate: float
    default_rate: bool
    validation_accuracy: float | None
    validation_loss: float | None
    part: str
    texts: int
    truncated: int
    accuracy: float
    f1: float
    log_loss: float
    wrong: tuple[int, ...]
    beside_words: tuple[int, int] | None
    classes: tuple[ClassFigures, ...]
    baselines: tuple[Baseline, ...]
    evaluations: tuple[tuple[int, float, float], ...]

    @classmethod
    def of(cls, found: ClassificationResult, **about: Any) -> Self:
        """The row of a result; ``about`` gives the fields that it lacks."""
        words = found.beside_words()
        return cls(
            part=found.part,
            texts=found.texts,
            truncated=found.truncated,
            accuracy=found.accuracy,
            f1=found.f1,
            log_loss=found.log_loss,
            wrong=found.wrong,
            beside_words=None if words is None else (words.model_only, words.baseline_only),
            classes=found.classes,
            baselines=tuple(replace(one, predictions=()) for one in found.baselines),
            **about,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        baselines = (
            Baseline(**{**one, "interval": Interval(**one["interval"]), "predictions": ()})
            for one in values["baselines"]
        )
        classes = (ClassFigures(**one) for one in values["classes"])
        return super().from_json({**values, "baselines": tuple(baselines), "classes": tuple(classes)})

    @property
    def interval(self) -> Interval:
        """Where the accuracy lies with 95 % confidence for other texts of this kind."""
        return wilson(self.texts - len(self.wrong), self.texts)

    def training_cells(self) -> list[str]:
        """How it was trained, as text under ``TRAINING_HEADS``."""
        return [
            self.label,
            f"{self.parameters:,}",
            f"{self.learning_rate:g}{' (default)' if self.default_rate else ''}",
            self.step_cell(),
            "" if self.validation_accuracy is None else f"{self.validation_accuracy:.1%}",
            "" if self.validation_loss is None else f"{self.validation_loss:.3f}",
            *self.cost_cells(),
            self.verdict,
        ]


@dataclass(frozen=True, kw_only=True)
class CompareClassifiersResult(ModelsCompared[ClassifierRow]):
    """Several classifiers on the same texts.

    Attributes:
        chosen_by: whether the best steps were chosen by the texts of the figures, as there is no test part.
    """

    template: ClassVar[str] = "classifiers.html"
    title: ClassVar[str] = "Classifiers compared"
    figure_title: ClassVar[str] = "Accuracy and learning curves"
    figure_shows: ClassVar[str] = (
        "Accuracy of each model and simple model with its 95% interval; validation loss by step."
    )

    chosen_by: bool

    @property
    def best(self) -> ClassifierRow:
        """The model with the highest accuracy; of equal ones that with the lowest log loss."""
        return max(self.rows, key=_rank)

    def best_other(self, row: ClassifierRow) -> ClassifierRow:
        """The best of the other models."""
        return max((other for other in self.rows if other is not row), key=_rank)

    def beside_words(self, row: ClassifierRow) -> Comparison | None:
        """A model beside the bag of words; None: there is none."""
        if row.beside_words is None:
            return None
        return Comparison.of("bag of words", *row.beside_words, tests=len(self.rows))

    def beside_other(self, row: ClassifierRow, other: ClassifierRow) -> Comparison:
        """A model beside another one."""
        mine, its = set(row.wrong), set(other.wrong)
        return Comparison.of(other.label, len(its - mine), len(mine - its), tests=self._pairs)

    @property
    def _pairs(self) -> int:
        return len(self.rows) * (len(self.rows) - 1) // 2

    @property
    def box(self) -> str:
        shown = self.beside_other(self.best, self.best_other(self.best)).outcome == "better"
        return "" if shown else "cannot_say"

    def conclusion(self) -> str:
        best, other = self.best, self.best_other(self.best)
        right = f"{best.accuracy:.1%} (95% interval: {best.interval.text()})"
        if other.accuracy == best.accuracy:
            return f"{best.label} and {other.label} have the same accuracy on {best.part}, {right}."
        return f"{best.label} has the highest accuracy on {best.part}: {right}."

    def notes(self) -> tuple[str, ...]:
        best, other = self.best, self.best_other(self.best)
        said = [self.beside_other(best, other).sentence(best.label, other.label)]
        factors = [f"by {self._pairs} between two models"] if self._pairs > 1 else []
        if words := self.beside_words(best):
            said.append(words.sentence(best.label))
            factors.append(f"by {len(self.rows)} beside the bag of words")
        if factors:
            said.append(f"As there are several tests, p is multiplied (Bonferroni): {' and '.join(factors)}.")
        if self.chosen_by:
            said.append(
                "There is no test part. The best step of each model was chosen by the validation part, so its figures "
                "are likely to be better than on new texts."
            )
        for row in self.rows:
            if row.truncated:
                said.append(f"{row.label} read only the beginning of {counted(row.truncated, 'text')}.")
        return (*said, *(one.note for one in self.rows[0].baselines if one.note))

    def tables(self) -> list[Table]:
        figures = (
            "F1: mean over the classes. Log loss: nats per text. In brackets: texts that only the one and only the "
            "other classified correctly, and McNemar's exact test. Intervals and tests say what other texts of this "
            "kind may give; another seed may make a larger difference."
        )
        training = "Validation: at the best step, the loss in nats per text. Verdict: what the loss curves show. "
        training += "Memory: of the process, or of the GPU, at its peak."
        simple = [[*_figures(one.name, one), "", ""] for one in self.rows[0].baselines]
        return [
            Table(f"On {self.rows[0].part}", HEADS, [*map(self._cells, self.rows), *simple], figures),
            Table("Training", TRAINING_HEADS, [row.training_cells() for row in self.rows], training),
        ]

    def _cells(self, row: ClassifierRow) -> list[str]:
        words, other = self.beside_words(row), self.best_other(row)
        beside = f"{other.label}: {self.beside_other(row, other).cell()}"
        return [*_figures(row.label, row), "" if words is None else words.cell(), beside]

    def classes_table(self) -> Table:
        """The F1 of each class under each model."""
        heads = ("class", "texts", *(row.label for row in self.rows))
        rows = [
            (names[0].name, f"{names[0].texts:,}", *(f"{one.f1:.3f}" for one in names))
            for names in zip(*(row.classes for row in self.rows), strict=True)
        ]
        return Table("By class", heads, rows, "F1 of each class")

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, the baselines once."""
        values = super().to_json()
        for row, shown in zip(self.rows, values["rows"], strict=True):
            words, other = self.beside_words(row), self.best_other(row)
            shown["interval"] = asdict(row.interval)
            shown["beside_words"] = None if words is None else asdict(words)
            shown["beside_best_other"] = asdict(self.beside_other(row, other))
            baselines = shown.pop("baselines")
        for one in baselines:
            del one["predictions"]
        return {**values, "conclusion": self.conclusion(), "notes": list(self.notes()), "baselines": baselines}

    def figure(self) -> Figure:
        """Accuracy with its interval, and validation loss by step."""
        shown = [(row.label, row.accuracy, row.interval) for row in self.rows]
        simple = [(one.name, one.accuracy, one.interval) for one in self.rows[0].baselines]
        lines = {
            row.label: ([step for step, _, _ in row.evaluations], [loss for _, loss, _ in row.evaluations])
            for row in self.rows
        }
        return models_figure(
            shown, simple, lines, part=self.rows[0].part, measured="accuracy", loss_unit="nats per text",
            axis_format=PercentFormatter(1.0, decimals=0),
        )  # fmt: skip


def _rank(row: ClassifierRow) -> tuple[float, float]:
    return row.accuracy, -row.log_loss


def _figures(name: str, one: ClassifierRow | Baseline) -> list[str]:
    return [name, f"{one.accuracy:.1%}", one.interval.text(), f"{one.f1:.3f}", f"{one.log_loss:.4f}"]
