"""The state of a run: smoothed loss, best step, patience and epochs, as plain numbers that checkpoints save."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gpt2simple.runs.records import Figures

_SMOOTHING = 0.99  # per step; gpt-2-simple's printed average

# Two fields have other names in checkpoints.
_STORED_NAMES = {"evaluations": "looks", "evaluations_since_best": "looks_since_best"}


@dataclass
class TrainerState:
    """The progress of a run. All of it is saved, so that a resumed run continues exactly like an uninterrupted one."""

    step: int = 0
    tokens: int = 0  # target tokens
    seconds: float = 0.0
    smoothed_sum: float = 0.0
    smoothed_weight: float = 0.0
    epoch_nats: float = 0.0
    epoch_tokens: float = 0.0
    best_step: int | None = None
    best: dict[str, float] = field(default_factory=dict)  # the metrics at the best step, including "loss"
    evaluations: int = 0
    evaluations_since_best: int = 0

    @property
    def smoothed_loss(self) -> float:
        """Bias-corrected moving average of the steps' losses, nats per target; nan before the first step."""
        return self.smoothed_sum / self.smoothed_weight if self.smoothed_weight else math.nan

    def add_step(self, nats: float, tokens: float, seconds: float) -> None:
        """Count one optimizer step."""
        self.step += 1
        self.tokens += round(tokens)
        self.seconds += seconds
        self.smoothed_sum = _SMOOTHING * self.smoothed_sum + (1.0 - _SMOOTHING) * nats / tokens
        self.smoothed_weight = _SMOOTHING * self.smoothed_weight + (1.0 - _SMOOTHING)
        self.epoch_nats += nats
        self.epoch_tokens += tokens

    def end_epoch(self) -> float:
        """Mean loss of the completed epoch, nats per target; resets the sums for the next."""
        loss = self.epoch_nats / self.epoch_tokens
        self.epoch_nats = self.epoch_tokens = 0.0
        return loss

    def add_evaluation(self, figures: Figures) -> bool:
        """Count one evaluation; true if it is the best so far."""
        self.evaluations += 1
        if self.best and not figures.is_better_than(self.best):
            self.evaluations_since_best += 1
            return False
        self.best, self.best_step = figures.best(), self.step
        self.evaluations_since_best = 0
        return True

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        best = values.pop("best")
        stored = {_STORED_NAMES.get(name, name): value for name, value in values.items()}
        return {**stored, **{f"best_{name}": value for name, value in best.items()}}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainerState:
        names = {_STORED_NAMES.get(f.name, f.name): f.name for f in fields(cls) if f.name != "best"}
        own = {name: values[stored] for stored, name in names.items() if stored in values}
        best = {
            name.removeprefix("best_"): value
            for name, value in values.items()
            if name.startswith("best_") and name != "best_step" and value is not None
        }
        return cls(**own, best=best)
