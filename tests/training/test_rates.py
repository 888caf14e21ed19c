"""Callbacks that change the learning rate, through `finetune`, with a stop in between."""

import numpy as np
import pytest
import tf_keras

from gpt2simple.api.session import Session
from gpt2simple.backend.keras import keras
from gpt2simple.runs.metrics import read as read_metrics
from tests.helpers.small_runs import differing, last_state, write_model_and_text

RATE = 1e-2
LOOK_EVERY = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_model_and_text(tmp_path_factory.mktemp("rates"), "model")


def finetune(place, run_name, steps, callback=None, **changes):
    """Train in a session of its own; the rates of all steps of the run so far, as shares of the highest."""
    settings = {
        "window": 16, "learning_rate": RATE, "warmup_steps": 0, "eval_every": LOOK_EVERY, "sample_every": 0, "seed": 3,
    }  # fmt: skip
    with Session(str(place / "model"), run_name=run_name, checkpoint_dir=place, precision="float32") as session:
        result = session.finetune(place / "text.txt", steps=steps, callbacks=callback, **settings | changes)
    assert result.steps == steps
    return np.array([record.learning_rate for record in read_metrics(place / run_name).steps]) / RATE


def halving():
    """No look is better by 100: the rate is halved at the end of each stretch but the first."""
    return tf_keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=100.0)


def by_epoch():
    """Another rate for each stretch, whatever stood there before."""
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: RATE * [1.0, 0.5, 0.2, 0.1][epoch])


@pytest.mark.slow
def test_reduce_on_plateau_and_a_resumed_run_equals_the_straight_one_bit_for_bit(place):
    """Stopped where the callback has just halved the rate: the checkpoint was written before that, and lost it."""
    np.testing.assert_allclose(finetune(place, "plateau", 6, halving()), [1, 1, 1, 1, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(finetune(place, "stopped", 4, halving()), [1, 1, 1, 1], rtol=1e-6)
    assert last_state(place / "stopped")["rate_factor"] == 0.5
    np.testing.assert_allclose(finetune(place, "stopped", 6), [1, 1, 1, 1, 0.5, 0.5], rtol=1e-6)
    # At the end of the straight run the callback has halved the rate once more.
    assert differing(last_state(place / "stopped"), last_state(place / "plateau")) == ["rate_factor"]


def test_a_rate_reduced_before_a_kill_is_in_the_checkpoint_of_that_look(place):
    """A kill leaves what the last checkpoint holds. Here another callback breaks the run off, after `halving` acted."""

    class Killed(BaseException):
        pass

    class Kill(tf_keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    with pytest.raises(Killed):
        finetune(place, "killed", 8, [halving(), Kill()])
    assert last_state(place / "killed")["step"] == 4
    np.testing.assert_allclose(finetune(place, "killed", 6), [1, 1, 1, 1, 0.5, 0.5], rtol=1e-6)


@pytest.mark.slow  # half a minute: two passes over a text
def test_a_scheduler_by_epochs_goes_on_with_the_epoch_of_the_run(place):
    """Stopped within an epoch, and during the warm-up, whose share is of what the scheduler says."""
    expected = np.array([1 / 3, 2 / 3, 0.5, 0.5, 0.2, 0.2, 0.1, 0.1])
    straight = finetune(place, "scheduled", 8, by_epoch(), warmup_steps=3)
    np.testing.assert_allclose(straight, expected, rtol=1e-6)
    for steps in (1, 5, 8):
        resumed = finetune(place, "scheduled-stopped", steps, by_epoch(), warmup_steps=3)
        np.testing.assert_allclose(resumed, expected[:steps], rtol=1e-6)


def test_a_scheduler_that_multiplies_goes_on_from_the_rate_that_was(place):
    """It is given the rate of the last step, also after a resume."""
    falling = [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5) for _ in range(2)]
    np.testing.assert_allclose(finetune(place, "falling", 2, falling[0], warmup_steps=4), [1 / 8, 2 / 8], rtol=1e-6)
    both = [1 / 8, 2 / 8, 3 / 16, 4 / 16]
    np.testing.assert_allclose(finetune(place, "falling", 4, falling[1], warmup_steps=4), both, rtol=1e-6)
