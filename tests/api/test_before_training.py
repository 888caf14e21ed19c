"""What is said before the first step."""

import pytest

from gpt2simple.api.finetune import before_start
from gpt2simple.api.session import Session
from gpt2simple.data.summary import DataSummary
from gpt2simple.training.plan import ENDLESS, StepPlan
from tests.helpers.small_runs import QUICK, write_small_model

TEXT = DataSummary(
    sources=("a.txt",),
    files=1,
    documents=1,
    duplicates=0,
    near_duplicates=0,
    characters=4000,
    bytes=4000,
    tokens=1000,
    parameters=50_000,
    train_tokens=900,
    held_out_tokens=100,
    messages=("A remark about the split.",),
)


def said(last_step, seconds_per_step=3.0):
    plan = StepPlan(
        last_step=last_step, eval_every=10, save_every=None, sample_every=0, patience=5, steps_per_epoch=50.0
    )
    return list(before_start(TEXT, plan, seconds_per_step))


def test_the_text_is_summed_up_with_the_remarks_of_its_split():
    summary, _ = said(None)
    assert summary.startswith("Text: 1 file, 1 document, 4,000 characters, 1,000 tokens (4.00 bytes each)")
    assert "Training: 900 tokens, 0.018 for each of the model's 50,000 parameters" in summary
    assert "Held out: 100 tokens (10.0%)" in summary
    assert "A remark about the split." in summary


@pytest.mark.parametrize(
    ("last_step", "seconds", "line"),
    [
        (None, 3.0, "A step takes about 3 s here, an epoch about 2 min; the run ends when held-out loss "
                    "stops improving, often after 2 to 6 epochs."),
        (1, 0.0031, "1 step (0.0 epochs) take about 3 ms in all on this device."),
        (100, 0.0031, "100 steps (2.0 epochs) take about 310 ms in all on this device."),
        (4000, 3.0, "4,000 steps (80.0 epochs) take about 3.3 h in all on this device."),
        (7 + ENDLESS, 0.5, "A step takes about 500 ms here, an epoch about 25 s; the run ends when you "
                           "stop it."),
    ],
)  # fmt: skip
def test_the_time_it_will_take_is_said_in_the_unit_that_suits_it(last_step, seconds, line):
    assert said(last_step, seconds)[-1] == line


def test_on_a_gpu_the_time_is_the_least_that_it_will_take():
    plan = StepPlan(last_step=100, eval_every=10, save_every=None, sample_every=0, patience=5, steps_per_epoch=50.0)
    *_, line = before_start(TEXT, plan, 0.0031, at_least=True)
    assert line == "100 steps (2.0 epochs) take at least 310 ms in all on this device."


@pytest.mark.slow
def test_finetune_warns_of_a_text_that_the_model_will_know_by_heart(tmp_path, messages):
    folder = write_small_model(tmp_path / "models" / "small")
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be: that is the question.", encoding="utf-8")
    with Session(str(folder), checkpoint_dir=tmp_path / "checkpoint") as session:
        session.finetune(str(text), steps=1, cache_dir=str(tmp_path / "cache"), **QUICK)
    told = "\n".join(messages)
    assert "Text: 1 file, 1 document, " in told
    assert "so the model will memorise it after a few passes. " in told
