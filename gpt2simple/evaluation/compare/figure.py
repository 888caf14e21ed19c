"""The figure of a comparison as PNG: held-out bits per byte of each model over the tokens it has seen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpt2simple.evaluation.compare.rows import CompareRow
from gpt2simple.storage import atomic_write


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
