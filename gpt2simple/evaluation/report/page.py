"""The page of a report: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gpt2simple._version import __version__
from gpt2simple.evaluation.memorisation import marked, shortened
from gpt2simple.evaluation.report.chart import Line, Mark, chart
from gpt2simple.evaluation.report.data import RunReport
from gpt2simple.evaluation.report.style import STYLE
from gpt2simple.settings import to_json

_MOST_PASSAGES = 20

_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?(%|s|GB))?")

_SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(runs: Sequence[RunReport]) -> str:
    """The report of these runs, one section each."""
    names = ", ".join(run.name for run in runs)
    links = "".join(f'<li><a href="#run-{number}">{_text(run.name)}</a></li>' for number, run in enumerate(runs))
    body = "".join(_section(run, number) for number, run in enumerate(runs))
    return document(f"Report: {names}", f"<nav><ul>{links}</ul></nav>{body}" if len(runs) > 1 else body)


def document(title: str, body: str) -> str:
    """A whole HTML file around a body."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_SECURITY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{_text(title)}</title><style>{STYLE}</style></head><body>'
        f'<a class="skip" href="#content">To the content</a><header><h1>{_text(title)}</h1></header>'
        f'<main id="content">{body}</main><footer><p class="soft">Made by gpt2simple {__version__}.</p></footer>'
        "</body></html>\n"
    )


def _section(run: RunReport, number: int) -> str:
    described = run.info.description
    return (
        f'<section aria-labelledby="run-{number}"><h2 id="run-{number}">{_text(run.name)}</h2>'
        f'<p class="soft">{_text(described.model_name)}, fine-tuned on '
        f"{_text(', '.join(described.data_summary.get('sources', ())))}</p>"
        f"{_verdict(run)}{_figures(run)}{_curves(run)}{_memorisation(run)}{_samples(run)}{_facts(run)}</section>"
    )


def _verdict(run: RunReport) -> str:
    verdict = run.verdict
    advice = "".join(f"<li>{_text(sentence)}</li>" for sentence in verdict.advice)
    return (
        f'<div class="verdict {verdict.kind}"><p><strong>{_text(verdict.title)}</strong></p>'
        f"<p>{_text(verdict.explanation)}</p><ul>{advice}</ul></div>"
    )


def _figures(run: RunReport) -> str:
    verdict, copied = run.verdict, run.memorisation
    rows = [
        ("Best step", _number(verdict.best_step, ",d")),
        ("Held-out loss there", _number(verdict.best_loss, ".3f")),
        ("Bits per byte there", _number(verdict.best_bits_per_byte, ".3f")),
        ("Steps since", _number(verdict.steps_since_best, ",d")),
        ("Gap at the end", _number(verdict.gap, "+.3f")),
        ("Passes over the text", f"{verdict.epoch:.1f}"),
        ("Tokens per parameter", f"{verdict.tokens_per_parameter:.2g}"),
        ("Copied by the last samples", "not known" if copied is None else f"{copied.judged_share:.1%}"),
    ]
    return f'<dl class="figures">{"".join(f"<div><dt>{k}</dt><dd>{_text(v)}</dd></div>" for k, v in rows)}</dl>'


def _curves(run: RunReport) -> str:
    verdict = run.verdict
    lines = [
        Line("training loss, each step", run.steps.tolist(), run.train.tolist(), "raw"),
        Line("training loss, mean of neighbouring steps", run.steps.tolist(), run.smooth.tolist(), "train"),
    ]
    best = None
    if run.looks:
        lines.append(Line("held-out loss", [r.step for r in run.looks], [r.loss for r in run.looks], "held", dots=True))
    if verdict.best_step is not None and verdict.best_loss is not None:
        best = Mark(f"best: step {verdict.best_step:,}, {verdict.best_loss:.3f}", verdict.best_step, verdict.best_loss)
    drawn = chart(
        lines, title=f"Losses of {run.name}. {verdict.explanation}", x_label="steps", y_label="nats/token", mark=best
    )
    rows = [
        [f"{r.step:,}", f"{r.epoch:.2f}", *(f"{value:.5g}" for value in r.figures.scalars().values())]
        for r in run.looks
    ]
    names = run.looks[0].figures.scalars() if run.looks else {}
    heads = ["Step", "Epoch", *(name.replace("_", " ").capitalize() for name in names)]
    looks = _details("Looks at the held-out text", table(heads, rows, caption="Nats per token")) if rows else ""
    return f"<h3>Curves</h3>{drawn}{looks}"


def _memorisation(run: RunReport) -> str:
    found = run.memorisation
    if found is None:
        return f"<h3>Memorised passages</h3><p>{_text(run.missing)}</p>"
    natural = found.natural_share
    steps = [sample.step for sample in run.samples]
    lines = [Line("copied share of each sample, %", steps, [100 * s for s in found.sample_shares], "held", dots=True)]
    if natural is not None:
        lines.append(Line("held-out text, %", [steps[0], steps[-1]], [100 * natural] * 2, "natural"))
    drawn = ""
    if len(steps) > 1:
        drawn = chart(lines, title=f"Copied share by step. {found.conclusion()}", x_label="steps", y_label="% copied")
    rows = [
        [
            str(p.words),
            f"{steps[p.sample]:,}",
            shortened(p.text),
            f"document {p.document}, line {p.line:,}",
            str(p.places),
        ]
        for p in found.passages[:_MOST_PASSAGES]
    ]
    heads = ["Words", "Sample at step", "Passage", "First in the training text", "Places"]
    caption = f"The longest of {len(found.passages)} copied passages" if len(found.passages) > len(rows) else ""
    passages = table(heads, rows, caption=caption) if rows else ""
    shares = [f"{found.share:.1%} of those in the samples"]
    if found.judged < len(steps):
        shares.append(f"{found.judged_share:.1%} of those in the last {found.judged}")
    shares.append("held-out text: none" if natural is None else f"{natural:.1%} of those in the held-out text")
    return (
        f"<h3>Memorised passages</h3><p>{_text(found.conclusion())} Sequences of eight words that stand in the "
        f"training text: {'; '.join(shares)}.</p>{drawn}{passages}"
    )


def _samples(run: RunReport) -> str:
    if not run.samples:
        return ""
    shown = []
    for number, sample in enumerate(run.samples):
        text, share = _text(sample.text), ""
        if run.memorisation is not None:
            text = marked(run.memorisation, number)
            share = f", {run.memorisation.sample_shares[number]:.0%} copied"
        is_open = number == len(run.samples) - 1
        shown.append(_details(f"Step {sample.step:,}{share}", f"<pre>{text}</pre>", is_open=is_open))
    told = " Marked: what stands in the training text." if run.memorisation is not None else ""
    return (
        f'<h3>Samples over the course of training</h3><p class="soft">Written by the model.{told}</p>{"".join(shown)}'
    )


def _facts(run: RunReport) -> str:
    described = run.info.description
    data = {**described.data_summary, "tokens seen": run.tokens, "training seconds": round(run.seconds, 1)}
    settings = {**to_json(described.settings), **to_json(described.text_settings), "seed": described.seed}
    parts = (("Data", data), ("Settings", settings), ("Environment", dict(described.environment)))
    tables = "".join(_details(title, table(["", ""], _rows(values))) for title, values in parts)
    return f"<h3>Settings and data</h3>{tables}"


def _rows(values: dict[str, Any]) -> list[list[str]]:
    return [[name.replace("_", " "), _value(value)] for name, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """Rows of plain text as a table that scrolls by itself, by keyboard too; cells of digits are set to the right."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    told = f"<caption>{_text(caption)}</caption>" if caption else ""
    label = html.escape(caption or "table")
    inner = f"<table>{told}{top}<tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{inner}</div>'


def _cell(value: str) -> str:
    return f'<td class="number">{_text(value)}</td>' if _NUMBER.fullmatch(value) else f"<td>{_text(value)}</td>"


def _details(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{_text(title)}</summary>{body}</details>"


def _number(value: float | None, form: str) -> str:
    return "not measured" if value is None else format(value, form)


def _text(value: str) -> str:
    return html.escape(value)
