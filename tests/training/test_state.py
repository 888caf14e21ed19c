"""The running figures of a run."""

import json
import math

import pytest

from gpt2simple.runs.records import LanguageFigures
from gpt2simple.training.state import TrainerState


def figures(loss):
    """Of 8 tokens; half as many bits per byte as nats per token."""
    return LanguageFigures(nats=8 * loss, target_tokens=8, target_bytes=16 / math.log(2))


def test_the_smoothed_loss_is_the_bias_corrected_average_of_gpt_2_simple():
    state, total, weight = TrainerState(), 0.0, 0.0
    assert math.isnan(state.smoothed_loss)
    for loss in (3.0, 2.0, 4.0):
        state.add_step(loss * 10, 10, 0.5)
        total, weight = total * 0.99 + loss * 0.01, weight * 0.99 + 0.01
        assert state.smoothed_loss == pytest.approx(total / weight)
    assert (state.step, state.tokens, state.seconds) == (3, 30, 1.5)


def test_the_first_smoothed_loss_is_the_loss():
    state = TrainerState()
    state.add_step(50.0, 10, 1.0)
    assert state.smoothed_loss == pytest.approx(5.0)


def test_a_pass_is_averaged_over_its_tokens_and_the_next_begins_anew():
    state = TrainerState()
    state.add_step(10.0, 10, 1.0)
    state.add_step(90.0, 30, 1.0)
    assert state.end_epoch() == 100.0 / 40
    state.add_step(30.0, 10, 1.0)
    assert state.end_epoch() == 3.0


def test_the_best_look_is_the_first_of_the_lowest():
    state = TrainerState()
    answers = []
    for step, loss in enumerate([5.0, 4.0, 4.0, 4.5, 3.9]):
        state.step = step
        answers.append(state.add_evaluation(figures(loss)))
    assert answers == [True, True, False, False, True]
    assert (state.best_step, state.best) == (4, {"loss": 3.9, "bits_per_byte": pytest.approx(1.95)})
    assert (state.evaluations, state.evaluations_since_best) == (5, 0)
    state.add_evaluation(figures(3.9))
    assert state.evaluations_since_best == 1


def test_a_loss_that_is_no_number_is_never_the_best():
    state = TrainerState()
    state.add_evaluation(figures(4.0))
    assert not state.add_evaluation(figures(math.nan))
    assert state.best["loss"] == 4.0


def test_through_json_and_back_to_the_last_bit():
    state = TrainerState()
    for number in range(1, 8):
        state.add_step(number / 3, 7, 0.1)
        state.add_evaluation(figures(1 / number))
    again = TrainerState.from_json(json.loads(json.dumps(state.to_json())))
    assert again == state
    assert TrainerState.from_json({**state.to_json(), "of_a_later_version": 1}) == state


def test_checkpoints_keep_the_names_that_older_versions_read():
    state = TrainerState(step=3, evaluations=2, evaluations_since_best=1, best_step=2, best=figures(4.0).best())
    stored = state.to_json()
    assert (stored["looks"], stored["looks_since_best"], stored["best_loss"]) == (2, 1, 4.0)
    assert stored["best_bits_per_byte"] == pytest.approx(2.0)
    empty = TrainerState.from_json(
        {"step": 1, "best_step": None, "best_loss": None, "best_bits_per_byte": None, "looks": 0}
    )
    assert empty.best == {}
