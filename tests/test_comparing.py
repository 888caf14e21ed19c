"""Models side by side: the same text and budget for each, nothing done twice, one page."""

import json

import numpy as np
import pytest
import session_case

import gpt2simple
from gpt2simple import comparing
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.evaluation.compare import CompareRow
from gpt2simple.memory_peak import PeakMemory

QUICK = {
    "tokens": 1024, "window": 16, "looks": 4, "nsamples": 2, "length": 12, "learning_rate": 1e-2,
    "precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    session_case.write_small_model(folder / "models" / "one")
    session_case.write_small_model(folder / "models" / "two")
    session_case.write_text(folder / "text.txt")
    return folder


@pytest.fixture(autouse=True)
def _inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("GPT2SIMPLE_CACHE", str(place / "cache"))


@pytest.fixture(scope="module")
def result(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("GPT2SIMPLE_CACHE", str(place / "cache"))
        return gpt2simple.compare("text.txt", ["one", "two"], **QUICK)


def test_each_model_has_the_same_text_and_budget(place, result):
    assert [row.model_name for row in result.rows] == ["one", "two"]
    for row in result.rows:
        assert row.steps == 32
        assert row.looks[-1][0] == pytest.approx(32 * 2 * 16, rel=0.05), "but for the padding at the end of a pass"
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
    assert "<script" not in page
    values = json.loads(result.json_path.read_text())
    assert values["rows"][0]["bits_per_byte"] == result.rows[0].bits_per_byte
    assert values["best"] in ("one", "two")
    assert "<table>" in result._repr_html_()


def test_what_is_done_is_not_done_again_and_comes_out_equal(result, monkeypatch):
    monkeypatch.setattr(comparing, "_measured", None)
    again = gpt2simple.compare("text.txt", ["one", "two"], **QUICK)
    assert again == result
    assert CompareRow.from_json(json.loads(result.json_path.read_text())["rows"][1]) == result.rows[1]


def test_one_that_was_stopped_between_models_goes_on_with_the_next(place, result, monkeypatch):
    (place / "checkpoint" / "compare" / "compare-two.json").unlink()
    done = []
    usual = comparing._measured
    monkeypatch.setattr(comparing, "_measured", lambda *given: done.append(given[0]) or usual(*given))
    again = gpt2simple.compare("text.txt", ["one", "two"], **QUICK)
    assert done == ["two"]
    assert again.rows[1].bits_per_byte == pytest.approx(result.rows[1].bits_per_byte, rel=1e-6)
    assert again.rows[1].best_step == result.rows[1].best_step


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_fewer_than_two_models_are_refused(names):
    with pytest.raises(SettingsError, match=r"expected two or more different models"):
        gpt2simple.compare("text.txt", names, name="other")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(SettingsError, match=r"window is 99; one of the models reads at most 32\. Give up to 32"):
        gpt2simple.compare("text.txt", ["one", "two"], name="other", window=99)
    with pytest.raises(DataError, match=r"compared by held-out text, and there is none. validation_split is 0"):
        gpt2simple.compare("text.txt", ["one", "two"], name="other", validation_split=0.0)


def test_the_peak_of_memory_is_seen():
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        held = np.ones(50_000_000)
        held += 1
    assert during.bytes > before.bytes + 3e8
