"""The running figures of a run."""

import json
import math

import pytest

from gpt2simple.training.state import Progress


def test_the_smoothed_loss_is_the_bias_corrected_average_of_gpt_2_simple():
    progress, total, weight = Progress(), 0.0, 0.0
    assert math.isnan(progress.smoothed_loss)
    for loss in (3.0, 2.0, 4.0):
        progress.add_step(loss * 10, 10, 0.5)
        total, weight = total * 0.99 + loss * 0.01, weight * 0.99 + 0.01
        assert progress.smoothed_loss == pytest.approx(total / weight)
    assert (progress.step, progress.tokens, progress.seconds) == (3, 30, 1.5)


def test_the_first_smoothed_loss_is_the_loss():
    progress = Progress()
    progress.add_step(50.0, 10, 1.0)
    assert progress.smoothed_loss == pytest.approx(5.0)


def test_a_pass_is_averaged_over_its_tokens_and_the_next_begins_anew():
    progress = Progress()
    progress.add_step(10.0, 10, 1.0)
    progress.add_step(90.0, 30, 1.0)
    assert progress.end_epoch() == 100.0 / 40
    progress.add_step(30.0, 10, 1.0)
    assert progress.end_epoch() == 3.0


def test_the_best_look_is_the_first_of_the_lowest():
    progress = Progress()
    answers = []
    for step, loss in enumerate([5.0, 4.0, 4.0, 4.5, 3.9]):
        progress.step = step
        answers.append(progress.add_look(loss, loss / 2))
    assert answers == [True, True, False, False, True]
    assert (progress.best_step, progress.best_loss, progress.best_bits_per_byte) == (4, 3.9, 1.95)
    assert (progress.looks, progress.looks_since_best) == (5, 0)
    progress.add_look(3.9, 1.0)
    assert progress.looks_since_best == 1


def test_a_loss_that_is_no_number_is_never_the_best():
    progress = Progress()
    progress.add_look(4.0, 1.0)
    assert not progress.add_look(math.nan, math.nan)
    assert progress.best_loss == 4.0


def test_through_json_and_back_to_the_last_bit():
    progress = Progress()
    for number in range(1, 8):
        progress.add_step(number / 3, 7, 0.1)
        progress.add_look(1 / number, 0.1 * number)
    again = Progress.from_json(json.loads(json.dumps(progress.to_json())))
    assert again == progress
    assert Progress.from_json({**progress.to_json(), "of_a_later_version": 1}) == progress
