"""The figures of a run, drawn with matplotlib: each is built once and given as PNG or as SVG.

Uses matplotlib's objects, never pyplot, so that the user's own figures and backend stay as they are. Knows curves and
plain numbers; not where they came from or where a figure is shown.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, PngImagePlugin

from gpt2simple.runs.curves import Curves
from gpt2simple.storage.contents import visible
from gpt2simple.storage.outputs import OutputKind

TRAIN, HELD_OUT, AFTER_BEST, REFERENCE = "#4c78a8", "#e4572e", "#f6c6b5", "#5c5c66"  # the colours of every figure
_AFTER_BEST_WORDS = {"overfitted": "overfitting: held-out loss no longer improves", "diverged": "diverging"}
_SIZE, _DPI = (7.2, 4.5), 150  # inches, dots per inch: a PNG is 1,080 pixels wide
_COLOURS = 128
STAR = {"marker": "*", "markeredgecolor": "black", "markersize": 14, "zorder": 5}  # the best point of a line
_SOFTWARE = "gpt2simple"  # in each PNG
PICTURE = OutputKind("a picture of gpt2simple", b"\x89PNG", b"Software\0" + _SOFTWARE.encode())


def loss_figure(curves: Curves, *, title: str, steps_per_epoch: float, target: str = "token") -> Figure:
    """Training and held-out loss by step, the best step, and what came after it; target: as in `RunPlan`."""
    figure, axes = _new_figure()
    _draw_train(axes, curves)
    if curves.held_out:
        _draw_held_out(axes, curves)
    axes.set_title(visible(title), parse_math=False)  # a $ in a run's name is no formula
    epochs = axes.secondary_xaxis(
        "top", functions=(lambda step: step / steps_per_epoch, lambda epoch: epoch * steps_per_epoch)
    )
    epochs.set_xlabel("epochs (passes over the text)")
    return _finished(figure, x_label="steps", y_label=f"loss (nats per {target})")


def line_figure(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    reference: tuple[str, float] | None = None,
    stars: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Lines by label, each the x and y of its points.

    Args:
        reference: label and y of a dashed line to compare with. stars: by the labels of lines, a point to mark on each.
    """
    figure, axes = _new_figure()
    for label, (x, y) in lines.items():
        (line,) = axes.plot(x, y, marker="o", markersize=4, label=visible(label))
        if stars and label in stars:
            star = [[place] for place in stars[label]]
            axes.plot(*star, color=line.get_color(), linestyle="none", **STAR)
    if reference is not None:
        axes.axhline(reference[1], color=REFERENCE, linestyle="--", label=reference[0])
    return _finished(figure, x_label=x_label, y_label=y_label)


def to_png(figure: Figure) -> bytes:
    """A PNG of 128 colours: nobody sees the difference, and it takes a third of the space, in notebooks too."""
    marks = PngImagePlugin.PngInfo()
    marks.add_text("Software", _SOFTWARE)
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    with _missing_glyphs_ignored():
        canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    few = picture.convert("RGB").quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    written = io.BytesIO()
    few.save(written, "png", pnginfo=marks, dpi=(_DPI, _DPI))
    return written.getvalue()


def to_svg(figure: Figure) -> str:
    """An ``<svg>`` element for a page, without date or random names; its text stays text, escaped."""
    written = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gpt2simple"}), _missing_glyphs_ignored():
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = written.getvalue()
    # Groups are named "axes_1" in every figure, and a page may have several.
    return re.sub(r'<g id="[^"]*">', "<g>", svg[svg.index("<svg") :])


@contextlib.contextmanager
def _missing_glyphs_ignored() -> Iterator[None]:
    """Characters that the font lacks show as boxes, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _new_figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.add_subplot()


def _draw_train(axes: Any, curves: Curves) -> None:
    steps, losses, means = curves.drawn()
    marker = "o" if len(steps) < 10 else None  # a line through two points shows nothing
    style = {"color": TRAIN, "marker": marker}
    axes.plot(steps, losses, linewidth=0.8, alpha=0.3, markersize=3, label="training, each step", **style)
    axes.plot(steps, means, linewidth=2, markersize=4, label="training, smoothed", **style)


def _draw_held_out(axes: Any, curves: Curves) -> None:
    steps = [record.step for record in curves.held_out]
    losses = [record.loss for record in curves.held_out]
    axes.plot(steps, losses, color=HELD_OUT, linewidth=2, marker="o", markersize=4, label="held-out")
    best = curves.trend.best
    assert best is not None, "held-out losses without a best one"
    axes.plot(
        [best.step], [best.loss], color=HELD_OUT, linestyle="none", **STAR,
        label=f"best: step {best.step}, {best.figures.brief()}",
    )  # fmt: skip
    kind = curves.kind()
    if curves.trend.has_stopped_falling or kind == "diverged":
        axes.axvline(best.step, color=HELD_OUT, linewidth=1, linestyle="--")
        label = _AFTER_BEST_WORDS.get(kind, "held-out loss no longer improves")
        axes.axvspan(best.step, steps[-1], color=AFTER_BEST, alpha=0.4, linewidth=0, label=label)


def _finished(figure: Figure, *, x_label: str, y_label: str) -> Figure:
    axes = figure.axes[0]
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    legend = figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
