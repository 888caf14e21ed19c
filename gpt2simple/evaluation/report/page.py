"""The page of a report: one HTML file that needs neither network nor scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gpt2simple.evaluation.html import name_shown, render, value_rows
from gpt2simple.evaluation.memorisation import shortened
from gpt2simple.evaluation.report.data import RunReport
from gpt2simple.evaluation.report.side_by_side import in_words
from gpt2simple.runs.figure import line_figure, to_svg
from gpt2simple.settings import to_json
from gpt2simple.storage.outputs import OutputKind

_MOST_PASSAGES = 20
GENERATOR = "gpt2simple report"  # by which a page and its JSON are recognised, and may be replaced by the next ones
REPORT_PAGE = OutputKind(
    "a report of gpt2simple", b"<!doctype html>", f'name="generator" content="{GENERATOR}"'.encode()
)
REPORT_NUMBERS = OutputKind("the numbers of a report of gpt2simple", b"{", f'"generator": "{GENERATOR}"'.encode())


def page(runs: Sequence[RunReport], charts: Iterable[str], all_runs: str = "") -> str:
    """The report on these runs, a section each, with each run's loss curves as SVG.

    Args:
        all_runs: several runs in one figure, as SVG; "": there is one run.
    """
    sections = [_section(run, chart) for run, chart in zip(runs, charts, strict=True)]
    return render(
        "report.html",
        title=f"Report: {', '.join(run.name for run in runs)}",
        sections=sections,
        side_by_side=all_runs,
        shows=in_words(runs),
        generator=GENERATOR,
    )


def _section(run: RunReport, chart: str) -> dict[str, Any]:
    """What the template shows of a run in addition to its report."""
    described = run.info.description
    data = {**described.data_summary, "tokens seen": run.tokens, "training seconds": round(run.seconds, 1)}
    in_effect = to_json(described.settings.in_effect(described.parameters))
    settings = {**in_effect, **to_json(described.text_settings), "seed": described.seed}
    facts = {"Data": data, "Settings": settings, "Environment": described.environment}
    return {
        "run": run,
        "sources": described.data_summary.get("sources", ()),
        "loss": chart,
        "evaluations": _evaluations(run),
        "copied": _copied_chart(run),
        "passages": _passages(run),
        "facts": [(title, value_rows(values)) for title, values in facts.items()],
    }


def _evaluations(run: RunReport) -> list[list[str]]:
    """The table of evaluations, its heads first; empty if there was none."""
    records = run.curves.held_out
    heads = [["Step", "Epoch", *map(name_shown, record.figures.scalars())] for record in records[:1]]
    values = (map("{:.5g}".format, record.figures.scalars().values()) for record in records)
    return heads + [[f"{r.step:,}", f"{r.epoch:.2f}", *shown] for r, shown in zip(records, values, strict=True)]


def _copied_chart(run: RunReport) -> str:
    found = run.memorisation
    if found is None or len(run.samples) < 2:
        return ""
    shares = [100 * share for share in found.sample_shares]
    natural = None if found.natural_share is None else ("held-out text", 100 * found.natural_share)
    figure = line_figure(
        {"each sample": ([sample.step for sample in run.samples], shares)},
        x_label="steps", y_label="copied (%)", reference=natural,
    )  # fmt: skip
    return to_svg(figure)


def _passages(run: RunReport) -> list[tuple[str, ...]]:
    return [
        (
            f"{passage.words}",
            f"{run.samples[passage.sample].step:,}",
            shortened(passage.text),
            f"document {passage.document}, line {passage.line:,}",
            f"{passage.places}",
        )
        for passage in (run.memorisation.passages[:_MOST_PASSAGES] if run.memorisation else ())
    ]
