"""What happens in training, as plain records, and the interface of their receivers.

Knows nothing of TensorFlow, files or terminals. The training loop makes the records; callbacks (progress lines, metric
files, plots) receive them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from gpt2simple.settings import misfit


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run is about to do; callbacks get it before the first step."""

    model_name: str
    run_dir: Path
    first_step: int  # steps already done; 0 for a fresh run
    last_step: int | None  # None: until held-out loss stops falling
    steps_per_epoch: float
    tokens_per_step: int
    parameters: int
    train_tokens: int
    held_out_tokens: int  # 0: nothing held out
    print_every: int
    target: str = "token"  # what is predicted, and losses are nats of: a token, or the class of a text
    function: str = "finetune"  # of the API, which continues the run


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step."""

    step: int  # steps done, this one included
    epoch: float  # passes over the text so far
    loss: float  # nats per token, this step's batch
    smoothed_loss: float  # nats per token, bias-corrected moving average (0.99 a step)
    learning_rate: float
    gradient_norm: float
    tokens: int  # target tokens seen since the run began
    seconds: float  # training time since the run began, earlier sessions included
    tokens_per_second: float

    def to_json(self) -> dict[str, Any]:
        return {"kind": "step", **asdict(self)}


class Figures(Protocol):
    """What an evaluation found. Each task has its own figures; a lower ``loss`` is better for all of them."""

    @property
    def loss(self) -> float:
        """The mean loss of a target, in nats."""

    def text(self) -> str:
        """All figures in one line, with units."""

    def brief(self) -> str:
        """The most important ones, with units."""

    def scalars(self) -> dict[str, float]:
        """The figures by name, for tables and charts; ``loss`` is the first."""

    def best(self) -> dict[str, float]:
        """Those that a run keeps of its best step; ``loss`` is the first."""

    def is_better_than(self, best: Mapping[str, float]) -> bool:
        """Whether this evaluation is better than the best one before, of which these figures were kept."""

    def criterion(self) -> tuple[str, str]:
        """The figure that decides which evaluation is the best: its name and its value in words."""

    def to_json(self) -> dict[str, Any]:
        """The sums that the figures follow from, from which `figures_from_json` makes them again."""


@dataclass(frozen=True, kw_only=True)
class LanguageFigures:
    """How well held-out text is predicted."""

    nats: float  # summed over the target tokens
    target_tokens: int
    target_bytes: int  # bytes of the text of the target tokens

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.target_tokens

    @property
    def perplexity(self) -> float:
        """Of the loss per token; finite however large the loss."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        """The summed loss in bits per byte of the text of its targets."""
        return self.nats / math.log(2) / max(self.target_bytes, 1)

    def brief(self) -> str:
        return f"{self.loss:.3f} nats/token, {self.bits_per_byte:.3f} bits/byte"

    def text(self) -> str:
        return f"{self.loss:.3f} nats/token, perplexity {self.perplexity:.4g}, {self.bits_per_byte:.3f} bits/byte"

    def scalars(self) -> dict[str, float]:
        return {"loss": self.loss, "perplexity": self.perplexity, "bits_per_byte": self.bits_per_byte}

    def best(self) -> dict[str, float]:
        return {"loss": self.loss, "bits_per_byte": self.bits_per_byte}

    def is_better_than(self, best: Mapping[str, float]) -> bool:
        return self.loss < best["loss"]  # never where it is NaN

    def criterion(self) -> tuple[str, str]:
        return "loss", f"{self.loss:.3f}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ClassifierFigures:
    """How well held-out texts are classified.

    Attributes:
        class_nats: cross-entropy, summed over the texts. correct: texts whose likeliest class is theirs.
        by_accuracy: whether the step with the highest accuracy is the best, and not that with the lowest loss.
    """

    class_nats: float
    correct: int
    texts: int
    by_accuracy: bool

    @property
    def loss(self) -> float:
        """Nats per text."""
        return self.class_nats / self.texts

    @property
    def accuracy(self) -> float:
        return self.correct / self.texts

    def brief(self) -> str:
        return f"{self.loss:.3f} nats/text, accuracy {self.accuracy:.1%}"

    def text(self) -> str:
        return f"{self.loss:.3f} nats/text, accuracy {self.accuracy:.1%} ({self.correct:,} of {self.texts:,})"

    def scalars(self) -> dict[str, float]:
        return {"loss": self.loss, "accuracy": self.accuracy}

    def best(self) -> dict[str, float]:
        return self.scalars()

    def is_better_than(self, best: Mapping[str, float]) -> bool:
        """By loss where the accuracies are equal, as they often are with few texts."""
        if self.by_accuracy and math.isfinite(self.loss) and self.accuracy != best["accuracy"]:
            return self.accuracy > best["accuracy"]
        return self.loss < best["loss"]

    def criterion(self) -> tuple[str, str]:
        return ("accuracy", f"{self.accuracy:.1%}") if self.by_accuracy else ("loss", f"{self.loss:.3f}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


FIGURES = (LanguageFigures, ClassifierFigures)


def figures_from_json(values: Mapping[str, Any]) -> Figures | None:
    """The figures of an evaluation in metrics.jsonl; None where the values are those of no known figures.

    A sum that was not finite is null there, and NaN again here.
    """
    kinds: tuple[tuple[type[LanguageFigures | ClassifierFigures], str], ...] = (
        (LanguageFigures, "target_tokens"), (ClassifierFigures, "texts"),
    )  # fmt: skip
    for cls, counted in kinds:
        names = [field.name for field in fields(cls)]
        if not all(name in values for name in names):
            continue
        numbers: dict[str, Any] = {name: math.nan if values[name] is None else values[name] for name in names}
        if not misfit(cls, numbers) and numbers[counted] >= 1:
            return cls(**numbers)
    return None


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """One evaluation on the held-out part."""

    step: int
    epoch: float
    figures: Figures
    train_loss: float  # smoothed training loss at this step, nats per target
    is_best: bool
    seconds: float

    @property
    def loss(self) -> float:
        """Held-out loss in nats per target."""
        return self.figures.loss

    def to_json(self) -> dict[str, Any]:
        when = {"kind": "evaluation", "step": self.step, "epoch": self.epoch}
        beside = {"train_loss": self.train_loss, "is_best": self.is_best, "seconds": self.seconds}
        return {**when, **self.figures.to_json(), **beside, **self.figures.scalars()}


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """The mean training loss of one whole pass over the text."""

    step: int
    epoch: int  # passes completed
    train_loss: float  # nats per token, over all target tokens of the pass

    def to_json(self) -> dict[str, Any]:
        return {"kind": "epoch", **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """What the model wrote at a step."""

    step: int
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": "sample", **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class EndRecord:
    """How a run ended."""

    step: int
    reason: str  # "finished", "patience", "interrupted", "callback" or "failed"
    best_step: int | None
    resume_hint: str  # what to call to continue

    def to_json(self) -> dict[str, Any]:
        return {"kind": "end", **asdict(self)}


class TrainingCallback:
    """Receives what happens in a run; every method may be left out.

    The calls come from the training thread, in order: start, then steps, epochs, evaluations, samples and checkpoints
    as they happen, then end (also after an interruption or an error).
    """

    def on_start(self, plan: RunPlan) -> None: ...
    def on_step(self, record: StepRecord) -> None: ...
    def on_epoch(self, record: EpochRecord) -> None: ...
    def on_evaluation(self, record: EvaluationRecord) -> None: ...
    def on_sample(self, record: SampleRecord) -> None: ...
    def on_save(self, step: int, path: Path) -> None: ...
    def on_message(self, text: str) -> None: ...
    def on_end(self, record: EndRecord) -> None: ...
