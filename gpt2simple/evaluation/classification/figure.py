"""The figure of classification: which classes are taken for which, and whether the probabilities can be believed.

Uses matplotlib's objects, never pyplot, as ``runs.figure`` does. Tall and narrow, to be read on a telephone.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpt2simple.evaluation.classification.metrics import BINS, ClassificationResult
from gpt2simple.evaluation.intervals import wilson
from gpt2simple.evaluation.report.figure import short_name
from gpt2simple.runs.figure import to_png

# Blues and oranges differ for every kind of colour blindness; both panels are clear in grey too.
_COLOURS, _POINTS, _BARS, _REFERENCE = "Blues", "#c8401b", "#9db8d6", "#5c5c66"
_SIZE = (4.4, 8.6)  # inches; at 360 pixels of a telephone its letters are as large as the page's small ones
_MOST_COUNTS = 16  # classes whose cells have room for a count
_MOST_NAMES = 40  # classes that have room for their names
_LONGEST_NAME = 14  # characters, of a class


def classification_figure(result: ClassificationResult) -> bytes:
    """The confusion matrix and the calibration curve of a result, as PNG."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    matrix, curve, counts = figure.subplots(3, 1, height_ratios=(4.2, 3.2, 1.0))
    _draw_confusion(matrix, result)
    _draw_calibration(curve, counts, result)
    return to_png(figure)


def _draw_confusion(axes: Any, result: ClassificationResult) -> None:
    counts = np.array(result.confusion)  # [true, predicted]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # [true, predicted], of the true class
    classes = len(counts)
    axes.imshow(shares, cmap=_COLOURS, vmin=0.0, vmax=1.0, aspect="auto")
    size = float(np.clip(90 / classes, 6, 12))
    if classes <= _MOST_COUNTS:
        for (true, predicted), count in np.ndenumerate(counts):
            colour = _readable_on(shares[true, predicted])
            axes.text(predicted, true, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)
    places = range(classes) if classes <= _MOST_NAMES else ()
    names = [short_name(one.name, _LONGEST_NAME) for one in result.classes][: len(places)]
    turned = sum(map(len, names)) > 24  # characters side by side
    axes.set_xticks(places, names, fontsize=size, rotation=90 if turned else 0)
    axes.set_yticks(places, names, fontsize=size)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)  # a $ in a class's name is no formula
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title("Texts by true and predicted class", fontsize=12)


def _readable_on(share: float) -> str:
    """Black or white, whichever stands out from the colour of a share."""
    red, green, blue, _ = mpl.colormaps[_COLOURS](share)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def _draw_calibration(axes: Any, below: Any, result: ClassificationResult) -> None:
    """The curve, and below it how many texts each of its points stands for."""
    means, shares, counts = (np.array(column) for column in zip(*result.calibration_bins, strict=True))  # [bins] each
    bounds = [wilson(round(share * count), int(count)) for share, count in zip(shares, counts, strict=True)]
    reach = np.abs([[s - b.low for s, b in zip(shares, bounds, strict=True)],
                    [b.high - s for s, b in zip(shares, bounds, strict=True)]])  # fmt: skip
    axes.plot([0, 1], [0, 1], "--", color=_REFERENCE, linewidth=1.2, label="right probabilities")
    axes.errorbar(
        means, shares, yerr=reach, color=_POINTS, marker="o", markersize=5, linewidth=1.5, elinewidth=1, capsize=3,
        label="this model, 95% intervals",
    )  # fmt: skip
    axes.set_title("Can its probabilities be believed?", fontsize=12)
    axes.set_ylabel("share that is correct")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="best", frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    left = np.minimum((means * BINS).astype(np.int64), BINS - 1) / BINS  # [bins]
    bars = below.bar(left, counts, width=1 / BINS, align="edge", color=_BARS, edgecolor="white")
    below.bar_label(bars, [_brief(int(count)) for count in counts], fontsize=9, padding=1)
    below.set_ylim(0, 1.5 * counts.max())  # room for the numbers
    below.set_yticks([])
    below.set_ylabel("texts")
    below.set_xlabel("probability of the predicted class")
    # The most probable class has at least one of as many parts of the probability as there are classes.
    first = np.floor(BINS / len(result.classes)) / BINS
    for one in (axes, below):
        one.set_xlim(min(first, left.min()) - 0.02, 1.02)


def _brief(count: int) -> str:
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"
