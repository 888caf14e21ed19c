"""Models side by side: the same text and budget for each, nothing done twice, one page."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api import compare, session
from gpt2simple.backend.keras import keras
from gpt2simple.backend.memory import PeakMemory
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.evaluation.report.comparison import comparison_page
from gpt2simple.evaluation.report.language_models import CompareRow
from gpt2simple.runs.figure import to_svg
from tests.helpers.small_runs import work_in, write_small_model, write_text

QUICK = {
    "tokens": 1024, "window": 16, "evaluations": 4, "nsamples": 2, "length": 12, "learning_rate": 1e-2,
    "precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    write_small_model(folder / "models" / "one")
    write_small_model(folder / "models" / "two")
    write_text(folder / "text.txt")
    return folder


@pytest.fixture(autouse=True)
def _inside(place, monkeypatch):
    work_in(monkeypatch, place)


@pytest.fixture(scope="module")
def result(place):
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, place)
        return gpt2simple.compare("text.txt", ["one", "two"], **QUICK)


def test_each_model_has_the_same_text_and_budget(place, result):
    assert [row.model_name for row in result.rows] == ["one", "two"]
    for row in result.rows:
        assert row.steps == 32
        assert row.evaluations[-1][0] == pytest.approx(32 * 2 * 16, rel=0.05), (
            "but for the padding at the end of a pass"
        )
        assert row.memory_bytes > 1e8
        assert row.seconds > 0
        assert len(row.samples) == 2
        assert row.best_step > 0
    runs = [json.loads((place / "checkpoint" / f"compare-{n}" / "run.json").read_text()) for n in ("one", "two")]
    assert runs[0]["data"]["fingerprint"] == runs[1]["data"]["fingerprint"]
    # Equal models with equal seeds: whatever differs between the two rows, the comparison itself brought in.
    assert result.rows[0].bits_per_byte == pytest.approx(result.rows[1].bits_per_byte, rel=1e-5)
    assert result.rows[0].samples == result.rows[1].samples


def test_the_parts_are_the_text_and_do_not_overlap(place, result):
    parts = [
        json.loads((place / "checkpoint/compare" / name).read_text()) for name in ("train.jsonl", "held-out.jsonl")
    ]
    assert "".join(parts) == (place / "text.txt").read_text()
    assert 0.05 < len(parts[1]) / len("".join(parts)) < 0.15


def test_a_table_a_figure_and_a_page_are_written(result):
    assert "held-out bits/byte" in result.summary()
    assert "predicts the held-out text best" in result.summary()
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    page = result.path.read_text()
    assert page.count("<section>") == 2
    assert page.count("<svg") == 1
    assert f">one: {result.rows[0].parameters:,} parameters</text>" in page
    assert "<script" not in page
    values = json.loads(result.json_path.read_text())
    assert values["rows"][0]["bits_per_byte"] == result.rows[0].bits_per_byte
    assert values["best"] in ("one", "two")
    assert values["asked"]["learning_rate"] == 1e-2
    assert "<table>" in result._repr_html_()


def test_names_and_samples_are_shown_as_text(result):
    hostile = "</pre><script>alert(1)</script>\"'&\x00\u202e$x$"
    row = dataclasses.replace(
        result.rows[0], model_name=hostile, samples=(hostile,), copied_spans=(((0, 6),),), verdict=hostile
    )
    replaced = dataclasses.replace(result, rows=(row, row))
    page = comparison_page(replaced, to_svg(replaced.figure()))
    shown = r"&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;\x00\u202e$x$"
    assert page.count(f"<pre>\n<mark>&lt;/pre&gt;</mark>{shown}</pre>") == 2
    assert page.count(f"<h3>&lt;/pre&gt;{shown}</h3>") == 2
    for text in (page, replaced._repr_html_()):
        assert f"<td>&lt;/pre&gt;{shown}</td>" in text
        assert "<script" not in text
        assert "\x00" not in text
        assert "\u202e" not in text


def test_what_is_done_is_not_done_again_and_comes_out_equal(result, monkeypatch):
    monkeypatch.setattr(compare, "_measured", None)
    again = gpt2simple.compare("text.txt", ["one", "two"], **QUICK)
    assert again == result
    assert CompareRow.from_json(json.loads(result.json_path.read_text())["rows"][1]) == result.rows[1]


def test_a_damaged_result_is_noticed_and_computed_again(place, result, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "damaged"))
    kept = Path("checkpoint/compare/compare-two.json")
    values, done = json.loads(kept.read_text()), []
    values["row"]["loss"] += 0.5
    kept.write_text(json.dumps(values))
    monkeypatch.setattr(compare, "_measured", lambda candidate, *_: done.append(candidate.label) or result.rows[1])
    assert gpt2simple.compare("text.txt", ["one", "two"], **QUICK).rows == result.rows
    assert done == ["two"]


def test_one_that_was_stopped_between_models_goes_on_with_the_next(place, result, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(place, tmp_path / "copy"))
    Path("checkpoint/compare/compare-two.json").unlink()
    done = []
    measured = compare._measured

    def watched(candidate, *arguments):
        done.append(candidate.label)
        return measured(candidate, *arguments)

    monkeypatch.setattr(compare, "_measured", watched)
    again = gpt2simple.compare("text.txt", ["one", "two"], **QUICK)
    assert done == ["two"]
    assert again.rows[1].bits_per_byte == pytest.approx(result.rows[1].bits_per_byte, rel=1e-6)
    assert again.rows[1].best_step == result.rows[1].best_step


class InterruptsItself(keras.callbacks.Callback):
    """Ctrl-C in the middle of training."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 4:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_ends_the_comparison_and_the_next_call_goes_on(place, result, monkeypatch, capsys):
    monkeypatch.setenv("GPT2SIMPLE_CACHE", str(place / "not-used"))
    asked = {**QUICK, "name": "stopped", "cache_dir": str(place / "own-cache")}
    usual = session.Session.finetune
    with monkeypatch.context() as patch:
        patch.setattr(
            session.Session, "finetune", lambda *given, **more: usual(*given, callbacks=InterruptsItself(), **more)
        )
        with pytest.raises(KeyboardInterrupt):
            gpt2simple.compare("text.txt", ["one", "two"], **asked)
    assert "Interrupted at step 5 of one. The same call continues from there." in capsys.readouterr().err
    assert not (place / "checkpoint/stopped/stopped-one.json").exists()
    assert not (place / "checkpoint/stopped-two").exists()
    again = gpt2simple.compare("text.txt", ["one", "two"], **asked)
    assert [row.steps for row in again.rows] == [32, 32]
    assert again.rows[0].bits_per_byte == pytest.approx(result.rows[0].bits_per_byte, rel=1e-5)
    assert not (place / "not-used").exists()


def test_other_settings_or_another_text_under_the_same_name_are_refused_and_replace_nothing(place, result):
    before = {path: path.read_bytes() for path in result.path.parent.iterdir()}
    with pytest.raises(
        RunError,
        match=r"was started with learning_rate=0\.01, evaluations=4, and this call gives learning_rate=0\.5, "
        r"evaluations=8: .*Use the same text and settings to continue it, or another name than 'compare'",
    ):
        gpt2simple.compare("text.txt", ["one", "two"], **{**QUICK, "learning_rate": 0.5, "evaluations": 8})
    write_text(place / "other.txt", seed=1)
    with pytest.raises(
        RunError, match=r"started with tokens=1024, and this call gives tokens=512; and with another text:"
    ):
        gpt2simple.compare("other.txt", ["one", "two"], **{**QUICK, "tokens": 512})
    assert {path: path.read_bytes() for path in result.path.parent.iterdir()} == before


def test_a_folder_of_the_user_is_no_comparison(place, tmp_path):
    mine = tmp_path / "mine" / "train.jsonl"
    mine.parent.mkdir()
    mine.write_text('"mine"\n')
    with pytest.raises(SettingsError, match=r"mine is not empty, and nothing in it is replaced\. Name a new folder"):
        gpt2simple.compare("text.txt", ["one", "two"], name="mine", checkpoint_dir=tmp_path, **QUICK)
    for text in ("[]", "{}", "no JSON"):
        (mine.parent / "compare.json").write_text(text)
        with pytest.raises(
            SettingsError, match=r"compare\.json is not from a comparison \(.+\), so nothing .* than 'mine'"
        ):
            gpt2simple.compare("text.txt", ["one", "two"], name="mine", checkpoint_dir=tmp_path, **QUICK)
        assert (mine.parent / "compare.json").read_text() == text
    assert mine.read_text() == '"mine"\n'


def test_a_comparison_begun_with_the_old_name_of_a_setting_is_held_to_its_value(place, result):
    path = result.json_path
    now = path.read_text()
    path.write_text(now.replace('"evaluations": 4', '"looks": 4'))
    try:
        with pytest.raises(RunError, match=r"started with evaluations=4, and this call gives evaluations=8: "):
            gpt2simple.compare("text.txt", ["one", "two"], **{**QUICK, "evaluations": 8})
    finally:
        path.write_text(now)


def test_a_model_that_was_better_before_training_is_said_to_be(result):
    row = dataclasses.replace(result.rows[0], best_step=0, bits_per_byte=1.0)
    worse = dataclasses.replace(result, rows=(row, result.rows[1]))
    assert "before training; measured: 32" in row.cells()
    assert worse.conclusion().endswith("1.000 bits/byte at step 32; before training it was better still.")
    assert "Step 32:" in comparison_page(worse, "")


def test_the_old_name_of_a_setting_is_refused_with_the_new_one():
    with pytest.raises(SettingsError, match=r"^compare\(\) has no setting named 'looks'\. Did you mean evaluations\?$"):
        gpt2simple.compare("text.txt", ["one", "two"], looks=4)


def test_samples_that_cannot_be_drawn_are_refused_before_a_model_is_trained():
    with pytest.raises(SettingsError, match=r"^temperature is 1e-09; expected 0 or at least 1e-06\.$"):
        gpt2simple.compare("text.txt", ["one", "two"], name="other", temperature=1e-9)


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_fewer_than_two_models_are_refused(names):
    with pytest.raises(SettingsError, match=r"expected two or more different models"):
        gpt2simple.compare("text.txt", names, name="other")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(SettingsError, match=r"window is 99; one of the models reads at most 32 tokens\. Use a smaller"):
        gpt2simple.compare("text.txt", ["one", "two"], name="other", window=99)
    with pytest.raises(
        DataError, match=r"compared by their held-out loss, but nothing is held out. validation_split is 0"
    ):
        gpt2simple.compare("text.txt", ["one", "two"], name="other", validation_split=0.0)


def test_the_peak_of_memory_is_seen():
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        held = np.ones(50_000_000)
        held += 1
    assert during.bytes > before.bytes + 3e8
