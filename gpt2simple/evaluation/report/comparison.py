"""Several models on the same text: a row for each, with a table, a figure and a page.

Knows the numbers of a finished comparison; not how the models were trained.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpt2simple.evaluation.report.chart import Line, chart
from gpt2simple.evaluation.report.page import document, table
from gpt2simple.storage.files import atomic_write

HEADS = (
    "model", "parameters", "tokens/parameter", "best step", "held-out bits/byte", "final gap", "copied", "time",
    "memory", "verdict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CompareRow:
    """One model, fine-tuned on the text and measured at its best step: at its last, where it was best before training.

    Attributes:
        parameters: of the model. tokens_per_parameter: of the text learned.
        best_step: with the lowest held-out loss; 0: before training. steps: taken.
        bits_per_byte, loss, standard_error: of the whole held-out text; the loss in nats per token.
        base_bits_per_byte: of the same text before fine-tuning; None where training began with another look.
        gap: held-out minus training loss at the end, nats per token.
        verdict: of the run, in a few words.
        copied_share, natural_share: of the samples and of the held-out text, sequences of eight words that stand in
            the training text, 0 to 1; None: nothing was held out. longest_copy: words of the longest copied passage.
        seconds: of training. memory_bytes: the most that the process (on a GPU: the GPU) held while training.
        samples: at the step that was measured, as HTML with copied passages marked, and as text.
        looks: tokens seen and held-out bits per byte at each look.
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
    memory_bytes: int
    samples: tuple[str, ...]
    marked_samples: tuple[str, ...]
    looks: tuple[tuple[float, float], ...]

    @property
    def measured_step(self) -> int:
        """The step whose weights were measured and wrote the samples: no weights are kept of step 0."""
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
            f"{self.memory_bytes / 1e9:.1f} GB",
            self.verdict,
        ]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CompareRow:
        """The row that ``asdict`` and JSON made."""
        kept = {f.name: values[f.name] for f in fields(cls)}
        for name in ("samples", "marked_samples"):
            kept[name] = tuple(kept[name])
        kept["looks"] = tuple((float(tokens), float(bits)) for tokens, bits in kept["looks"])
        return cls(**kept)


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """Several models on the same text.

    Attributes:
        rows: in the order the models were named. path: the page. json_path: every number. picture: the figure as PNG.
        text: what was learned, in words. budget: tokens, window and steps, in words.
        asked: what every model was given, as JSON values.
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
        """The finding in a sentence."""
        best = self.best
        return (
            f"{best.model_name} predicts the held-out text best: {best.bits_per_byte:.3f} bits/byte at step "
            f"{best.measured_step:,}{'' if best.best_step else ', but did so better before training'}."
        )

    def summary(self) -> str:
        """The table for people."""
        table = [list(HEADS), *(row.cells() for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        return "\n".join([self.text, self.budget, "", *(line.rstrip() for line in lines), "", self.conclusion(),
                          f"Page: {self.path}; numbers: {self.json_path}."])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        rows = [asdict(row) for row in self.rows]
        about = {"text": self.text, "budget": self.budget, "asked": dict(self.asked)}
        return {**about, "best": self.best.model_name, "rows": rows}

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in HEADS)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row.cells())}</tr>" for row in self.rows
        )
        return f"<table><caption>{html.escape(self.conclusion())}</caption><tr>{head}</tr>{body}</table>"


def draw_comparison(rows: Sequence[CompareRow], path: Path) -> None:
    """Write the picture, in one piece.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row in rows:
        seen, bits = [tokens for tokens, _ in row.looks], [value for _, value in row.looks]
        axes.plot(seen, bits, marker="o", markersize=4, label=f"{row.model_name}: {row.parameters:,} parameters")
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("held-out bits per byte")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    png = io.BytesIO()
    canvas.print_png(png)
    atomic_write(path, png.getvalue(), durable=False)


_STYLES = 6  # lines of different look that the style sheet has


def comparison_page(result: CompareResult) -> str:
    """One HTML file that needs nothing else."""
    lines = [
        Line(f"{row.model_name}, {row.parameters:,} parameters", *_curve(row), f"model{number % _STYLES}", dots=True)
        for number, row in enumerate(result.rows)
    ]
    drawn = chart(
        lines,
        title=f"Held-out bits per byte by tokens seen. {result.conclusion()}",
        x_label="thousand tokens seen",
        y_label="bits/byte",
    )
    body = (
        f'<div class="verdict"><p><strong>{html.escape(result.conclusion())}</strong></p>'
        f"<p>{html.escape(result.text)}</p><p>{html.escape(result.budget)}</p></div>"
        f"<h2>Side by side</h2>{table(HEADS, [row.cells() for row in result.rows], caption=_CAPTION)}"
        f"<h2>While learning</h2>{drawn}<h2>What they write</h2>"
        f'<p class="soft">Marked: what stands in the training text.</p>'
        f'<div class="side">{"".join(map(_samples, result.rows))}</div>'
    )
    return document("Models compared", body)


_CAPTION = (
    "Bits per byte compare between vocabularies. Gap: held-out minus training loss at the end, nats per token. Copied: "
    "share of the samples' sequences of eight words that stand in the training text."
)


def _curve(row: CompareRow) -> tuple[list[float], list[float]]:
    return [tokens / 1000 for tokens, _ in row.looks], [bits for _, bits in row.looks]


def _samples(row: CompareRow) -> str:
    natural = "" if row.natural_share is None else f" (held-out text: {row.natural_share:.1%})"
    copied = f"{row.copied_share:.1%} copied{natural}, the longest passage {row.longest_copy} words"
    told = f"At step {row.measured_step:,}: {copied}"
    shown = "".join(f"<pre>{sample}</pre>" for sample in row.marked_samples)
    return f'<section><h3>{html.escape(row.model_name)}</h3><p class="soft">{html.escape(told)}</p>{shown}</section>'
