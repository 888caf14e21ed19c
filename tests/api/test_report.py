"""Reports: the verdict and the memorised passages of runs with known answers, on a page that stands by itself."""

import itertools
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from gpt2simple.api.report import write_report
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.evaluation.report.chart import Line, chart, ticks
from gpt2simple.testing import sample_text
from tests.helpers.records import HEALTHY, OVERTRAINED, make_run

VOID = {"meta", "link", "path", "circle", "polyline", "br"}
NEW = "Nothing that this sample says was ever written there before by anybody at all, <script>alert(1)</script> truly."


class Balanced(HTMLParser):
    """Fails where an element is closed that is not open, and remembers what is left."""

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        self.links += [v for k, v in attributes if k in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(sample_text(100))
    return path


@pytest.fixture
def over(tmp_path, text):
    learned = " ".join(text.read_text().split()[100:140])
    return make_run(tmp_path / "over", text, OVERTRAINED, [NEW, f"So: {learned} and no more."])


def report(tmp_path, *names, **options):
    options = {"dataset": None, "destination": None} | options
    return write_report(names, checkpoint_dir=tmp_path, **options)


def test_an_overtrained_run_and_its_copying_are_told(tmp_path, over):
    result = report(tmp_path, "over")
    (run,) = result.runs
    assert (run.verdict.kind, run.verdict.best_step) == ("overfitted", 30)
    assert run.memorisation.is_memorised
    assert run.memorisation.longest.words >= 38
    assert run.memorisation.sample_shares[0] == 0.0
    page = result.path.read_text()
    assert result.path == over / "report.html"
    assert "Overfitted" in page
    assert "step 30" in page
    assert "Stop at step 30" in page
    assert re.search(r"<mark>[^<]{100,}</mark>", page)
    assert "small &lt;model&gt;" in page
    assert "<script" not in page
    assert "learned by heart" in result.summary()
    assert result.pictures == (over / "report.png",)
    assert result.pictures[0].read_bytes().startswith(b"\x89PNG")


def test_a_healthy_run_is_not_accused(tmp_path, text):
    make_run(tmp_path / "healthy", text, HEALTHY, [NEW])
    (run,) = report(tmp_path, "healthy").runs
    assert run.verdict.kind == "still_learning"
    assert not run.memorisation.is_memorised
    assert "by heart" not in report(tmp_path, "healthy").path.read_text()


def test_several_runs_share_a_page_that_needs_nothing_else(tmp_path, over, text):
    make_run(tmp_path / "healthy", text, HEALTHY, [])
    result = report(tmp_path, "over", "healthy", "over", destination=tmp_path / "out" / "both.html")
    assert [run.name for run in result.runs] == ["over", "healthy"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "both-healthy.png",
        "both-over.png",
        "both.html",
        "both.json",
    ]
    page = Balanced()
    page.feed(result.path.read_text())
    assert page.open == []
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "There are no samples to look at" in result.path.read_text()


def test_the_json_has_every_number(tmp_path, over):
    values = json.loads(report(tmp_path, "over").json_path.read_text())["runs"][0]
    assert [look["loss"] for look in values["held_out"]] == OVERTRAINED
    assert len(values["training"]["steps"]) == len(values["training"]["loss"]) == 60
    assert values["verdict"]["best_step"] == 30
    assert values["memorisation"]["passages"][0]["words"] == values["memorisation"]["longest_words"]
    assert values["settings"]["learning_rate"] == 1e-4


def test_a_text_that_is_gone_is_said_to_be_so_and_can_be_given(tmp_path, over, text):
    kept = text.rename(tmp_path / "moved.txt")
    shutil.rmtree(tmp_path / "cache")
    (run,) = report(tmp_path, "over").runs
    assert run.memorisation is None
    assert "not to be had" in run.missing
    assert "--dataset" in run.missing
    (run,) = report(tmp_path, "over", dataset=str(kept)).runs
    assert run.memorisation.is_memorised
    kept.write_text(sample_text(100, seed=1))
    (run,) = report(tmp_path, "over", dataset=str(kept)).runs
    assert "is not the text that the run learned from" in run.missing


def test_what_cannot_be_reported_says_why(tmp_path, over):
    with pytest.raises(SettingsError, match=r"No run was named\. Name at least one"):
        report(tmp_path)
    with pytest.raises(RunError, match=r"no run 'absent' .* The runs there: over"):
        report(tmp_path, "absent")
    (over / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"recorded no step yet, .* Train it first"):
        report(tmp_path, "over")
    legacy = tmp_path / "old"
    legacy.mkdir()
    (legacy / "model-7.index").touch()
    with pytest.raises(RunError, match=r"trained by gpt-2-simple, which records no curves"):
        report(tmp_path, "old")


def test_copying_of_late_samples_is_told_beside_that_of_all(tmp_path, text):
    learned = " ".join(text.read_text().split()[100:130])
    make_run(tmp_path / "late", text, OVERTRAINED, [*[NEW * 20] * 8, *[learned] * 3])
    (run,) = report(tmp_path, "late").runs
    assert run.memorisation.is_memorised
    assert run.memorisation.judged_share == 1.0
    page = (tmp_path / "late" / "report.html").read_text()
    assert f"{run.memorisation.share:.1%} of those in the samples; 100.0% of those in the last 3; " in page


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, r"the run took 60 steps, and none was due by then, or they were deleted\. With sample_every=12 it would"),
        ({"sample_every": 100}, r"the run took 60 steps, and one was due every 100\. With sample_every=12"),
        ({"sample_every": 10}, r"samples that the run wrote are no longer in its folder"),
        ({"sample_every": 0}, r"The run wrote no samples \(sample_every=0\)"),
    ],
)
def test_why_there_are_no_samples_is_told_as_it_is(tmp_path, text, settings, reason):
    make_run(tmp_path / "run", text, OVERTRAINED, [], **settings)
    (run,) = report(tmp_path, "run").runs
    assert re.search(reason, run.missing), run.missing


@pytest.mark.parametrize("low_high", [(0.0, 1.0), (0.0, 0.0), (3.99, 4.01), (0.0, 123456.0), (-1.0, 7.3)])
def test_ticks_are_round_and_enclose_the_values(low_high):
    found = ticks(*low_high)
    assert found[0] <= low_high[0]
    assert found[-1] >= low_high[1]
    assert 2 <= len(found) <= 8
    steps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert len(steps) == 1


def test_a_chart_leaves_out_what_is_no_number():
    drawn = chart([Line("a & b", [0, 1, 2], [1.0, float("nan"), 3.0], "train")], title="t", x_label="x", y_label="y")
    assert "nan" not in drawn
    assert "a &amp; b" in drawn
    assert chart([Line("a", [], [], "train")], title="t", x_label="x", y_label="y") == ""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1440])
def test_chromium_shows_the_page_without_complaint(tmp_path, over, width):
    """The browser writes console messages to stderr; the page forbids scripts, so a page around it measures."""
    browser = shutil.which("chromium") or os.environ.get("GPT2SIMPLE_CHROMIUM")
    if not browser:
        pytest.skip("there is no chromium")
    page = report(tmp_path, "over").path
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe id="f" src="{page.as_uri()}" style="width:{width}px;height:900px;border:0">'
        "</iframe>"
        "<script>onload=()=>{const d=f.contentDocument.documentElement;f.contentDocument.querySelectorAll('details')"
        ".forEach(x=>x.open=true);document.title='over '+(d.scrollWidth-d.clientWidth)}</script>"
    )
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--allow-file-access-from-files", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "<title>over 0</title>" in done.stdout, done.stdout[:2000]
    assert "CONSOLE" not in done.stderr
