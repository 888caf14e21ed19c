"""The page and the figure of a classification, whatever the names and texts are."""

from __future__ import annotations

import base64
import html
import re
import struct
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from gpt2simple.evaluation.classification.baselines import Baseline, baselines
from gpt2simple.evaluation.classification.figure import classification_figure
from gpt2simple.evaluation.classification.metrics import ClassificationResult, classification_result
from gpt2simple.evaluation.classification.page import CLASSIFICATION_PAGE, classification_page

HOSTILE = "</pre><script>alert(1)</script>\"' onload=alert(1) {{ 7 * 7 }}"


def result(classes: int = 2, texts: int = 60, name: str = "class", **about: Any) -> ClassificationResult:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, texts)
    scores = draw.normal(size=(texts, classes))
    scores[np.arange(texts), labels] += 1.0
    rows = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    names = [f"{name} {number}" for number in range(classes)]
    return classification_result(rows, labels, names, **{"model": "small", "part": "the test part", **about})


def with_baselines() -> tuple[Baseline, ...]:
    labels = np.random.default_rng(0).integers(0, 2, 60).tolist()
    return baselines(["good film", "bad film"] * 5, [1, 0] * 5, ["film"] * 60, labels, ["a", "b"])


def test_a_page_of_many_classes_leaves_the_confusion_matrix_to_the_file_of_numbers() -> None:
    assert "True class" in classification_page(result(classes=40), title="Reviews")
    page = classification_page(result(classes=41), title="Reviews")
    assert "The file of numbers has the confusion matrix" in page
    assert "True class" not in page


def test_a_page_shows_the_figures_beside_the_baselines() -> None:
    found = result(baselines=with_baselines(), truncated=2)
    page = classification_page(
        found, title="Reviews", curves_png=b"\x89PNG curves", settings={"batch_size": 32, "steps": None, "paths": []}
    )
    shown = html.unescape(page)
    for text in (
        found.headline(), found.interval.text(), "majority class", "bag of words", f"{found.accuracy:.1%}",
        found.conclusion(), found.calibration(), "Batch size",
        base64.b64encode(b"\x89PNG curves").decode(), *(row[1] for row in found.beside_rows()),
        *(cell for row in found.class_rows() for cell in row),
    ):  # fmt: skip
        assert text in shown, text
    assert page.startswith(CLASSIFICATION_PAGE.begins.decode())
    assert CLASSIFICATION_PAGE.mark.decode() in page[:4096]
    assert "not set" in page


def test_a_page_without_baselines_curves_settings_or_texts_says_so_or_leaves_them_out() -> None:
    page = classification_page(result(), title="Bare")
    assert "There is no simple model to compare with" in page
    assert "There are none to show." in page
    assert "<h2>Training</h2>" not in page
    assert "<h2>Settings</h2>" not in page
    assert page.count("<img") == 1


def test_texts_and_names_are_escaped() -> None:
    plain = classification_page(result(), title="x")
    probabilities = np.tile([0.9, 0.1], (3, 1))
    found = classification_result(
        probabilities, np.array([0, 1, 1]), [HOSTILE, f"{HOSTILE} 2"], model=HOSTILE, part=HOSTILE,
        texts=[HOSTILE, f"{HOSTILE} one", "\x1b[31mred \u202e"],
    )  # fmt: skip
    page = classification_page(found, title=HOSTILE, settings={HOSTILE: HOSTILE, "list": [HOSTILE]})
    assert len(found.mistakes) == 2
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"<[^>]* onload", page)
    assert "\x1b" not in page
    assert page.count("<figure") == plain.count("<figure")


def test_a_page_needs_neither_network_nor_scripts() -> None:
    page = classification_page(result(texts=60), title="x", curves_png=b"\x89PNG")
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert len(addresses) >= 4
    assert all(re.match(r"data:(image/png;base64,|,)|#", address) for address in addresses)
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.parametrize("classes", [2, 5, 16, 45])
def test_the_figure_is_a_png_whatever_the_number_of_classes(classes: int) -> None:
    png = classification_figure(result(classes=classes, texts=400, name="$\\frac{1}$"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (660, 1290)


def test_the_figure_shows_each_count_and_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(
        "gpt2simple.evaluation.classification.figure.to_png", lambda figure: drawn.append(figure) or b""
    )
    found = result(classes=3, texts=300)
    classification_figure(found)
    matrix, curve, counts = drawn[0].axes
    assert [text.get_text() for text in matrix.texts] == [str(n) for row in found.confusion for n in row]
    assert [text.get_text() for text in counts.texts] == [str(texts) for _, _, texts in found.calibration_bins]
    points = next(line for line in curve.lines if line.get_marker() == "o").get_xydata()
    assert points.tolist() == [[mean, share] for mean, share, _ in found.calibration_bins]
    assert any(line.get_xydata().tolist() == [[0, 0], [1, 1]] for line in curve.lines), "the diagonal"


@pytest.mark.parametrize("correct", [0, 1])
def test_one_text_is_drawn(correct: int) -> None:
    one = classification_result(np.array([[1.0, 0.0]]), np.array([1 - correct]), ["a", "b"], model="m", part="p")
    assert classification_figure(one).startswith(b"\x89PNG")


def test_drawing_changes_neither_the_users_backend_nor_their_figures() -> None:
    from matplotlib import pyplot

    before = mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()
    classification_figure(result())
    assert (mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()) == before
