"""The promise behind reports, on a model that knows English and a text that it never saw: minutes long."""

import os
from pathlib import Path

import pytest

import gpt2simple
from gpt2simple.observers import metrics

pytestmark = pytest.mark.slow


@pytest.fixture
def hamlet():
    folder = os.environ.get("GPT2SIMPLE_TEST_DATA")
    if not folder:
        pytest.skip("GPT2SIMPLE_TEST_DATA is not set")
    return Path(folder) / "text" / "hamlet-screenplay.txt"


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPT2SIMPLE_CACHE", str(tmp_path / "cache"))


def test_a_run_that_is_overtrained_on_purpose_is_called_so_and_its_samples_memorised(hamlet, tmp_path):
    (tmp_path / "ten.txt").write_bytes(hamlet.read_bytes()[:10_000])
    gpt2simple.finetune(
        "ten.txt", model_name="tiny", steps=600, window=128, batch_size=8, learning_rate=1e-3, seed=1, eval_every=20,
        sample_every=100, sample_length=200,
    )  # fmt: skip
    (run,) = gpt2simple.report("run1").runs
    looks = metrics.read(tmp_path / "checkpoint" / "run1").evaluations
    assert run.verdict.kind == "overfitted"
    assert run.verdict.best_step == min(looks, key=lambda look: look.loss).step
    assert run.verdict.gap > 1.0
    assert run.memorisation.is_memorised
    assert max(run.memorisation.sample_shares) > 0.2
    assert "<mark>" in (tmp_path / "checkpoint" / "run1" / "report.html").read_text()


def test_a_healthy_run_is_not_accused(hamlet):
    gpt2simple.finetune(str(hamlet), model_name="tiny", steps=100, eval_every=20, sample_every=50, seed=1)
    (run,) = gpt2simple.report("run1").runs
    assert run.verdict.kind == "still_learning"
    assert not run.memorisation.is_memorised
