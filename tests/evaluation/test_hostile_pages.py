"""No name, text or setting on a page becomes an element, an attribute or a reference: a payload is shown as text."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.evaluation.classification.baselines import Baseline
from gpt2simple.evaluation.classification.comparison import ClassifierRow, CompareClassifiersResult
from gpt2simple.evaluation.classification.metrics import ClassFigures
from gpt2simple.evaluation.intervals import wilson
from gpt2simple.evaluation.report.comparison import comparison_page
from gpt2simple.evaluation.report.data import RunReport, run_report
from gpt2simple.evaluation.report.language_models import CompareResult, CompareRow
from gpt2simple.evaluation.report.page import page
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.figure import loss_figure, to_png, to_svg
from gpt2simple.storage.contents import visible
from tests.helpers.records import HEALTHY, make_run

BENIGN = "plain"
MARKUP = (
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</pre></main></body><script src=//x.example/a.js></script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "<svg><script>alert(1)</script></svg>",
    "<svg/onload=alert(1)>",
    "]]></text><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<!-- <script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "--!><img src=x onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<base href=//x.example/>",
    "<meta http-equiv=refresh content='0;url=//x.example'>",
    "<link rel=stylesheet href=//x.example/a.css>",
    "<style>*{background:url(//x.example/a)}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<form action=//x.example><input name=a></form>",
    "<math><mtext></p><img src=x onerror=alert(1)></math>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<details open ontoggle=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "{{ 7 * 7 }}{% for x in y %}{# z #}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "$x^2$ \\frac{1}{2} $",
    "\\u003cscript\\u003ealert(1)",
    "\ufeff<script>alert(1)</script>",
    "<\x00script>alert(1)</script>",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "\x9b31mred\x85",
    "abc\u202egnirts\u2066\u2069",
    "a\u2028b\u2029c\x0bd\x0ce\rf",
    "\u200e\u200f\u061c\ufff9\ufffb",
    "half \ud83d of a pair",
    "`</script/x><x onclick=alert(1)//`",
    "x" * 5000,
    "<" * 500,
    "&" * 500,
    "\u0915\u094d\u0937 \U0001f600 \u05e9\u05dc\u05d5\u05dd",
    "file:///etc/passwd",
)  # fmt: skip


class Structure(HTMLParser):
    """What a page consists of: each element with its attributes, without those values that hold text to read."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Counter[Any] = Counter()
        self.text: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        read = {"aria-label"} if tag in ("figure", "div") else set()
        shown = [(name, None if name in read else value) for name, value in attributes]
        # Where a drawn text lies depends on how long it is.
        self.found[tag, () if tag in ("text", "use", "path", "svg", "g", "rect", "clippath") else tuple(shown)] += 1
        self.text += [value or "" for name, value in attributes if name in read]
        assert not [name for name, _ in attributes if name.startswith("on")], attributes
        links = [value for name, value in attributes if name in ("href", "xlink:href", "src", "action")]
        assert all(re.match(r"#|data:,$", link or "") for link in links), links

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.found["comment", ()] += 1

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    folder = tmp_path_factory.mktemp("pages")
    text = folder / "text.txt"
    draw = random.Random(0)
    text.write_text(" ".join(f"word{draw.randrange(100)}" for _ in range(2000)))
    run = make_run(folder / "run", text, HEALTHY, [BENIGN])
    return run_report(run, RunInfo.read(run), None, "The text was not found.")


def report_page(report: RunReport, payload: str) -> str:
    """The page of a run whose every word comes from a hostile user, model or machine."""
    described = report.info.description
    value = payload if payload and payload.isprintable() else "x"  # which a setting takes
    hostile = replace(
        described,
        model_name=payload,
        settings=replace(described.settings, restore_from=value),
        text_settings=replace(described.text_settings, template=None, encoding=value, validation_file=value),
        data_summary={"sources": [payload], "notices": [payload], "own": payload},
        environment={"device": payload, "precision": "float32"},
    )
    made = replace(
        report,
        name=payload,
        info=replace(report.info, description=hostile),
        samples=tuple(replace(sample, text=payload) for sample in report.samples),
        missing=payload,
    )
    figure = loss_figure(made.curves, title=f"{payload}: {payload}", steps_per_epoch=made.steps_per_epoch)
    if not payload.isascii():  # what fonts lack; the rest is drawn for the page anyway
        assert to_png(figure).startswith(b"\x89PNG")
    return page([made], [to_svg(figure)])


def compare_page(_report: RunReport, payload: str) -> str:
    row = CompareRow(
        model_name=payload, run_name=payload, parameters=10, tokens_per_parameter=1.0, steps=2, best_step=1,
        bits_per_byte=1.0, loss=2.0, standard_error=None, base_bits_per_byte=3.0, gap=None, verdict=payload,
        copied_share=0.5, natural_share=None, longest_copy=9, seconds=1.0, memory_bytes=1000, samples=(payload,),
        copied_spans=(((0, 1),),), evaluations=((0.0, 3.0), (10.0, 1.0)),
    )  # fmt: skip
    result = CompareResult(
        rows=(row, row), text=payload, budget=payload, path=Path("compare.html"), json_path=Path("compare.json"),
        picture=Path("compare.png"), asked={},
    )  # fmt: skip
    return comparison_page(result, to_svg(result.figure()))


def classifiers_page(_report: RunReport, payload: str) -> str:
    about = {"interval": wilson(1, 2), "accuracy": 0.5, "f1": 0.5, "log_loss": 0.7, "train_texts": 9}
    row = ClassifierRow(
        model_name=payload, run_name=payload, parameters=10, steps=2, best_step=1, verdict=payload, seconds=1.0,
        memory_bytes=1000, learning_rate=1e-4, default_rate=True, validation_accuracy=0.5, validation_loss=0.7,
        part=payload, texts=2, truncated=1, accuracy=0.5, f1=0.5, log_loss=0.7, wrong=(1,), beside_words=(1, 0),
        classes=(ClassFigures(name=payload, texts=2, precision=0.5, recall=0.5, f1=0.5),),
        baselines=(Baseline(name=payload, note=payload, **about),), evaluations=((0, 0.9, 0.5), (1, 0.7, 0.5)),
    )  # fmt: skip
    result = CompareClassifiersResult(
        rows=(row, replace(row)), text=payload, budget=payload, path=Path("compare.html"),
        json_path=Path("compare.json"), picture=Path("compare.png"), asked={}, chosen_by=True,
    )  # fmt: skip
    return comparison_page(result, to_svg(result.figure()))


@pytest.mark.parametrize(
    "make", [report_page, *(pytest.param(page, marks=pytest.mark.slow) for page in (compare_page, classifiers_page))]
)
def test_every_payload_on_a_page_is_text(report: RunReport, make: Callable[[RunReport, str], str]) -> None:
    expected = Structure(make(report, BENIGN))
    for payload in MARKUP:
        source = make(report, payload)
        found = Structure(source)
        assert found.found == expected.found, payload
        shown = "".join(found.text)
        assert visible(payload)[:2000].lstrip("\n") in shown, payload
        assert source == visible(source), payload
        source.encode("utf-8")
