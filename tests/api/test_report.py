"""Reports: the verdict and the memorised passages of runs with known answers, on a page that stands by itself."""

import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from gpt2simple.api.report import write_report
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.testing import sample_text
from tests.helpers.paths import from_environment
from tests.helpers.records import HEALTHY, OVERTRAINED, make_run

VOID = {"meta", "link", "br"}
NEW = "Nothing that this sample says was ever written there before by anybody at all, <script>alert(1)</script> truly."


class Balanced(HTMLParser):
    """Fails where an element is closed that is not open, and remembers what is left."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.styles = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        self.styles += [v for k, v in attributes if k == "style"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    draw = random.Random(0)  # words in an order that repeats by chance only
    path.write_text(" ".join(f"word{draw.randrange(100)}" for _ in range(2000)))
    return path


def copies(text, count=3, words=70):
    """Passages of the training text, each a sample of its own."""
    learned = text.read_text().split()
    return [f"So: {' '.join(learned[200 * number :][:words])} and no more." for number in range(1, count + 1)]


@pytest.fixture
def over(tmp_path, text):
    return make_run(tmp_path / "over", text, OVERTRAINED, [NEW, *copies(text)])


def report(tmp_path, *names, **options):
    options = {"dataset": None, "destination": None} | options
    return write_report(names, checkpoint_dir=tmp_path, **options)


def test_an_overtrained_run_and_its_copying_are_told(tmp_path, over):
    result = report(tmp_path, "over")
    (run,) = result.runs
    assert (run.verdict.kind, run.verdict.best_step) == ("overfitted", 30)
    assert run.memorisation.is_memorised
    assert run.memorisation.longest.words >= 70
    assert run.memorisation.sample_shares[0] == 0.0
    page = result.path.read_text()
    assert result.path == over / "report.html"
    assert "Overfitted" in page
    assert "step 30" in page
    assert "Stop at step 30" in page
    assert re.search(r"<mark>[^<]{100,}</mark>", page)
    assert "small &lt;model&gt;" in page
    assert "<script" not in page
    assert "the model has memorised it" in result.summary()
    assert result.pictures == (over / "report.png",)
    assert result.pictures[0].read_bytes().startswith(b"\x89PNG")


def test_a_healthy_run_is_not_accused(tmp_path, text):
    make_run(tmp_path / "healthy", text, HEALTHY, [NEW])
    (run,) = report(tmp_path, "healthy").runs
    assert run.verdict.kind == "still_learning"
    assert run.memorisation.is_memorised is None, "one short sample"
    assert "memorised it" not in report(tmp_path, "healthy").path.read_text()


def test_a_judgement_that_cannot_be_made_is_withheld_everywhere(tmp_path, text):
    make_run(tmp_path / "short", text, HEALTHY, [NEW, NEW])
    result = report(tmp_path, "short")
    withheld = (
        "Whether the model has memorised the text cannot be said: that takes 123 sequences of 8 words in the samples"
    )
    assert withheld in result.summary()
    assert result.path.read_text().count(withheld) == 2, "beside the share, and in the description of its chart"
    values = json.loads(result.json_path.read_text())["runs"][0]["memorisation"]
    assert values["is_memorised"] is None
    assert values["conclusion"].startswith(withheld)
    assert values["share"] == 0.0


def test_several_runs_share_a_page_that_needs_nothing_else(tmp_path, over, text):
    make_run(tmp_path / "healthy", text, HEALTHY, [])
    result = report(tmp_path, "over", "healthy", "over", destination=tmp_path / "out" / "both.html")
    assert [run.name for run in result.runs] == ["over", "healthy"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "both-healthy.png",
        "both-over.png",
        "both.html",
        "both.json",
        "both.png",
    ]
    charts = re.findall(r'<figure class="chart" role="img" aria-label="([^"]*)', result.path.read_text())
    assert charts[0] == "over: memorises after step 30. healthy: still learning at step 60."
    assert json.loads(result.json_path.read_text())["side_by_side"] == str(result.side_by_side)
    page = Balanced()
    page.feed(result.path.read_text())
    assert page.open == []
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not [style for style in page.styles if "url(" in style]
    assert "There are no samples to measure memorisation with" in result.path.read_text()


def test_the_curves_on_the_page_are_those_of_the_picture(tmp_path, over):
    page = report(tmp_path, "over").path.read_text()
    charts = re.findall(r'<figure class="chart".*?</figure>', page, re.DOTALL)
    assert [chart.count("<svg") for chart in charts] == [1, 1], "losses, and the copied share of each sample"
    for label in (
        "over: small &lt;model&gt;", "training, each step", "training, smoothed", "held-out", "steps",
        "best: step 30, 3.200 nats/token, 1.154 bits/byte", "overfitting: held-out loss no longer improves",
        "loss (nats per token)", "epochs (passes over the text)",
    ):  # fmt: skip
        assert f">{label}</text>" in charts[0]
    for label in ("each sample", "held-out text", "copied (%)"):
        assert f">{label}</text>" in charts[1]
    assert report(tmp_path, "over").path.read_text() == page, "neither dates nor random names"


HOSTILE = "<script>alert(1)</script> \" onload='x' & {{ 7 * 7 }} ]]> --> \x00\x1b[31m\u202egnirts\u2066"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt; &#34; onload=&#39;x&#39; &amp; {{ 7 * 7 }} ]]&gt; --&gt; "
SHOWN += r"\x00\x1b[31m\u202egnirts\u2066"


def test_hostile_text_is_shown_as_text(tmp_path, text):
    """Names, settings and samples come from users and models: markup in them stays text, nothing hides or reorders."""
    folder = make_run(tmp_path / "a $b$ {{ 7 + 7 }}\u202e & co", text, HEALTHY, [HOSTILE, HOSTILE], optimizer="adamw")
    path = folder / "run.json"
    info = json.loads(path.read_text())
    info["model_name"] = info["data"]["summary"]["sources"][0] = info["environment"]["tensorflow"] = HOSTILE
    path.write_text(json.dumps(info))
    page = report(tmp_path, folder.name).path.read_text()
    assert page.count(SHOWN) == 6, "model, source and again in the data, both samples, environment"
    assert "<title>Report: a $b$ {{ 7 + 7 }}\\u202e &amp; co</title>" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    tags = Balanced()
    tags.feed(page)
    assert tags.open == []
    assert "<script" not in page


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
    assert "The training text was not found" in run.missing
    assert "--dataset" in run.missing
    (run,) = report(tmp_path, "over", dataset=str(kept)).runs
    assert run.memorisation.is_memorised
    kept.write_text(sample_text(100, seed=1))
    (run,) = report(tmp_path, "over", dataset=str(kept)).runs
    assert "is not the text that the run was trained on" in run.missing


def test_a_report_replaces_reports_and_nothing_else(tmp_path, over):
    page, numbers, picture = (tmp_path / f"my.{suffix}" for suffix in ("html", "json", "png"))
    for _ in range(2):
        report(tmp_path, "over", destination=page)
        for path in (page, numbers, picture):  # copied: nothing is known of these files but their content
            shutil.copy(path, tmp_path / "copy")
            shutil.move(tmp_path / "copy", path)
    for path, kind in ((page, "a report"), (numbers, "the numbers of a report"), (picture, "a picture")):
        kept = path.read_bytes()
        path.write_text("<!doctype html>mine")
        with pytest.raises(SettingsError, match=rf"{path.name} exists and is not {kind} of gpt2simple"):
            report(tmp_path, "over", destination=page)
        assert path.read_text() == "<!doctype html>mine"
        path.write_bytes(kept)
    for name in ("x.json", "x.PNG"):
        with pytest.raises(SettingsError, match=rf"{name}'; expected the name of an HTML file, such as"):
            report(tmp_path, "over", destination=tmp_path / name)
    with pytest.raises(SettingsError, match=r"^destination_path is '\.'; expected the name of an HTML file"):
        report(tmp_path, "over", destination=type(tmp_path)("."))
    with pytest.raises(DataError, match=r"There is no file 'nosuch\.txt'"):
        report(tmp_path, "over", dataset="nosuch.txt")


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
    with pytest.raises(RunError, match=r"trained by gpt-2-simple, which records no losses"):
        report(tmp_path, "old")


def test_copying_of_late_samples_is_told_beside_that_of_all(tmp_path, text):
    learned = [copy.removeprefix("So: ").removesuffix(" and no more.") for copy in copies(text)]
    make_run(tmp_path / "late", text, OVERTRAINED, [*[NEW * 20] * 8, *learned])
    (run,) = report(tmp_path, "late").runs
    assert run.memorisation.is_memorised
    assert run.memorisation.judged_share == 1.0
    page = (tmp_path / "late" / "report.html").read_text()
    assert f"{run.memorisation.share:.1%} in all samples;\n100.0% in the last 3;\n" in page


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


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1440])
def test_chromium_shows_the_page_without_complaint(tmp_path, over, width):
    """The browser writes console messages to stderr; the page forbids scripts, so a page around it measures."""
    browser = shutil.which("chromium") or from_environment("GPT2SIMPLE_CHROMIUM", "a Chromium")
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
