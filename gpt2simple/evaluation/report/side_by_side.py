"""Several runs in one figure: how each learned, from which step on it memorised, and what its samples copied.

Each run has a column of its own, with the same words over it that the report has, so that the figure can be read
without the page. Uses matplotlib's objects, never pyplot, as ``runs.figure`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gpt2simple.evaluation.report.data import RunReport
from gpt2simple.evaluation.report.figure import short_name
from gpt2simple.runs.figure import AFTER_BEST, HELD_OUT, REFERENCE, STAR, TRAIN

_COLUMNS = 3
_MOST_RUNS = 12
_PAST_THEIR_BEST = ("overfitted", "at_its_best", "diverged")
_LONGEST_NAME = 34  # characters
_COPIES = "#7a4fa3"  # stands apart from the curves' blue and orange, in grey too


def runs_figure(runs: Sequence[RunReport]) -> Figure:
    """The loss curves of each run, and below them the copied share of its samples where one is known.

    Of more than 12 runs the first 12 are drawn.
    """
    shown = runs[:_MOST_RUNS]
    columns = min(len(shown), _COLUMNS)
    bands = -(-len(shown) // columns)  # rows of runs
    with_copies = any(_has_copies(run) for run in shown)
    heights = (3.0, 1.5) if with_copies else (3.0,)
    figure = Figure(figsize=(0.5 + 3.0 * columns, 0.8 + sum(heights) * bands), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights) * bands, columns, squeeze=False, height_ratios=heights * bands)
    if len({run.info.description.tokenizer_fingerprint for run in shown}) == 1:  # else a token is not the same
        for axes in grid[:: len(heights)].flat[1:]:
            axes.sharey(grid[0, 0])
    titles = _titles(shown)
    for number in range(bands * columns):
        band, column = divmod(number, columns)
        axes = list(grid[band * len(heights) : (band + 1) * len(heights), column])
        if number < len(shown):
            _draw(axes, shown[number], titles[number], first=column == 0)
        else:
            for empty in axes:
                empty.set_visible(False)
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        entries |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return figure


def turning_point(run: RunReport) -> str:
    """When a run began to memorise, in a few words."""
    verdict = run.verdict
    return {
        "overfitted": f"memorises after step {verdict.best_step:,}" if verdict.best_step is not None else "",
        "at_its_best": f"best at step {verdict.best_step:,}, no clear rise" if verdict.best_step is not None else "",
        "still_learning": f"still learning at step {verdict.step:,}",
        "learned_nothing": "never better than before training",
        "diverged": "diverged",
        "cannot_say": "too early to tell",
        "not_measured": "not evaluated",
    }[verdict.kind]


def in_words(runs: Sequence[RunReport]) -> str:
    """What the figure shows, for those who cannot see it."""
    return " ".join(f"{run.name}: {turning_point(run)}." for run in runs)


def _has_copies(run: RunReport) -> bool:
    return run.memorisation is not None and len(run.samples) > 1


def _titles(runs: Sequence[RunReport]) -> list[str]:
    """What stands over each run's column; with its size where the models have several, whatever their names say."""
    several = len({run.verdict.parameters for run in runs}) > 1
    sizes = [f"{run.verdict.parameters:,} parameters\n" if several else "" for run in runs]
    names = [short_name(run.name, _LONGEST_NAME) for run in runs]
    return [f"{name}\n{size}{turning_point(run)}" for name, size, run in zip(names, sizes, runs, strict=True)]


def _draw(axes: Sequence[Any], run: RunReport, title: str, *, first: bool) -> None:
    """A run's column; ``first``: the one with the names of the scales."""
    _draw_losses(axes[0], run)
    axes[0].set_title(title, fontsize=11, parse_math=False)
    if first:
        axes[0].set_ylabel("loss (nats per token)")
    for below in axes[1:]:
        _draw_copies(below, run)
        below.set_xlim(axes[0].get_xlim())
        if first:
            below.set_ylabel("copied")
    for one in axes:
        one.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        one.grid(alpha=0.25)
        if run.verdict.kind in _PAST_THEIR_BEST:
            one.axvline(run.verdict.best_step, color=HELD_OUT, linewidth=1, linestyle="--")
    axes[-1].set_xlabel("steps")


def _draw_losses(axes: Any, run: RunReport) -> None:
    curves, verdict = run.curves, run.verdict
    steps, _, means = curves.drawn()
    axes.plot(steps, means, color=TRAIN, linewidth=2, label="loss on the text it learns")
    held_out = curves.held_out
    if not held_out:
        return
    axes.plot(
        [record.step for record in held_out], [record.loss for record in held_out], color=HELD_OUT, linewidth=2,
        marker="o", markersize=3.5, label="loss on held-out text, never seen",
    )  # fmt: skip
    axes.plot(
        [verdict.best_step], [verdict.best_loss], color=HELD_OUT, linestyle="none", **STAR,
        label="best step: held-out loss is lowest",
    )  # fmt: skip
    if verdict.kind == "overfitted":
        axes.axvspan(
            verdict.best_step, held_out[-1].step, color=AFTER_BEST, alpha=0.4, linewidth=0,
            label="memorising: held-out loss rises, the other falls",
        )  # fmt: skip


def _draw_copies(axes: Any, run: RunReport) -> None:
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    found = run.memorisation
    if found is None or not run.samples:
        axes.text(0.5, 0.5, "no samples to compare", ha="center", va="center", transform=axes.transAxes, fontsize=9)
        return
    axes.plot(
        [sample.step for sample in run.samples], found.sample_shares, color=_COPIES, marker="o", markersize=3.5,
        label="share of a sample that is copied from the text",
    )  # fmt: skip
    if found.natural_share is not None:
        axes.axhline(found.natural_share, color=REFERENCE, linestyle=":", label="the same share of the held-out text")
