"""The running figures of a run: smoothed loss, best step, patience, epochs; what a checkpoint saves of them.

Plain Python over numbers: knows no TensorFlow, no files and no text.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

_SMOOTHING = 0.99  # per step; gpt-2-simple's printed average


@dataclass
class Progress:
    """Where a run stands. Every field is saved, so that a resumed run prints and decides as the straight one would."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    smoothed_sum: float = 0.0
    smoothed_weight: float = 0.0
    epoch_nats: float = 0.0
    epoch_tokens: float = 0.0
    best_step: int | None = None
    best_loss: float | None = None
    best_bits_per_byte: float | None = None
    looks: int = 0
    looks_since_best: int = 0

    @property
    def smoothed_loss(self) -> float:
        """Bias-corrected moving average of the steps' losses, nats per token; nan before the first step."""
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
        """Mean loss of the pass just completed, nats per token; the next one starts from nothing."""
        loss = self.epoch_nats / self.epoch_tokens
        self.epoch_nats = self.epoch_tokens = 0.0
        return loss

    def add_look(self, loss: float, bits_per_byte: float) -> bool:
        """Count one look at the held-out text; true where it is the best so far."""
        self.looks += 1
        if self.best_loss is not None and not loss < self.best_loss:  # not: a nan is never the best
            self.looks_since_best += 1
            return False
        self.best_loss, self.best_bits_per_byte, self.best_step = loss, bits_per_byte, self.step
        self.looks_since_best = 0
        return True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Progress:
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
