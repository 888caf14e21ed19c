"""Figures: the same one as PNG and as SVG, whatever the values and labels."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import matplotlib as mpl

from gpt2simple.runs.curves import Curves
from gpt2simple.runs.figure import line_figure, loss_figure, to_png, to_svg
from tests.helpers.records import overfitted_run


def loss_svg() -> str:
    return to_svg(loss_figure(Curves.of(*overfitted_run()), title="run1: tiny", steps_per_epoch=100.0))


def test_an_svg_is_one_element_with_text_and_is_the_same_each_time() -> None:
    svg = loss_svg()
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "run1: tiny" in texts
    assert "best: step 200, 2.726 nats/token, 0.983 bits/byte" in texts
    assert svg.startswith("<svg")
    assert "http" not in svg.replace("http://www.w3.org/", ""), "names of formats, and no address"
    assert not re.search(r"\d{4}-\d\d-\d\d", svg), "no date"
    assert loss_svg() == svg


def test_labels_are_neither_markup_nor_formulas() -> None:
    figure = line_figure({"<b>$\\frac{1}$ & \"'": ([1, 2], [3.0, 4.0])}, x_label="steps", y_label="%")
    assert "&lt;b&gt;$\\frac{1}$ &amp; \"'</text>" in to_svg(figure)
    assert to_png(figure).startswith(b"\x89PNG")


def test_values_that_are_not_finite_and_lines_without_points_are_left_out() -> None:
    lines = {"a": ([0, 1, 2], [1.0, math.nan, math.inf]), "b": ([], [])}
    svg = to_svg(line_figure(lines, x_label="x", y_label="y", reference=("c", 2.0)))
    assert not re.search(r"\b(nan|inf)\b", svg, re.IGNORECASE)
    assert [label for label in "abc" if f">{label}</text>" in svg] == ["a", "b", "c"]


def test_drawing_changes_neither_the_users_backend_nor_their_figures() -> None:
    from matplotlib import pyplot

    before = mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()
    loss_svg()
    assert (mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()) == before
