"""The verdict on curves with known answers: overfitted at the right step, healthy runs left in peace."""

import json
import math
import random
from dataclasses import replace

import pytest

from gpt2simple.evaluation.verdict import judge, verdict_title
from gpt2simple.runs.metrics import Metrics
from gpt2simple.runs.records import ClassifierFigures, EvaluationRecord, LanguageFigures, RunPlan, StepRecord
from gpt2simple.settings import ClassifierSettings, FinetuneSettings

PLAN = RunPlan(
    model_name="tiny", run_dir=None, first_step=0, last_step=None, steps_per_epoch=20.0, tokens_per_step=64,
    parameters=1_000_000, train_tokens=4_000, held_out_tokens=100, print_every=10,
)  # fmt: skip


def falling(step):
    return 5.0 - 0.01 * step


def run_of(held_out, *, first_look=25, every=25, plan=PLAN, train=falling, last=100):
    """A run whose training loss falls by 0.01 a step unless ``train`` says otherwise, with these held-out losses."""
    looks = [first_look + every * number for number in range(len(held_out))]
    last = max([*looks, last])
    steps = [
        StepRecord(
            step=n, epoch=n / 20, loss=train(n), smoothed_loss=5.0, learning_rate=1e-4, gradient_norm=1.0,
            tokens=64 * n, seconds=float(n), tokens_per_second=64.0,
        )
        for n in range(1, last + 1)
    ]  # fmt: skip
    evaluations = [
        EvaluationRecord(
            step=step, epoch=step / 20, train_loss=5.0,
            figures=LanguageFigures(nats=100 * loss, target_tokens=100, target_bytes=300),
            is_best=loss == min(held_out[: number + 1]) and held_out.index(loss) == number, seconds=1.0,
        )
        for number, (step, loss) in enumerate(zip(looks, held_out, strict=True))
    ]  # fmt: skip
    return Metrics(starts=[plan], steps=steps, evaluations=evaluations)


@pytest.mark.parametrize(
    ("held_out", "title"),
    [
        ([0.9, 0.5, 0.4, 0.5, 0.6, 0.7], "Overfitted"),
        ([0.9, 0.5, 0.4, 0.3], "Still improving"),
        ([0.9], "Too early to tell"),
        ([], "Not evaluated"),
    ],
)
def test_a_classifier_gets_the_same_verdict_in_a_few_words(held_out, title):
    recorded = run_of(held_out, plan=replace(PLAN, last_step=150))
    recorded.evaluations = [
        replace(one, figures=ClassifierFigures(class_nats=10 * one.loss, correct=5, texts=10, by_accuracy=False))
        for one in recorded.evaluations
    ]
    assert verdict_title(recorded, ClassifierSettings()) == title
    assert verdict_title(Metrics(), ClassifierSettings()) == "Not evaluated"


def test_an_overtrained_run_is_called_so_at_the_right_step():
    verdict = judge(run_of([4.0, 3.5, 3.2, 3.3, 3.6, 4.1]), FinetuneSettings())
    assert verdict.kind == "overfitted"
    assert (verdict.best_step, verdict.steps_since_best, verdict.evaluations_since_best) == (75, 75, 3)
    assert verdict.best_epoch == 3.75
    assert verdict.gap == pytest.approx(4.1 - 3.5, abs=0.05)
    assert verdict.gap_at_best == pytest.approx(3.2 - 4.25, abs=0.05)
    assert verdict.tokens_per_parameter == 0.004
    text = verdict.summary()
    assert text.startswith(
        "Overfitted. Held-out loss was lowest at step 75 (epoch 3.8), 3.200 nats/token, and has risen to 4.1"
    )
    for remedy in (
        "Stop at step 75",
        "one token for every 250 parameters",
        "smaller model",
        "dropout=0.1",
        "last_n_layers",
        "rate=3e-05",
    ):
        assert remedy in text
    assert json.loads(json.dumps(verdict.to_json()))["kind"] == "overfitted"


@pytest.mark.parametrize(
    ("held_out", "kind"),
    [
        ([4.0, 3.5, 3.2, 3.1], "still_learning"),
        ([4.0, 3.5, 3.2, 3.3], "still_learning"),  # one look above may be noise
        ([4.0, 3.2, 3.201, 3.21, 3.205], "at_its_best"),
        ([], "not_measured"),
    ],
)
def test_healthy_runs_are_not_called_overfitted(held_out, kind):
    verdict = judge(run_of(held_out), FinetuneSettings())
    assert verdict.kind == kind
    assert verdict.advice
    assert "memorised" not in verdict.explanation


def test_a_run_that_never_got_better_is_advised_to_slow_down():
    verdict = judge(run_of([3.0, 3.4, 3.9, 4.2], first_look=0), FinetuneSettings(dropout=0.1))
    assert verdict.kind == "learned_nothing"
    assert verdict.advice[0].startswith("Lower the learning rate: learning_rate=3e-05 instead of 0.0001")
    assert "dropout" not in verdict.summary()


def test_advice_for_an_adapter_is_about_its_own_learning_rate_and_rank():
    verdict = judge(run_of([3.0, 2.0, 3.9, 4.2, 4.4]), FinetuneSettings(lora_rank=8))
    assert "Train fewer parameters, such as lora_rank=2." in verdict.advice
    assert "Lower the learning rate: learning_rate=0.0003 instead of 0.001." in verdict.advice
    assert "layers" not in verdict.summary()


def test_advice_fits_the_run():
    plan = replace(PLAN, train_tokens=40_000_000)
    settings = FinetuneSettings(train_last_n_layers=1, learning_rate=3e-4)
    verdict = judge(run_of([4.0, 3.5, 3.6, 3.8, 4.1], first_look=5, every=5, plan=plan), settings)
    assert "that helps most" in verdict.summary()
    assert "fewer layers" not in verdict.summary()
    assert verdict.advice[1].startswith("Lower the learning rate"), "the best step came within the first pass"


def test_a_run_without_a_step_has_no_verdict():
    assert judge(Metrics(), FinetuneSettings()) is None
    assert judge(Metrics(starts=[PLAN]), FinetuneSettings()) is None


@pytest.mark.parametrize(
    ("patience", "held_out", "kind"),
    [
        (1, [4.0, 3.5, 3.2, 3.6], "overfitted"),
        (2, [4.0, 3.2, 3.201, 3.202], "at_its_best"),
        (2, [4.0, 3.5, 3.2, 3.6], "still_learning"),
        (9, [4.0, 3.2, 3.3, 3.4, 3.6], "overfitted"),
    ],
)
def test_a_run_that_its_own_patience_stopped_is_not_still_learning(patience, held_out, kind):
    assert judge(run_of(held_out), FinetuneSettings(early_stopping_patience=patience)).kind == kind


def test_patience_says_nothing_of_a_run_that_had_its_steps_given():
    plan = replace(PLAN, last_step=100)
    assert judge(run_of([4.0, 3.5, 3.2, 3.3], plan=plan), FinetuneSettings(early_stopping_patience=1)).kind == (
        "still_learning"
    )


def exploded(step):
    """As one run went when its learning rate was raised to 0.03 after step 25."""
    return 5.3 - 0.024 * step if step <= 25 else min(4.7 + 0.3 * (step - 25), 6.29) + 0.1 * math.sin(step)


@pytest.mark.parametrize("held_out", [[4.65, 6.2, 6.18, 6.18], [4.65, 6.18]])
def test_a_run_whose_training_loss_rose_as_well_diverged_and_did_not_memorise(held_out):
    verdict = judge(run_of(held_out, train=exploded), FinetuneSettings(learning_rate=0.03))
    assert verdict.kind == "diverged"
    text = verdict.summary()
    assert text.startswith("Diverged. Held-out loss was lowest at step 25, 4.650 nats/token, and has risen to ")
    assert "training loss has risen too, from its lowest, 4.7" in text
    assert "the model did not memorise the text, it got worse on all text." in text
    assert verdict.advice == (
        "Lower the learning rate: learning_rate=0.0001 instead of 0.03.",
        'Continue from step 25: finetune(..., restore_from="best", learning_rate=0.0001).',
    )


@pytest.mark.parametrize("ruined", [math.nan, math.inf, 1.5e12])
def test_a_model_that_one_step_ruined_diverged_although_no_training_loss_shows_it(ruined):
    verdict = judge(run_of([4.65, ruined], last=50), FinetuneSettings())
    assert verdict.kind == "diverged"
    assert verdict.explanation.endswith(
        f"and has risen to {ruined:.4g}: the last steps have ruined the model's weights."
    )
    assert judge(run_of([4.0, 3.2, 6.0, 9.0, 12.0]), FinetuneSettings()).kind == "overfitted", "memorising takes longer"


def test_held_out_loss_that_rises_while_training_loss_stays_is_no_divergence():
    for seed in range(20):
        draw = random.Random(seed)
        at_its_floor = run_of(
            [4.0, 3.5, 3.2, 3.6, 4.0, 4.4], train=lambda n, d=draw: max(4.0 - 0.06 * n, 0.3) + d.gauss(0.0, 0.05)
        )
        assert judge(at_its_floor, FinetuneSettings()).kind == "overfitted"


def test_a_small_rise_of_training_loss_counts_where_held_out_loss_rises_as_much():
    rising = run_of(
        [4.1, 3.7, 3.9, 4.0, 4.1], train=lambda n: 4.5 - 0.02 * n if n < 50 else 3.5 + 0.004 * (n - 50), last=150
    )
    assert judge(rising, FinetuneSettings()).kind == "diverged"


def test_a_run_that_diverged_from_its_first_step_is_to_start_again():
    verdict = judge(run_of([5.0, 6.0, 6.5], first_look=0, train=lambda step: 5.0 + 0.02 * step), FinetuneSettings())
    assert verdict.kind == "diverged"
    assert "lowest before training, 5.000" in verdict.explanation
    assert verdict.advice[1] == 'Start again: finetune(..., restore_from="fresh", overwrite=True, learning_rate=3e-05).'


def test_divergence_shows_without_held_out_text():
    verdict = judge(run_of([], train=exploded), FinetuneSettings())
    assert verdict.kind == "diverged"
    assert verdict.explanation.startswith("Training loss has risen from its lowest, ")
    assert verdict.advice[1].startswith("Start again")


def test_noise_of_the_training_loss_is_no_divergence():
    for seed in range(20):
        draw = random.Random(seed)
        noisy = [max(4.0 - 0.005 * n + draw.gauss(0.0, 0.7), 0.1) for n in range(101)]
        for last in (20, 30, 100):
            assert judge(run_of([], train=noisy.__getitem__, last=last), FinetuneSettings()).kind == "not_measured"
        learned = [0.05 + abs(draw.gauss(0.0, 0.03)) if n > 80 else 4.0 - 0.049 * n for n in range(301)]
        overtrained = run_of([4.0, 3.5, 3.2, 3.3, 3.6, 4.1], train=learned.__getitem__, last=300)
        assert judge(overtrained, FinetuneSettings()).kind == "overfitted"


@pytest.mark.parametrize(
    ("held_out", "first_look", "last"), [([4.0], 0, 12), ([4.0, 4.1], 0, 12), ([4.0, 3.5], 25, 60), ([4.0], 25, 30)]
)
def test_one_or_two_evaluations_are_too_few_for_a_verdict(held_out, first_look, last):
    verdict = judge(run_of(held_out, first_look=first_look, last=last), FinetuneSettings())
    assert verdict.kind == "cannot_say"
    times = "1 time" if len(held_out) == 1 else "2 times"
    assert verdict.summary().startswith(
        f"Too early to tell. Held-out loss was evaluated {times} in {verdict.step} steps, too few to tell whether the "
        "model improves or memorises."
    )
    assert verdict.advice[0] == f"Train longer: finetune(..., steps={max(2 * verdict.step, 100)})."
    assert verdict.advice[1].startswith("Or evaluate more often: eval_every=")
