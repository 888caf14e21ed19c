"""What calls return that train a model or classify texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gpt2simple.evaluation.classification.metrics import ClassificationResult
from gpt2simple.evaluation.html import picture_of, shown_in_notebook
from gpt2simple.runs.curves import EVALUATIONS_WITHOUT_GAIN
from gpt2simple.runs.samples import FOLDER_NAME

_ENDED = {
    "finished": "finished",
    "patience": "stopped early (held-out loss no longer improved)",
    "interrupted": "was interrupted and saved",
    "callback": "stopped by a callback",
    "done": "was already finished",
}


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """How a fine-tuning call ended.

    Attributes:
        run_dir: the run's folder, which ``generate`` and other tools can open.
        steps: total optimizer steps of the run.
        reason: "finished", "patience" (held-out loss stopped falling), "interrupted", "callback" or "done" (the run was
            already complete).
        best_step: the step with the lowest held-out loss, which ``generate`` uses; 0: the model was better before
            training, and ``generate`` uses the last step; None: nothing was held out.
        best_loss: held-out loss at that step, nats per token. best_bits_per_byte: the same, comparable between
            tokenizers.
        evaluations_since_best: how many times held-out loss was measured after that step.
        train_loss: training loss at the end, the mean of the last steps, nats per token; that of loss.png and reports.
        best_accuracy: of a classifier, validation accuracy at that step, 0 to 1; None: the model is none.
        seconds: training time of the run so far.
        target: what was predicted, and losses are nats of: "token", or "text" for a classifier.
        test: of a classifier, its figures on the test part, with the best weights; None: there are none.
        control: how the same training from random weights ended; None: there was none.
    """

    run_dir: Path
    steps: int
    reason: str
    best_step: int | None
    best_loss: float | None
    best_bits_per_byte: float | None
    best_accuracy: float | None = None
    evaluations_since_best: int
    train_loss: float
    seconds: float
    target: str = "token"
    test: ClassificationResult | None = None
    control: FinetuneResult | None = None

    @property
    def interrupted(self) -> bool:
        """Whether training was interrupted, its own or that of the control."""
        return "interrupted" in (self.reason, self.control and self.control.reason)

    def summary(self) -> str:
        """The result as a few lines of text."""
        lines = [f"{self.run_dir} {_ENDED[self.reason]} at step {self.steps} ({self.seconds:.0f} s of training)."]
        if self.best_loss is not None:
            lines.append(self._best())
        lines.append(f"Final training loss: {self.train_loss:.3f} nats/{self.target}.")
        samples = self.run_dir / FOLDER_NAME
        lines.append(f"Curves: {self.run_dir / 'loss.png'}{f'; samples: {samples}' if samples.is_dir() else ''}.")
        if self.control is not None:
            lines.append(f"Control, from random weights: {self.control.run_dir}{self._until_when()}.")
        return "\n".join(lines if self.test is None else [*lines, self.test.summary()])

    def _until_when(self) -> str:
        assert self.control is not None
        if self.control.reason != "interrupted":
            return ""
        return f", interrupted at step {self.control.steps}; the same call continues it, and then shows its figures"

    def _best(self) -> str:
        if self.best_accuracy is not None and self.best_step == 0:
            return (
                f"Validation was best before training ({self.best_accuracy:.1%} correct, {self.best_loss:.3f} "
                f"nats/text), so classify() uses the last step, {self.steps}. Train longer or at another rate."
            )
        if self.best_accuracy is not None:
            return (
                f"Best step: {self.best_step}, with validation accuracy {self.best_accuracy:.1%} and "
                f"{self.best_loss:.3f} nats/text; classify() uses it."
            )
        figures = f"{self.best_loss:.3f} nats/token ({self.best_bits_per_byte:.3f} bits/byte)"
        since = self.evaluations_since_best
        if self.best_step == 0 and since < EVALUATIONS_WITHOUT_GAIN and self.reason != "patience":
            times = ("not been evaluated since", "not improved in one evaluation", "not improved in two evaluations")
            return (
                f"Held-out loss was {figures} before training and has {times[since]}: too few steps to tell whether "
                f"the model improves. generate() uses the last step, {self.steps}."
            )
        if self.best_step == 0:  # the model before training, which has no checkpoint
            return (
                f"Held-out loss was lowest before training, {figures}: the model did not improve. generate() uses the "
                f"last step, {self.steps}; a lower learning_rate or more text may help."
            )
        return f"Best held-out loss {figures} at step {self.best_step}; generate() uses that step."

    def to_json(self) -> dict[str, Any]:
        """The result as a dictionary for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = {name: part and part.to_json() for name, part in (("test", self.test), ("control", self.control))}
        return {**values, "run_dir": str(self.run_dir), **parts}

    def _repr_html_(self) -> str:
        """A table and the loss curves, for a classifier its figures on the test part too."""
        held_out = "held-out" if self.best_accuracy is None else "validation"
        best = None if self.best_loss is None else f"{self.best_loss:.3f} nats/{self.target}"
        per_byte = None if self.best_bits_per_byte is None else f"{self.best_bits_per_byte:.3f}"
        accuracy = None if self.best_accuracy is None else f"{self.best_accuracy:.1%}"
        rows = [
            ("run", str(self.run_dir)),
            ("how it ended", f"{_ENDED[self.reason]} at step {self.steps:,}"),
            ("best step", None if self.best_step is None else f"{self.best_step:,}"),
            (f"{held_out} loss at that step", best),
            (f"{held_out} bits per byte at that step", per_byte),
            ("validation accuracy at that step", accuracy),
            ("training loss at the end", f"{self.train_loss:.3f} nats/{self.target}"),
            ("seconds of training", f"{self.seconds:.0f}"),
        ]
        view = shown_in_notebook(
            [{"heads": (), "rows": [row for row in rows if row[1] is not None]}],
            after=[] if self.best_loss is None else [self._best()],
            picture=picture_of(self.run_dir / "loss.png"),
            shows="Loss by step: training and held-out, with the best step.",
        )
        if self.control is not None:
            view += shown_in_notebook(
                after=[f"Control, from random weights: {self.control.run_dir}{self._until_when()}."]
            )
        return view if self.test is None else view + self.test._repr_html_()


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The class of a text.

    Attributes:
        text: as it was given. label: the most probable class. probability: its probability, 0 to 1.
        probabilities: of every class, by its name.
    """

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
