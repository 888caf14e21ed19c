"""Figures that pages quote: those of docs/choosing.md are in the pages on what was measured."""

from __future__ import annotations

import re

from tests.helpers.documents import DOCS, README, text_of

MEASURED = ("performance.md", "lora.md", "defaults.md")
FIGURE = re.compile(r"\d[\d,.]*\d? (?:GB|MB|s\b|min\b|bits/byte|nats)|\d\.\d+ to \d\.\d+")
COMPUTED = {"8 min", "21 min", "3.2 GB", "6.4 GB", "1 MB", "1.1 to 1.3"}  # of measured ones, or of the published files


def figures(text: str) -> set[str]:
    return set(FIGURE.findall(" ".join(text.split())))


def test_the_figures_on_choosing_are_measured_elsewhere() -> None:
    measured = " ".join(" ".join(text_of(path).split()) for path in (README, *(DOCS / name for name in MEASURED)))
    quoted = figures(text_of(DOCS / "choosing.md")) - COMPUTED
    assert len(quoted) > 15
    known = {figure for figure in quoted if figure in measured or is_in_a_table(figure, measured)}
    assert sorted(quoted - known) == []


def is_in_a_table(figure: str, measured: str) -> bool:
    """Whether a figure is one of a table, whose head has the unit."""
    number, _, unit = figure.partition(" ")
    return bool(re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", measured)) and unit in ("GB", "s", "bits/byte")


def test_the_times_computed_on_choosing_follow_from_those_measured() -> None:
    rows = re.findall(r"^\| `\w+`, .*? \| (\d+) s \| (\d+) (min|h) \|$", text_of(DOCS / "choosing.md"), re.MULTILINE)
    assert len(rows) == 4
    for seconds, number, unit in rows:
        assert round(250 * int(seconds) / {"min": 60, "h": 3600}[unit]) == int(number)
