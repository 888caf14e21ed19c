"""Several models on the same text: a row for each, a table, a figure and a page.

Works on the numbers of a finished comparison; `api.compare` trains and measures the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gpt2simple.evaluation.html import render
from gpt2simple.runs.figure import Figure, line_figure
from gpt2simple.settings import misfit

HEADS = (
    "model", "parameters", "tokens/parameter", "best step", "held-out bits/byte", "final gap", "copied", "time",
    "memory", "verdict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CompareRow:
    """One model, fine-tuned on the text and measured at its best step, or at its last if step 0 was the best.

    Attributes:
        parameters: of the model. tokens_per_parameter: of the training text.
        best_step: with the lowest held-out loss; 0: before training. steps: taken.
        bits_per_byte, loss, standard_error: of the whole held-out text; the loss in nats per token.
        base_bits_per_byte: of the same text before fine-tuning; None where step 0 was not evaluated.
        gap: held-out minus training loss at the end, nats per token.
        verdict: on the run, in a few words.
        copied_share, natural_share: share of the samples' and of the held-out text's sequences of eight words that
            occur in the training text, 0 to 1; None: nothing was held out.
        longest_copy: words of the longest copied passage.
        seconds: of training. memory_bytes: peak during training, of the process or, on a GPU, of the
            GPU; None where the GPU does not report it.
        samples: written at the step that was measured. copied_spans: characters of each that are copied.
        evaluations: tokens seen and held-out bits per byte at each evaluation.
    """

    model_name: str
    run_name: str
    parameters: int
    tokens_per_parameter: float
    steps: int
    best_step: int
    bits_per_byte: float
    loss: float
    standard_error: float | None
    base_bits_per_byte: float | None
    gap: float | None
    verdict: str
    copied_share: float
    natural_share: float | None
    longest_copy: int
    seconds: float
    memory_bytes: int | None
    samples: tuple[str, ...]
    copied_spans: tuple[tuple[tuple[int, int], ...], ...]
    evaluations: tuple[tuple[float, float], ...]

    @property
    def measured_step(self) -> int:
        """The step whose weights were measured and wrote the samples; none are kept of step 0."""
        return self.best_step or self.steps

    def cells(self) -> list[str]:
        """The row as text, under ``HEADS``."""
        return [
            self.model_name,
            f"{self.parameters:,}",
            f"{self.tokens_per_parameter:.2g}",
            f"{self.best_step:,}" if self.best_step else f"before training; measured: {self.steps:,}",
            f"{self.bits_per_byte:.3f}",
            "" if self.gap is None else f"{self.gap:+.2f}",
            f"{self.copied_share:.1%}",
            f"{self.seconds:.0f} s",
            "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 1e9:.1f} GB",
            self.verdict,
        ]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CompareRow:
        """The row that ``asdict`` and JSON made; lists become tuples again."""
        row = {field.name: _as_tuples(values[field.name]) for field in fields(cls)}
        if wrong := misfit(cls, row):
            raise ValueError(f"{wrong} is of another type")
        return cls(**row)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """Several models on the same text.

    Attributes:
        rows: in the order the models were named. path: the page. json_path: every number. picture: the figure as PNG.
        text: description of the training text. budget: tokens, window and steps, a sentence.
        asked: the settings that all models share, as JSON values.
    """

    rows: tuple[CompareRow, ...]
    text: str
    budget: str
    path: Path
    json_path: Path
    picture: Path
    asked: Mapping[str, Any]

    @property
    def best(self) -> CompareRow:
        """The model that predicts the held-out text best."""
        return min(self.rows, key=lambda row: row.bits_per_byte)

    def conclusion(self) -> str:
        """The result in a sentence."""
        best = self.best
        return (
            f"{best.model_name} predicts the held-out text best: {best.bits_per_byte:.3f} bits/byte at step "
            f"{best.measured_step:,}{'' if best.best_step else '; before training it was better still'}."
        )

    def summary(self) -> str:
        """The table and the result in a sentence."""
        table = [list(HEADS), *(row.cells() for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        return "\n".join([self.text, self.budget, "", *(line.rstrip() for line in lines), "", self.conclusion(),
                          f"Page: {self.path}; numbers: {self.json_path}."])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        about = {"text": self.text, "budget": self.budget, "asked": dict(self.asked), "best": self.best.model_name}
        return {**about, "rows": [asdict(row) for row in self.rows]}

    def _repr_html_(self) -> str:
        table = {"heads": HEADS, "rows": [row.cells() for row in self.rows], "caption": self.conclusion()}
        return render("tables.html", tables=[table], note="")

    def figure(self) -> Figure:
        """Held-out bits per byte of each model by tokens seen."""
        lines = {}
        for row in self.rows:
            points = [tokens / 1000 for tokens, _ in row.evaluations], [bits for _, bits in row.evaluations]
            lines[f"{row.model_name}: {row.parameters:,} parameters"] = points
        return line_figure(lines, x_label="tokens seen (thousands)", y_label="held-out bits per byte")


def comparison_page(result: CompareResult, chart: str) -> str:
    """One HTML file that needs neither network nor scripts, with the result's figure as SVG."""
    rows = [row.cells() for row in result.rows]
    return render("comparison.html", title="Models compared", result=result, heads=HEADS, rows=rows, svg=chart)
