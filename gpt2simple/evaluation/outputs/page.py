"""The page of outputs, one HTML file that needs neither network nor scripts, and its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpt2simple.evaluation.html import picture_address, render, value_rows
from gpt2simple.evaluation.outputs.figure import outputs_figure
from gpt2simple.evaluation.outputs.metrics import HEADS, OutputFigures, ScoredOutput
from gpt2simple.evaluation.outputs.predictions import GENERATOR
from gpt2simple.storage.contents import counted
from gpt2simple.storage.outputs import OutputKind

OUTPUTS_PAGE = OutputKind(
    "a page on outputs of gpt2simple", b"<!doctype html>", f'name="generator" content="{GENERATOR}"'.encode()
)
_MOST_SHOWN = 10  # of the worst and of the best outputs
_LONGEST_TEXT = 1200  # characters of a prompt, a reference or an output


def outputs_page(
    figures: OutputFigures, *, title: str, measured: Sequence[str] = (), curves_png: bytes | None = None,
    settings: Mapping[str, object] | None = None,
) -> str:  # fmt: skip
    """The page of a model's outputs.

    Args:
        title: of the page. measured: what else was measured, sentences.
        curves_png: the loss curves of training, a picture; None: not shown.
        settings: with which the model was trained, by name; None: not shown.
    """
    return render(
        "outputs.html",
        title=title,
        generator=GENERATOR,
        curves=picture_address(curves_png) if curves_png else "",
        settings=value_rows(settings or {}),
        **section_values(figures, measured),
    )


def section_values(figures: OutputFigures, measured: Sequence[str] = ()) -> dict[str, Any]:
    """What the template ``outputs_section.html`` is filled with, for a page that includes it."""
    # With few outputs none is shown twice.
    best = figures.best(min(_MOST_SHOWN, figures.outputs // 2))
    worst = figures.worst(min(_MOST_SHOWN, figures.outputs - len(best)))
    repeats = [one for one in figures.scored if one.copy and one.copy.is_completion and not one.exact_match]
    ranked = "By token F1, then by chrF."
    found = f"{counted(len(repeats), 'output')}{f', the first {_MOST_SHOWN}' if len(repeats) > _MOST_SHOWN else ''}."
    shown = [
        ("Worst outputs", ranked, worst),
        ("Best outputs", ranked, best),
        ("Training completions in place of answers", found, repeats[:_MOST_SHOWN]),
    ]
    return {
        "figures": figures,
        "measured": measured,
        "rows": (HEADS, figures.rows()),
        "box": "overfitted" if figures.copies and figures.copies.is_memorised else "not_measured",
        "picture": picture_address(outputs_figure(figures)),
        "shown": [(title, order, [*map(_shown, some)]) for title, order, some in shown],
    }


def _shown(one: ScoredOutput) -> dict[str, Any]:
    """An output for the page: its texts cut where they are long, and its marks."""
    spans = one.copy.spans if one.copy else ()
    scores = [f"token F1 {one.f1:.3f}", *([] if one.chrf is None else [f"chrF {one.chrf:.1f}"])]
    return {
        "scores": ", ".join([*scores, *(["exact match"] if one.exact_match else [])]),
        "prompt": None if one.prompt is None else cut(one.prompt),
        "references": [*map(cut, one.references)],
        "output": cut(one.output),
        "is_completion": one.copy is not None and one.copy.is_completion,
        "spans": [(start, min(end, _LONGEST_TEXT)) for start, end in spans if start < _LONGEST_TEXT],
    }


def cut(text: str) -> str:
    """A text as a page shows it: the beginning of a long one."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
