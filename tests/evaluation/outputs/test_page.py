"""The page, the figure and the file of outputs, whatever the texts are."""

from __future__ import annotations

import html
import json
import re
import struct
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.outputs.figure import outputs_figure
from gpt2simple.evaluation.outputs.metrics import OutputFigures, output_figures
from gpt2simple.evaluation.outputs.page import OUTPUTS_PAGE, outputs_page
from gpt2simple.evaluation.outputs.predictions import PREDICTIONS, predictions
from gpt2simple.storage.outputs import write_output
from tests.helpers.outputs import pairs

HOSTILE = "</pre><script>alert(1)</script>\"' onload=alert(1) {{ 7 * 7 }}"


def figures(count: int = 60, **about: Any) -> OutputFigures:
    outputs, references = pairs(count)
    prompts = [f"prompt {number}" for number in range(count)]
    return output_figures(
        outputs, references, **{"model": "small", "part": "the test part", "prompts": prompts, "resamples": 50, **about}
    )


def test_a_page_shows_the_figures_and_the_worst_and_the_best_outputs() -> None:
    _, references = pairs(60)
    found = figures(completions=references[:30])
    page = outputs_page(found, title="Pairs", curves_png=b"\x89PNG", settings={"batch_size": 32})
    shown = html.unescape(page)
    for text in (
        found.headline(), *(cell for row in found.rows() for cell in row), *found.methods(), *found.remarks(),
        "Batch size", *(f"\n{one.output}" for one in found.worst(10)), *(one.prompt for one in found.best(10)),
    ):  # fmt: skip
        assert text in re.sub("</?mark>", "", shown), text
    assert page.startswith(OUTPUTS_PAGE.begins.decode())
    assert OUTPUTS_PAGE.mark.decode() in page[:4096]
    assert page.index("Worst outputs") < page.index("Best outputs") < page.index("<h2>Settings")
    assert page.count("<li>") == 20
    assert page.count("<img") == 2


@pytest.mark.parametrize(("count", "headings", "items"), [(1, 1, 1), (3, 2, 3)])
def test_of_few_outputs_none_is_shown_twice(count: int, headings: int, items: int) -> None:
    page = outputs_page(figures(count, prompts=None), title="Few")
    assert (page.count("outputs</h2>"), page.count("<li>")) == (headings, items)
    assert "Prompt" not in page
    assert "<h2>Training</h2>" not in page
    assert "<h2>Settings</h2>" not in page


def test_what_repeats_the_training_text_is_marked() -> None:
    copied = "one two three four five six seven eight"
    page = outputs_page(
        output_figures(
            ["Yes", f"So {copied} & no more", "No"],
            ["x"] * 3,
            model="m",
            part="p",
            completions=["yes", f"<b> {copied}."],
        ),
        title="Copies",
    )
    assert page.count("<strong>equals a training completion word for word</strong>") == 2  # once in a list of these
    assert page.index("Best outputs") < page.index("Training completions in place of answers")
    assert "1 output." in page
    assert f"So <mark>{copied}</mark> &amp; no more" in page
    plain = outputs_page(output_figures(["Yes"], ["x"], model="m", part="p"), title="x")
    assert "training completion" not in plain


def test_right_answers_are_no_repeats_and_an_empty_output_has_no_box() -> None:
    right = output_figures(["Yes", " "], ["yes", "no"], model="m", part="p", completions=["yes"])
    page = outputs_page(right, title="x", measured=["Completions: 1 nat."])
    assert "Training completions in place of answers" not in page
    assert '<p class="soft">Completions: 1 nat.</p>' in page
    assert page.count("Output, empty") == 1
    assert page.count("<pre>") == 3  # two references, an output


def test_a_long_text_is_cut_and_its_marks_with_it() -> None:
    words = " ".join(f"w{number}" for number in range(900))
    page = outputs_page(output_figures([words], [words], model="m", part="p", completions=[words]), title="Long")
    marked = re.search(r"<mark>(.*?)</mark> \.\.\.</pre>", page)
    assert marked is not None
    assert marked[1] == words[:1200]


def test_texts_and_names_are_escaped() -> None:
    texts = [HOSTILE, f"{HOSTILE} " * 9, "\x1b[31mred \u202e", "half \ud83d of a pair"]

    def page(texts: list[str], name: str) -> str:
        found = output_figures(
            texts,
            [[text, "x"] for text in texts],
            model=name,
            part=name,
            prompts=texts,
            completions=[texts[1], "words"],
        )
        return outputs_page(found, title=name, settings={name: name, "list": [name]})

    made, plain = page(texts, HOSTILE), page(["a b c d e f g h", "a b c d e f g h " * 9, "two", "three"], "plain")
    assert "<script" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made
    assert "{{ 7 * 7 }}" in made
    assert not re.search(r"<[^>]* onload", made)
    assert "\x1b" not in made
    made.encode("utf-8")
    for tag in ("<pre", "</pre>", "<li", "<mark", "<figure", "<strong"):
        assert made.count(tag) == plain.count(tag), tag


def test_a_page_needs_neither_network_nor_scripts() -> None:
    page = outputs_page(figures(), title="x", curves_png=b"\x89PNG")
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert len(addresses) >= 4
    assert all(re.match(r"data:(image/png;base64,|,)|#", address) for address in addresses)
    assert "http:" not in page
    assert "https:" not in page


@pytest.mark.parametrize("about", [{}, {"text_metrics": False}])
@pytest.mark.parametrize("count", [1, 60])
def test_the_figure_is_a_png_of_any_number_of_outputs(count: int, about: dict[str, Any]) -> None:
    png = outputs_figure(figures(count, **about))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (660, 930)


def test_the_figure_shows_each_value_and_every_output(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("gpt2simple.evaluation.outputs.figure.to_png", lambda figure: drawn.append(figure) or b"")
    found = figures()
    outputs_figure(found)
    above, below = drawn[0].axes
    assert [label.get_text() for label in above.get_yticklabels()] == list(found.figures())
    points = [container[0].get_xdata()[0] for container in above.containers]
    assert found.bleu is not None
    assert points[0] == 100 * found.exact_match.value
    assert points[2] == found.bleu.value
    assert sum(bar.get_height() for bar in below.patches) == 60
    assert below.patches[-1].get_height() == sum(one.f1 >= 0.9 for one in found.scored)


def test_drawing_changes_neither_the_users_backend_nor_their_figures() -> None:
    from matplotlib import pyplot

    before = mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()
    outputs_figure(figures(3))
    assert (mpl.get_backend(), dict(mpl.rcParams), pyplot.get_fignums()) == before


def test_the_file_of_outputs_has_a_json_object_a_line_in_their_order(tmp_path: Path) -> None:
    found = output_figures(
        ["Paris\nand\u2028more", "x\ud83d"], [["Lyon", "Paris"], "y"], model="m", part="p", prompts=["1", "2"]
    )
    path = tmp_path / "predictions.jsonl"
    for _ in range(2):  # an earlier one is replaced
        write_output(path, PREDICTIONS, predictions(found))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert lines == [
        {
            "prompt": "1", "references": ["Lyon", "Paris"], "output": "Paris\nand\u2028more", "exact_match": False,
            "f1": found.scored[0].f1, "generator": "gpt2simple outputs",
        },
        {
            "prompt": "2", "references": ["y"], "output": "x?", "exact_match": False, "f1": 0.0,
            "generator": "gpt2simple outputs",
        },
    ]  # fmt: skip
    assert found.scored[0].f1 == pytest.approx(0.5)


def test_a_file_of_the_users_is_not_replaced_by_outputs(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"prompt": "mine", "output": "mine", "exact_match": true}\n')
    with pytest.raises(SettingsError, match="exists and is not outputs with their scores of gpt2simple"):
        write_output(path, PREDICTIONS, predictions(figures(1)))
    assert "mine" in path.read_text()
