"""The figure of outputs: each of their figures with its interval, and how many outputs have which token F1.

Uses matplotlib's objects, never pyplot, as ``runs.figure`` does. Narrow, to be read on a telephone.
"""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from gpt2simple.evaluation.outputs.metrics import OutputFigures
from gpt2simple.runs.figure import to_png

_POINTS, _BARS = "#c8401b", "#9db8d6"  # as in the figures of classifiers
_OF_HUNDRED = ("BLEU", "chrF")  # the others are shares
_BINS = 10


def outputs_figure(figures: OutputFigures) -> bytes:
    """Each figure with its interval, all from 0 to 100, and the outputs by token F1, as PNG."""
    drawing = Drawing(figsize=(4.4, 6.2), layout="constrained")
    FigureCanvasAgg(drawing)
    above, below = drawing.subplots(2, 1, height_ratios=(3.4, 2.2))
    shown = figures.figures()
    for place, (name, figure) in enumerate(shown.items()):
        scale = 1 if name in _OF_HUNDRED else 100
        value, ends = figure.value * scale, figure.interval
        reach = [[max(value - ends.low * scale, 0.0)], [max(ends.high * scale - value, 0.0)]] if ends else None
        above.errorbar([value], [place], xerr=reach, fmt="o", color=_POINTS, markersize=6, capsize=4)
    above.set_yticks(range(len(shown)), list(shown))
    above.set_ylim(len(shown) - 0.5, -0.5)
    above.set_xlim(-3, 103)
    above.set_xlabel("percent; BLEU and chrF from 0 to 100")
    above.set_title("Figures with their 95% intervals", fontsize=12)
    above.grid(alpha=0.25)
    f1 = np.array([one.f1 for one in figures.scored])  # [N]
    bins = np.minimum((f1 * _BINS).astype(np.int64), _BINS - 1)  # [N]; an F1 of 1 is in the last
    counts = np.bincount(bins, minlength=_BINS)  # [bins]
    bars = below.bar(np.arange(_BINS) / _BINS, counts, width=1 / _BINS, align="edge", color=_BARS, edgecolor="white")
    below.bar_label(bars, [f"{count:,}" if count else "" for count in counts.tolist()], fontsize=8, padding=1)
    below.set_xlim(0, 1)
    below.set_ylim(0, 1.2 * counts.max())  # room for the numbers
    below.set_yticks([])
    below.set_ylabel("outputs")
    below.set_xlabel("token F1")
    below.set_title("Outputs by token F1", fontsize=12)
    return to_png(drawing)
