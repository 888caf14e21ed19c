"""What fine-tuning gives back: a small record with a summary, a JSON form and a picture in notebooks."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """How a fine-tuning call ended.

    Attributes:
        run_dir: the run's folder, which ``generate`` and other tools open.
        steps: optimizer steps of the run in total.
        reason: "finished", "patience" (held-out loss stopped falling), "interrupted", "callback" or "done" (there was
            nothing left to do).
        best_step: the step with the lowest held-out loss, which ``generate`` uses; 0: the model was better before
            training, and ``generate`` uses the last step; None: nothing was held out.
        best_loss: held-out nats per token there. best_bits_per_byte: the same, comparable between tokenizers.
        train_loss: smoothed training loss at the end, nats per token.
        seconds: training time of the run so far.
    """

    run_dir: Path
    steps: int
    reason: str
    best_step: int | None
    best_loss: float | None
    best_bits_per_byte: float | None
    train_loss: float
    seconds: float

    def summary(self) -> str:
        """The result in a few lines for people."""
        ended = {
            "finished": "finished",
            "patience": "stopped: held-out loss no longer falls",
            "interrupted": "interrupted, and saved",
            "callback": "stopped by a callback",
            "done": "was done already",
        }[self.reason]
        lines = [f"{self.run_dir} {ended} at step {self.steps} ({self.seconds:.0f} s of training)."]
        if self.best_loss is not None:
            lines.append(self._best())
        lines.append(f"Training loss at the end {self.train_loss:.3f} nats/token.")
        lines.append(f"Curves: {self.run_dir / 'loss.png'}; samples: {self.run_dir / 'samples'}.")
        return "\n".join(lines)

    def _best(self) -> str:
        figures = f"{self.best_loss:.3f} nats/token ({self.best_bits_per_byte:.3f} bits/byte)"
        if self.best_step == 0:  # of which no checkpoint is kept: it is the model that training began with
            return (
                f"Held-out loss was lowest before training, {figures}: the model has got no better. generate() uses "
                f"the last step, {self.steps}; a lower learning_rate or more text may help."
            )
        return f"Best held-out loss {figures} at step {self.best_step}; generate() uses that step."

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {**asdict(self), "run_dir": str(self.run_dir)}

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"
