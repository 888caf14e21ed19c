"""The loop: when it looks, saves, samples and stops, and what it does when training goes wrong."""

import math
import os
import signal
from fractions import Fraction

import numpy as np
import pytest

from gpt2simple.backend.keras import keras
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import StorageError, TrainingError
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.data import steps_dataset
from gpt2simple.training.trainer import Trainer
from tests.helpers.small_runs import ONE_LAYER
from tests.helpers.training import (
    InterruptIn,
    KeptSteps,
    assert_equal,
    batch_of,
    data_of,
    plan_of,
    run_small,
    small_trainer,
    values_of,
)

FAST = FinetuneSettings(learning_rate=1e-2)


class AtStep(keras.callbacks.Callback):
    """Does something after a step."""

    def __init__(self, step, action):
        super().__init__()
        self.wanted, self.action, self.done = step, action, 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == self.wanted:
            self.action(self.model)


@pytest.fixture(scope="module")
def straight():
    """A run of 12 steps with everything on."""
    return run_small(plan_of(last_step=12, sample_every=4), None, FAST, sample=lambda step: f"text {step}")


def test_a_run_with_steps_goes_to_its_end(straight):
    assert straight.reason == "finished"
    assert straight.state.step == 12
    assert [record.step for record in straight.seen.of("StepRecord")] == list(range(1, 13))


def test_it_looks_before_the_first_step_at_its_interval_and_at_the_end(straight):
    looks = straight.seen.of("EvaluationRecord")
    assert [look.step for look in looks] == [0, 5, 10, 12]
    assert looks[0].loss == pytest.approx(math.log(257), abs=0.6)
    assert looks[-1].loss < looks[0].loss - 0.5
    assert looks[-1].is_best
    assert looks[0].figures.target_tokens == 64
    assert looks[0].figures.bits_per_byte == pytest.approx(looks[0].loss / math.log(2))


def test_the_records_say_what_was_done(straight):
    steps = straight.seen.of("StepRecord")
    assert [record.tokens for record in steps] == [32 * number for number in range(1, 13)]
    assert steps[0].learning_rate == pytest.approx(1e-3)  # a tenth of 1e-2: warm-up over 10 steps
    assert steps[-1].learning_rate == pytest.approx(1e-2)
    assert steps[0].smoothed_loss == pytest.approx(steps[0].loss)
    assert steps[4].epoch == 1.0
    seconds = [record.seconds for record in steps]
    assert seconds == sorted(seconds)
    passes = straight.seen.of("EpochRecord")
    assert [(record.step, record.epoch) for record in passes] == [(5, 1), (10, 2)]
    assert passes[0].train_loss == pytest.approx(np.mean([record.loss for record in steps[:5]]))


def test_it_samples_and_saves_when_due(straight):
    assert [(record.step, record.text) for record in straight.seen.of("SampleRecord")] == [
        (4, "text 4"), (8, "text 8"), (12, "text 12"),
    ]  # fmt: skip
    assert straight.keeper.steps == [5, 10, 12], "each look was better than those before"
    assert straight.keeper.best_steps == [5, 10, 12]


def test_with_save_every_it_saves_then_too():
    outcome = run_small(plan_of(last_step=5, eval_every=100, save_every=2), data_of(held_out=()))
    assert outcome.keeper.steps == [2, 4, 5]
    assert outcome.seen.of("EvaluationRecord") == []


class SlowSteps(keras.callbacks.Callback):
    """A clock by which each step takes some seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.now = seconds, 1000.0

    def __call__(self):
        return self.now

    def on_train_batch_begin(self, batch, logs=None):
        self.now += self.seconds


@pytest.mark.parametrize(
    ("plan", "held_out", "saved"),
    [
        ({"eval_every": 100}, False, [4, 8, 10]),  # 800 s after the start, 800 s after that, and the end
        ({"eval_every": 3}, True, [3, 6, 9, 10]),  # each look is the best so far, and saved: ten minutes never pass
        ({"eval_every": 100, "save_every": 5}, False, [5, 10]),
    ],
)
def test_it_saves_when_ten_minutes_have_passed_since_the_last_save(plan, held_out, saved):
    slow = SlowSteps(200.0)
    data = data_of() if held_out else data_of(held_out=())
    outcome = run_small(plan_of(last_step=10, **plan), data, FAST, callbacks=[slow], clock=slow)
    assert outcome.keeper.steps == saved


def test_between_looks_that_are_not_the_best_it_saves_every_ten_minutes_too():
    slow = SlowSteps(601.0)
    outcome = run_small(plan_of(last_step=10, eval_every=5), overfitting_data(), FAST, callbacks=[slow], clock=slow)
    assert outcome.keeper.steps == list(range(1, 11))


def overfitting_data():
    """What is held out is noise: it gets worse while the text is learned."""
    batch = batch_of(0)
    noise = np.random.default_rng(5).integers(0, 257, batch.targets.shape).astype(np.int32)
    return data_of(held_out=(batch._replace(targets=noise),))


def test_without_steps_it_stops_by_patience():
    outcome = run_small(plan_of(eval_every=4, patience=2), overfitting_data(), FAST)
    looks = outcome.seen.of("EvaluationRecord")
    assert outcome.reason == "patience"
    best = min(range(len(looks)), key=lambda number: looks[number].loss)
    assert len(looks) - 1 - best == 2, "patience counts looks since the best one"
    assert outcome.state.best_step == looks[best].step
    assert outcome.keeper.steps[-1] == outcome.state.step


def test_with_steps_it_goes_on_past_the_best_and_marks_it():
    outcome = run_small(plan_of(last_step=30, eval_every=5, patience=None), overfitting_data(), FAST)
    assert (outcome.reason, outcome.state.step) == ("finished", 30)
    assert outcome.state.best_step < 20
    assert [look.step for look in outcome.seen.of("EvaluationRecord") if look.is_best][-1] == outcome.state.best_step
    assert outcome.state.evaluations_since_best > 1


def test_ctrl_c_finishes_the_step_saves_and_says_so():
    interrupt = AtStep(3, lambda model: os.kill(os.getpid(), signal.SIGINT))
    outcome = run_small(plan_of(last_step=20, eval_every=10), callbacks=[interrupt])
    assert outcome.reason == "interrupted"
    assert outcome.state.step in (3, 4)
    assert outcome.keeper.steps == [outcome.state.step]


def test_ctrl_c_in_the_last_step_takes_effect_when_the_run_is_finished():
    outcome = run_small(plan_of(last_step=4), callbacks=[InterruptIn(3)], expect=pytest.raises(KeyboardInterrupt))
    assert (outcome.state.step, outcome.keeper.steps) == (4, [4])
    assert [look.step for look in outcome.seen.of("EvaluationRecord")] == [0, 4]


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_train_end"])
def test_ctrl_c_after_the_last_step_too(moment):
    """While callbacks have their say, and the last step is saved."""
    press = keras.callbacks.LambdaCallback(**{moment: lambda *_: os.kill(os.getpid(), signal.SIGINT)})
    outcome = run_small(plan_of(last_step=4), callbacks=[press], expect=pytest.raises(KeyboardInterrupt))
    assert (outcome.state.step, outcome.keeper.steps) == (4, [4])


def test_a_callback_may_stop_the_run():
    def stop(model):
        model.stop_training = True

    outcome = run_small(plan_of(last_step=20, eval_every=10), callbacks=[AtStep(3, stop)])
    assert (outcome.reason, outcome.state.step, outcome.keeper.steps) == ("callback", 3, [3])


LOWER = r"with a lower learning_rate or with precision=\"float32\"\.$"


def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing():
    def batch(number):
        batch = batch_of(number)
        return batch._replace(loss_mask=batch.loss_mask * np.float32(np.nan)) if number == 3 else batch

    good = {}
    trainer, variables = small_trainer(FAST, config=ONE_LAYER)
    remember = AtStep(3, lambda model: good.update(values_of(variables)))
    message = (
        r"^Training diverged: step 4 had a loss of nan and a gradient norm of nan; both must be finite\. "
        r"Likely causes: a learning_rate that is too high, clip_norm=0, or float16\. "
        r"Step 2, saved before, is kept\. Continue " + LOWER
    )
    outcome = run_small(
        plan_of(last_step=20, eval_every=10, save_every=2), data_of(micro_batch=batch), trainer=(trainer, variables),
        callbacks=[remember], expect=pytest.raises(TrainingError, match=message),
    )  # fmt: skip
    assert outcome.state.step == 3
    assert outcome.keeper.steps == [2], "step 3 may have ruined the weights"
    assert_equal(values_of(variables), good)


@pytest.mark.parametrize(("factor", "step", "held_out"), [(1e3, 10, False), (np.nan, 10, False), (1e3, 8, True)])
def test_weights_that_the_last_step_ruined_are_not_saved(factor, step, held_out):
    """The loss of a step is that of the weights before it."""
    trainer, variables = small_trainer(FAST, config=ONE_LAYER)
    ruin = AtStep(step, lambda _: [v.assign(v * factor) for v in variables.values()])
    data = data_of() if held_out else data_of(held_out=())
    message = r"^Training diverged: after step 10 the model's loss is \S+ nats\. .* Step \d, saved before, is"
    outcome = run_small(
        plan_of(last_step=10, eval_every=3, save_every=5), data, trainer=(trainer, variables), callbacks=[ruin],
        expect=pytest.raises(TrainingError, match=message),
    )  # fmt: skip
    assert 10 not in outcome.keeper.steps


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_weights_are_checked_by_the_evaluation_that_is_compiled_already(rows, monkeypatch):
    """The micro-batch by which they are checked has two rows, the batches held out more or fewer."""
    evaluate, seen = Trainer.evaluate_batches, []

    def evaluated(trainer, batches, *, alone=False):
        shapes = {batch.inputs.shape for batch in batches}
        seen.append((shapes, sum(float(batch.loss_mask.sum()) for batch in batches)))
        return evaluate(trainer, batches, alone=alone)

    monkeypatch.setattr(Trainer, "evaluate_batches", evaluated)
    data = data_of(held_out=(batch_of(1000, rows=rows),))
    run_small(plan_of(last_step=3, eval_every=3, save_every=2), data)
    length = data.held_out[0].inputs.shape[1]
    targets = [rows * length, 2 * length, rows * length]
    assert seen == [({(rows, length)}, count) for count in targets], "before, of step 2, of step 3"


def test_without_a_saved_step_the_advice_is_to_start_again():
    settings = FinetuneSettings(learning_rate=1e30, warmup_steps=0)
    expect = pytest.raises(TrainingError, match=r"No step was saved\. Start again " + LOWER)
    outcome = run_small(plan_of(last_step=20), data_of(held_out=()), settings, expect=expect)
    assert outcome.keeper.steps == []


def test_a_learning_rate_far_too_high_ends_in_that_message():
    settings = FinetuneSettings(learning_rate=1e30, warmup_steps=0, clip_norm=0.0)
    outcome = run_small(plan_of(last_step=20), data_of(held_out=()), settings, expect=pytest.raises(TrainingError))
    assert outcome.state.step < 20


def test_memory_that_does_not_suffice_is_said_in_words(monkeypatch):
    trainer, variables = small_trainer(config=ONE_LAYER)

    def fail(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(trainer, "fit", fail)
    expected = r"device has too little memory .* Lower batch_size or window, set gradient_checkpointing=True, or choose"
    run_small(plan_of(), trainer=(trainer, variables), expect=pytest.raises(TrainingError, match=expected))


class BugError(Exception):
    """What a callback, the user's or ours, may raise."""


class RaiseIn(keras.callbacks.Callback):
    """Raises in one of its methods, the so-manieth time that it is called."""

    def __init__(self, method, call):
        super().__init__()
        self.error, self.left = BugError("mine"), call
        setattr(self, method, self.fail)

    def fail(self, *_):
        self.left -= 1
        if self.left == 0:
            raise self.error


@pytest.mark.parametrize(
    ("method", "call", "saved"),
    [
        ("on_train_batch_begin", 4, [3]),
        ("on_train_batch_end", 3, [3]),
        ("on_epoch_end", 1, [5]),
        ("on_train_batch_end", 5, [5]),  # the step was a look, and is saved
        ("on_train_begin", 1, []),
    ],
)
def test_what_a_callback_raises_goes_through_unchanged_and_the_last_complete_step_is_saved(method, call, saved):
    trainer, variables = small_trainer(FAST, config=ONE_LAYER)
    callback = RaiseIn(method, call)
    outcome = run_small(
        plan_of(last_step=20), trainer=(trainer, variables), callbacks=[callback], expect=pytest.raises(BugError)
    )
    assert outcome.error is callback.error
    assert outcome.error.__context__ is None
    assert outcome.keeper.steps == saved
    if saved:
        assert_equal(outcome.keeper.weights, values_of(variables))


def test_what_an_observer_or_the_sampling_raises_saves_too():
    def fail(step):
        raise BugError

    outcome = run_small(plan_of(last_step=20, sample_every=3), None, FAST, sample=fail, expect=pytest.raises(BugError))
    assert outcome.keeper.steps == [3]


def test_an_error_within_a_step_saves_nothing_of_it(monkeypatch):
    """Some weights may be new and others old then."""
    trainer, variables = small_trainer(FAST, config=ONE_LAYER)

    def fail(trainer, iterator):
        variables["wte.weight"].assign(variables["wte.weight"] * 2)
        tf.debugging.assert_less(trainer.optimizer.iterations, tf.constant(3, tf.int64), message="broken kernel")
        return take_step(trainer, iterator)

    take_step = type(trainer)._take_step
    monkeypatch.setattr(type(trainer), "_take_step", fail)
    outcome = run_small(
        plan_of(last_step=20, eval_every=2), trainer=(trainer, variables),
        expect=pytest.raises(tf.errors.InvalidArgumentError, match="broken kernel"),
    )  # fmt: skip
    assert (outcome.state.step, outcome.keeper.steps) == (3, [])


@pytest.mark.parametrize(
    ("saved_before", "told"),
    [
        ((), "Step 3 could not be saved (OSError: gone); the run has no checkpoint to continue from."),
        ((2,), "Step 3 could not be saved (OSError: gone); the run continues from step 2."),
    ],
)
def test_a_save_that_fails_too_does_not_hide_the_error(saved_before, told, monkeypatch):
    def save(keeper, progress):
        if progress.step not in saved_before:
            raise OSError("gone")

    monkeypatch.setattr(KeptSteps, "save", save)
    outcome = run_small(
        plan_of(last_step=20, save_every=2 if saved_before else None), data_of(held_out=()), FAST,
        callbacks=[RaiseIn("on_train_batch_end", 3)], expect=pytest.raises(BugError, match="mine"),
    )  # fmt: skip
    assert outcome.seen.notices == [told]


def test_a_disk_that_did_not_take_a_checkpoint_is_not_tried_again(monkeypatch):
    tried = []

    def save(keeper, progress):
        tried.append(progress.step)
        raise StorageError("full")

    monkeypatch.setattr(KeptSteps, "save", save)
    run_small(plan_of(last_step=20, save_every=2), data_of(held_out=()), expect=pytest.raises(StorageError))
    assert tried == [2]


def test_a_second_ctrl_c_is_obeyed_at_once():
    def twice(model):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    outcome = run_small(
        plan_of(last_step=20), data_of(held_out=()), callbacks=[AtStep(3, twice)],
        expect=pytest.raises(KeyboardInterrupt),
    )  # fmt: skip
    assert outcome.keeper.steps == []


def test_the_data_goes_on_at_the_step_where_the_run_does():
    """Micro-batches are numbered through the run: step s has numbers s x A to s x A + A - 1."""
    done = [4, 1]  # asked anew for each reading
    with steps_dataset(data_of(accumulate=3), lambda: done.pop(0)) as data:
        readings = [next(iter(data)), next(iter(data))]
    for first, numbers in zip(readings, ((12, 13, 14), (3, 4, 5)), strict=True):
        np.testing.assert_array_equal(first[0], np.stack([batch_of(number)[0] for number in numbers]))
    assert [part.dtype for part in first] == [tf.int32, tf.int32, tf.float32]


def test_nothing_of_the_pipeline_is_tuned():
    """The tuning thread sleeps for up to a minute at a time, and the end of a run would wait for it to wake."""
    with steps_dataset(data_of(), int) as data:
        assert data.options().autotune.enabled is False


class Told(keras.callbacks.Callback):
    """What a callback of the user's is told."""

    def __init__(self):
        super().__init__()
        self.calls, self.losses = [], []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"{epoch} ended")
        self.losses.append(logs["val_loss"])

    def on_train_end(self, logs=None):
        self.calls.append("end")
        self.losses.append(logs["val_loss"])


@pytest.mark.parametrize("every", [5, Fraction(9, 2)])
def test_a_keras_epoch_is_the_stretch_between_two_looks(every):
    told = Told()
    outcome = run_small(plan_of(last_step=12, eval_every=every), callbacks=[told])
    looks = outcome.seen.of("EvaluationRecord")
    assert [look.step for look in looks] == [0, *([5, 10] if every == 5 else [5, 9]), 12]
    assert told.calls == ["begin", 0, "0 ended", 1, "1 ended", 2, "2 ended", "end"]
    assert told.losses == [look.loss for look in [*looks[1:], looks[-1]]]
    assert told.params == {"verbose": 0, "epochs": 2, "steps": 5}


def test_keras_epochs_of_a_run_that_goes_on_are_counted_from_its_beginning():
    told = Told()
    outcome = run_small(plan_of(last_step=12, eval_every=5), callbacks=[told], step=7)
    assert [look.step for look in outcome.seen.of("EvaluationRecord")] == [10, 12]
    assert told.calls == ["begin", 1, "1 ended", 2, "2 ended", "end"]


def test_passes_that_end_within_the_batches_of_a_step_are_looked_at_as_they_end():
    """Seven windows, three in a step: the interval was rounded up, and each look was later than the last."""
    outcome = run_small(
        plan_of(last_step=20, eval_every=Fraction(7, 3)), data_of(epoch_at=lambda number: number * 3 / 7), FAST
    )
    looks, passes = outcome.seen.of("EvaluationRecord"), outcome.seen.of("EpochRecord")
    assert [look.step for look in looks[1:-1]] == [record.step for record in passes] == [3, 5, 7, 10, 12, 14, 17, 19]


def test_a_callback_that_stops_at_the_end_of_a_keras_epoch_stops_the_run():
    told = Told()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    outcome = run_small(plan_of(last_step=20, eval_every=Fraction(9, 2)), callbacks=[Stop(), told])
    assert (outcome.reason, outcome.state.step) == ("callback", 9)
    assert told.calls[-2:] == ["1 ended", "end"]


def test_keras_does_not_complain_that_looks_take_longer_than_steps(caplog):
    run_small(plan_of(last_step=24, eval_every=2), data_of(held_out=[batch_of(n) for n in range(30)]))
    assert caplog.messages == []


def test_held_out_text_is_measured_in_float32_in_any_precision():
    """The head alone in 16 bits would cost digits that decide which step is best."""
    trainers = [small_trainer(config=ONE_LAYER, dtype=dtype)[0] for dtype in (tf.float32, tf.bfloat16)]
    losses = [trainer.evaluate_batches([batch_of(0)]).loss for trainer in trainers]
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
