"""Several models in one figure: what each reached, with intervals, and how its validation loss fell.

Uses matplotlib's objects, never pyplot, as ``runs.figure`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gpt2simple.evaluation.intervals import Interval
from gpt2simple.storage.contents import visible

_REFERENCE = "#5c5c66"
_LONGEST_MODEL = 24  # characters


def models_figure(
    models: Sequence[tuple[str, float, Interval | None]],
    simple: Sequence[tuple[str, float, Interval | None]],
    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    part: str,
    measured: str,
    loss_unit: str,
    axis_format: Any = None,
) -> Figure:
    """The figure of each model with its interval, and below it validation loss by step.

    Args:
        models, simple: name, figure and interval of the models and of the simple models beside them.
        losses: steps and validation losses of each model; empty where there were no evaluations.
        part: the texts of the figures, in words. measured: what the figures are. loss_unit: of the losses.
        axis_format: matplotlib's formatter of the figures; None: its own.
    """
    shown = [*models, *simple]
    figure = Figure(figsize=(7.2, 4.6 + 0.32 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(0.9 + 0.32 * len(shown), 3.4))
    for place, (name, value, interval) in enumerate(shown):
        reach = [[max(value - interval.low, 0.0)], [max(interval.high - value, 0.0)]] if interval else None
        is_model = place < len(models)
        colour = f"C{place}" if is_model else _REFERENCE
        above.errorbar([value], [place], xerr=reach, fmt="o", color=colour, markersize=6, capsize=4)
        if is_model:
            below.plot(*losses[name], marker="o", markersize=4, color=colour, label=short_name(name, _LONGEST_MODEL))
    above.set_yticks(range(len(shown)), [short_name(name, _LONGEST_MODEL) for name, _, _ in shown])
    above.invert_yaxis()
    above.margins(y=0.5 / len(shown))
    if axis_format is not None:
        above.xaxis.set_major_formatter(axis_format)
    above.set_xlabel(f"{measured}, with 95% intervals")
    above.set_title(visible(f"On {part}"), fontsize=12, parse_math=False)
    below.set_title("Validation loss", fontsize=12)
    below.set_xlabel("steps")
    below.set_ylabel(loss_unit)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = below.legend(loc="best", frameon=False, fontsize=9)
    for text in [*above.get_yticklabels(), *legend.get_texts()]:
        text.set_parse_math(False)  # a $ in a model's name is no formula
    for axes in (above, below):
        axes.grid(alpha=0.25)
    return figure


def short_name(name: str, longest: int) -> str:
    """A name in one line of so many characters at most."""
    shown = visible(" ".join(name.split()))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
