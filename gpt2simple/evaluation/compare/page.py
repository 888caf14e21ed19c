"""The page of a comparison: the table, the figure, and the samples of all models side by side."""

from __future__ import annotations

import html

from gpt2simple.evaluation.compare.rows import HEADS, CompareResult, CompareRow
from gpt2simple.evaluation.report.chart import Line, chart
from gpt2simple.evaluation.report.page import document, table

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
