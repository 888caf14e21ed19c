"""Several language models on the same text: how well each predicts the held-out part, and what it copied.

Of a model that was trained in full and with an adapter it is said which predicts better, and which copies less, where
that is shown: by the approximate randomisation test over the windows of the held-out text, and by intervals apart.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from gpt2simple.evaluation.paired import PairedDifference
from gpt2simple.evaluation.report.comparison import ModelRow, ModelsCompared, Table
from gpt2simple.runs.figure import Figure, line_figure
from gpt2simple.settings.compare import FULL, LORA

HEADS = (
    "model", "parameters", "tokens/parameter", "best step", "held-out bits/byte", "final gap", "copied", "time",
    "memory", "verdict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CompareRow(ModelRow):
    """One model, fine-tuned on the text and measured at its best step, or at its last if step 0 was the best.

    Attributes:
        tokens_per_parameter: of the training text.
        bits_per_byte, loss, standard_error: of the whole held-out text; the loss in nats per token.
        base_bits_per_byte: of the same text before fine-tuning; None where step 0 was not evaluated.
        gap: held-out minus training loss at the end, nats per token.
        copied_share, natural_share: share of the samples' and of the held-out text's sequences of eight words that
            occur in the training text, 0 to 1; None: nothing was held out.
        copied_interval: where the samples' share lies with 95 % confidence; None: they have fewer than eight words.
        longest_copy: words of the longest copied passage.
        samples: written at the step that was measured. copied_spans: characters of each that are copied.
        windows: of the held-out text, nats and number of tokens of each.
        evaluations: tokens seen and held-out bits per byte at each evaluation.
    """

    tokens_per_parameter: float
    bits_per_byte: float
    loss: float
    standard_error: float | None
    base_bits_per_byte: float | None
    gap: float | None
    copied_share: float
    natural_share: float | None
    longest_copy: int
    samples: tuple[str, ...]
    copied_spans: tuple[tuple[tuple[int, int], ...], ...]
    evaluations: tuple[tuple[float, float], ...]
    windows: tuple[tuple[float, int], ...] = ()
    copied_interval: tuple[float, float] | None = None

    def copied(self) -> str:
        """The copied share with its interval, as text."""
        interval = self.copied_interval
        return f"{self.copied_share:.1%}" + (f" ({interval[0]:.1%} to {interval[1]:.1%})" if interval else "")

    def cells(self) -> list[str]:
        """The row as text, under ``HEADS``."""
        return [
            self.label,
            f"{self.parameters:,}",
            f"{self.tokens_per_parameter:.2g}",
            self.step_cell(),
            f"{self.bits_per_byte:.3f}",
            "" if self.gap is None else f"{self.gap:+.2f}",
            self.copied(),
            *self.cost_cells(),
            self.verdict,
        ]


@dataclass(frozen=True, kw_only=True)
class CompareResult(ModelsCompared[CompareRow]):
    """Several language models on the same text."""

    template: ClassVar[str] = "language_models.html"
    title: ClassVar[str] = "Models compared"
    figure_title: ClassVar[str] = "Learning curves"
    figure_shows: ClassVar[str] = "Held-out bits per byte by tokens seen."

    @property
    def best(self) -> CompareRow:
        """The model that predicts the held-out text best."""
        return min(self.rows, key=lambda row: row.bits_per_byte)

    def conclusion(self) -> str:
        best = self.best
        return (
            f"{best.label} predicts the held-out text best: {best.bits_per_byte:.3f} bits/byte at step "
            f"{best.measured_step:,}{'' if best.best_step else '; before training it was better still'}."
        )

    @cached_property
    def _by_both(self) -> list[tuple[CompareRow, CompareRow]]:
        """The rows of each model that was trained by both methods: with an adapter, and in full."""
        full = {row.model_name: row for row in self.rows if row.method == FULL}
        return [(row, full[row.model_name]) for row in self.rows if row.method == LORA and row.model_name in full]

    @cached_property
    def lora_beside_full(self) -> list[PairedDifference]:
        """The held-out loss of each such model with an adapter beside that in full, nats per token."""
        found = []
        for lora, full in self._by_both:
            nats = np.array([mine - its for (mine, _), (its, _) in zip(lora.windows, full.windows, strict=True)])  # [W]
            tokens = np.array([count for _, count in lora.windows], np.float64)  # [W]
            tests = len(self._by_both)
            found.append(PairedDifference.of(full.label, nats, tokens, tests=tests, lower_is_better=True))
        return found

    def notes(self) -> tuple[str, ...]:
        said = []
        for (lora, full), difference in zip(self._by_both, self.lora_beside_full, strict=True):
            verb = "predicts the held-out text better than"
            said += [difference.sentence(lora.label, verb, "nats/token", "windows"), _copies(lora, full)]
        if (tests := len(self._by_both)) > 1:
            said.append(f"As there are {tests} tests, p is multiplied by {tests} (Bonferroni).")
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        beside = [
            {"model": lora.label, **asdict(difference)}
            for (lora, _), difference in zip(self._by_both, self.lora_beside_full, strict=True)
        ]
        return {**super().to_json(), "notes": list(self.notes()), "lora_beside_full": beside}

    def tables(self) -> list[Table]:
        caption = (
            "Bits per byte can be compared between vocabularies. Gap: held-out minus training loss at the end, in nats "
            "per token. Copied: share of the samples' sequences of eight words that occur in the training text; in "
            "brackets: its 95% interval. Memory: of the process at its peak, with what earlier models left in it, or "
            "of the GPU."
        )
        return [Table("Results", HEADS, [row.cells() for row in self.rows], caption)]

    def figure(self) -> Figure:
        """Held-out bits per byte of each model by tokens seen, with a star where they were lowest."""
        lines, stars = {}, {}
        for row in self.rows:
            label = f"{row.label}: {row.parameters:,} parameters"
            points = [(tokens / 1000, bits) for tokens, bits in row.evaluations]
            lines[label] = [tokens for tokens, _ in points], [bits for _, bits in points]
            if measured := [point for point in points if math.isfinite(point[1])]:
                stars[label] = min(measured, key=lambda point: point[1])
        return line_figure(
            lines, x_label="tokens seen (thousands); stars: best", y_label="held-out bits per byte", stars=stars
        )


def _copies(one: CompareRow, other: CompareRow) -> str:
    """Which of two models copies less of the training text, where their intervals are apart."""
    less, more = sorted((one, other), key=lambda row: row.copied_share)
    if less.copied_interval is None or more.copied_interval is None:
        why = "samples have fewer than eight words"
    elif less.copied_interval[1] < more.copied_interval[0]:
        return (
            f"{less.label} copies less of the training text than {more.label}: {less.copied()} of its samples, and "
            f"{more.copied()} of the other's."
        )
    else:
        why = f"{one.copied()} and {other.copied()} of the samples are copied, and these intervals overlap"
    return (
        f"Whether {one.label} copies less of the training text than {other.label} cannot be told: {why}. Write more or "
        "longer samples (nsamples, length)."
    )
