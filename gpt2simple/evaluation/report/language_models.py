"""Several language models on the same text: how well each predicts the held-out part, and what it copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gpt2simple.evaluation.report.comparison import ModelRow, ModelsCompared, Table
from gpt2simple.runs.figure import Figure, line_figure

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
        longest_copy: words of the longest copied passage.
        samples: written at the step that was measured. copied_spans: characters of each that are copied.
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

    def cells(self) -> list[str]:
        """The row as text, under ``HEADS``."""
        return [
            self.model_name,
            f"{self.parameters:,}",
            f"{self.tokens_per_parameter:.2g}",
            self.step_cell(),
            f"{self.bits_per_byte:.3f}",
            "" if self.gap is None else f"{self.gap:+.2f}",
            f"{self.copied_share:.1%}",
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
            f"{best.model_name} predicts the held-out text best: {best.bits_per_byte:.3f} bits/byte at step "
            f"{best.measured_step:,}{'' if best.best_step else '; before training it was better still'}."
        )

    def tables(self) -> list[Table]:
        caption = (
            "Bits per byte can be compared between vocabularies. Gap: held-out minus training loss at the end, in nats "
            "per token. Copied: share of the samples' sequences of eight words that occur in the training text."
        )
        return [Table("Results", HEADS, [row.cells() for row in self.rows], caption)]

    def figure(self) -> Figure:
        """Held-out bits per byte of each model by tokens seen."""
        lines = {}
        for row in self.rows:
            points = [tokens / 1000 for tokens, _ in row.evaluations], [bits for _, bits in row.evaluations]
            lines[f"{row.model_name}: {row.parameters:,} parameters"] = points
        return line_figure(lines, x_label="tokens seen (thousands)", y_label="held-out bits per byte")
