"""What notebooks show of results: tables and pictures in the notebook's own colours, with users' text as text."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api.figures_report import FiguresReport
from gpt2simple.api.push import PushResult
from gpt2simple.api.report import write_report
from gpt2simple.api.result import FinetuneResult
from gpt2simple.evaluation.classification.metrics import classification_result
from gpt2simple.evaluation.html import picture_of
from gpt2simple.evaluation.outputs.metrics import output_figures
from gpt2simple.evaluation.outputs.result import CompletionLoss, PairResult
from gpt2simple.evaluation.results import EvaluateResult
from tests.helpers.records import HEALTHY, OVERTRAINED, make_run

PACKAGE = Path(gpt2simple.__file__).parent
MARKUP = "<img src=x onerror=alert(1)>"
SHOWN = "&lt;img src=x onerror=alert(1)&gt;"
PNG = b"\x89PNG\r\n\x1a\n of a picture"
ADDRESS = f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"'


class Elements(HTMLParser):
    """Fails where an element is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.styles += [value or "" for name, value in attrs if name == "style"]
        assert not [name for name, _ in attrs if name.startswith("on")], attrs
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def viewed(result: Any) -> str:
    """The HTML of a result, which has its users' text as text and no colours of its own."""
    html: str = result._repr_html_()
    elements = Elements()
    elements.feed(html)
    assert elements.open == []
    assert MARKUP not in html
    assert "<style" not in html
    assert not [style for style in elements.styles if re.search("color|background", style)], elements.styles
    return html


def trained(folder: Path, **changes: Any) -> FinetuneResult:
    values: dict[str, Any] = {
        "run_dir": folder, "steps": 1200, "reason": "finished", "best_step": 800, "best_loss": 3.25,
        "best_bits_per_byte": 1.5, "evaluations_since_best": 4, "train_loss": 2.0, "seconds": 61.4,
    }  # fmt: skip
    return FinetuneResult(**{**values, **changes})


def classified() -> Any:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    return classification_result(
        probabilities, np.array([0, 1, 1]), [MARKUP, "b"], model=MARKUP, part="test", texts=[MARKUP] * 3
    )


def answered() -> PairResult:
    figures = output_figures(["a"], ["a"], model=MARKUP, part="test", text_metrics=False)
    return PairResult(
        loss=0.5, perplexity=1.6, tokens=10, prompt_loss=1.0, truncated=0, left_out=0, outputs=figures, length=16,
        precision="float32", seconds=1.0, losses=(CompletionLoss(0, 5.0, 8),), numbers=(0,),
    )  # fmt: skip


def test_a_finished_run_is_a_table_with_its_curves(tmp_path: Path) -> None:
    run = tmp_path / MARKUP
    run.mkdir()
    (run / "loss.png").write_bytes(PNG)
    html = viewed(trained(run))
    assert SHOWN in html
    assert ADDRESS in html
    for cell in ("finished at step 1,200", "800", "3.250 nats/token", "1.500", "2.000 nats/token", "61"):
        assert re.search(f"<td[^>]*>{re.escape(cell)}</td>", html), cell
    assert "generate() uses that step" in html
    assert "accuracy" not in html


def test_a_classifier_s_run_has_its_figures_below(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    html = viewed(trained(tmp_path, best_accuracy=0.75, best_bits_per_byte=None, target="text", test=classified()))
    assert re.search("<td[^>]*>75.0%</td>", html)
    assert "validation loss at that step" in html
    assert "bits per byte" not in html
    assert "<img" not in html, "there is no picture in the folder"
    assert f"<td>{SHOWN}</td>" in html, "a class, in the table of classes"


def test_a_control_is_named(tmp_path: Path) -> None:
    html = viewed(trained(tmp_path, control=trained(tmp_path / "other")))
    assert f"Control, from random weights: {tmp_path / 'other'}." in html


def test_nothing_held_out_leaves_its_rows_out(tmp_path: Path) -> None:
    html = viewed(trained(tmp_path, best_loss=None, best_step=None, best_bits_per_byte=None))
    assert "held-out" not in html
    assert "None" not in html


def test_the_figures_of_pairs_have_the_loss_above() -> None:
    html = viewed(answered())
    assert "Completions: 0.5000 nats per token" in html
    assert SHOWN in html
    assert "exact match" in html


def test_a_report_on_figures_shows_its_picture(tmp_path: Path) -> None:
    (tmp_path / "r.png").write_bytes(PNG)
    made = FiguresReport(
        path=tmp_path / f"{MARKUP}.html", json_path=tmp_path / "r.json", picture=tmp_path / "r.png", result=answered()
    )
    html = viewed(made)
    assert ADDRESS in html
    assert f"{SHOWN}.html" in html
    assert ADDRESS not in viewed(replace(made, picture=tmp_path / "gone.png"))


def test_an_evaluation_is_a_table() -> None:
    metrics: dict[str, Any] = {
        "loss": 3.0, "perplexity": 20.1, "bits_per_byte": 1.2, "accuracy": 0.4, "tokens": 10, "bytes": 40,
        "model": MARKUP, "text": MARKUP, "standard_error": 0.1, "protocol": "one window", "precision": "float32",
        "documents": (), "seconds": 1.0,
    }  # fmt: skip
    html = viewed(EvaluateResult(**metrics))
    assert f"<caption>{SHOWN} on {SHOWN}: 10 tokens. Protocol: one window.</caption>" in html
    assert re.search("<td[^>]*>3.0000 ± 0.1000 nats/token</td>", html)


def test_a_report_on_runs_shows_verdicts_and_one_picture(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"word{number * number % 97}" for number in range(2000)))
    make_run(tmp_path / "over", text, OVERTRAINED, [text.read_text()[:700]])
    make_run(tmp_path / "fine & well", text, HEALTHY, [])
    one = viewed(write_report(["over"], checkpoint_dir=tmp_path, dataset=None, destination=None))
    assert "<strong>over: Overfitted.</strong>" in one
    assert "<li>Stop at step 30" in one
    assert picture_of(tmp_path / "over" / "report.png") in one
    both = write_report(["over", "fine & well"], checkpoint_dir=tmp_path, dataset=None, destination=None)
    assert both.side_by_side == tmp_path / "report.png"
    html = viewed(both)
    assert html.count("<img") == 1
    assert picture_of(tmp_path / "report.png") in html
    assert 'alt="over: memorises after step 30. fine &amp; well: still learning at step 60."' in html
    assert "fine &amp; well: Still improving." in html
    assert "no samples to measure memorisation with" in html


def test_what_check_found_is_in_tables() -> None:
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen " + MARKUP
    found = gpt2simple.check([f"{MARKUP} here is a text", f"{MARKUP} here is a text", long], against=[long, "other"])
    html = viewed(found)
    assert "<td>this text</td>" in html
    assert "Copies and near copies in this text" in html
    assert "Documents of the other text that this one has too" in html
    assert SHOWN in html
    assert "Nothing was found." in viewed(gpt2simple.check(["a text", "quite another one"]))


def test_a_picture_that_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
    assert picture_of(tmp_path / "none.png") == ""
    (tmp_path / "text.png").write_text("no picture")
    assert picture_of(tmp_path / "text.png") == ""
    (tmp_path / "large.png").write_bytes(PNG + bytes(1_000_000))
    assert picture_of(tmp_path / "large.png") == ""


@pytest.mark.parametrize(("url", "outcome"), [(None, "With yes=True"), ("https://example.org/a/b", "Uploaded: https:")])
def test_an_upload_is_a_table_of_files(url: str | None, outcome: str) -> None:
    files = ((MARKUP, 400), ("model.safetensors", 14_803_360))
    html = viewed(PushResult(repo_id="a/b", files=files, is_public=False, exists=True, url=url))
    replaced = "files of the same names there are replaced: 2 files, 14.8 MB"
    assert f"<caption>To the private repository a/b; {replaced}</caption>" in html
    assert re.search("<td>model.safetensors</td>\\s*<td[^>]*>14.8 MB</td>", html)
    assert outcome in html


def test_every_template_that_is_rendered_is_there() -> None:
    sources = [path.read_text("utf-8") for path in PACKAGE.rglob("*.py")]
    rendered = {name for source in sources for name in re.findall(r'render\(\s*"([^"]+)"', source)}
    assert "notebook.html" in rendered
    assert rendered <= {path.name for path in (PACKAGE / "evaluation" / "templates").iterdir()}
