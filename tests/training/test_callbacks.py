"""The user's own Keras callbacks, of either Keras, through the public API."""

import keras as keras3
import numpy as np
import pytest
import tf_keras

import gpt2simple
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.metrics import read as read_metrics
from tests.helpers.small_runs import write_model_and_text

STEPS_BETWEEN_LOOKS = 2


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = write_model_and_text(tmp_path_factory.mktemp("callbacks"), "model")
    with gpt2simple.start_session(
        str(folder / "model"), checkpoint_dir=folder / "checkpoint", precision="float32", seed=1
    ) as session:
        session.text = folder / "text.txt"
        yield session


def finetune(session, run_name, callbacks):
    session.run_name = run_name
    return gpt2simple.finetune(
        session.text, session=session, callbacks=callbacks, steps=20, eval_every=STEPS_BETWEEN_LOOKS, window=16,
        sample_every=0,
    )  # fmt: skip


@pytest.mark.parametrize("library", [tf_keras, keras3], ids=["tf_keras", "keras3"])
def test_early_stopping_on_held_out_loss(session, library):
    """No look is better by 100: the first is the best, and a patience of two ends the run after the third."""
    stopping = library.callbacks.EarlyStopping(
        monitor="val_loss", patience=2, min_delta=100.0, mode="min", restore_best_weights=True
    )
    result = finetune(session, f"early-{library.__name__}", stopping)
    assert (result.reason, result.steps) == ("callback", 3 * STEPS_BETWEEN_LOOKS)
    assert result.best_loss < 6.0


def test_a_subclass_of_keras_3_sees_every_step_and_may_stop(session):
    class Stop(keras3.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.losses, self.looks = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(float(logs["loss"]))
            if len(self.losses) == 5:
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            self.looks.append(logs["val_loss"])

    callback = Stop()
    result = finetune(session, "subclass", [callback])
    assert (result.reason, result.steps) == ("callback", 5)
    assert len(callback.losses) == 5
    assert all(3.0 < loss < 8.0 for loss in callback.losses)
    assert callback.looks[:2] != [None, None]
    assert callback.looks[1] == pytest.approx(result.best_loss, abs=0.2)


def test_a_callback_that_fails_is_not_swallowed_and_the_run_goes_on_from_the_step_before(session):
    class Fail(tf_keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == 3:
                raise ZeroDivisionError("in my callback")

    with pytest.raises(ZeroDivisionError, match="in my callback"):
        finetune(session, "failing", Fail())
    info = RunInfo.read(session.run_dir)
    assert (info.latest_step, info.ended) == (3, "failed")
    result = finetune(session, "failing", [])
    assert (result.reason, result.steps) == ("finished", 20)
    assert [record.step for record in read_metrics(session.run_dir).steps] == list(range(1, 21))


def test_a_callback_has_the_model_and_its_weights(session):
    class Look(tf_keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.logits = self.model(np.array([[1, 2, 3]], np.int32)).shape
            self.shapes = sorted(weight.shape for weight in self.model.get_weights() if weight.ndim == 2)

    look = Look()
    finetune(session, "look", look)
    weights = session.model.get_weights()
    assert look.logits == (1, 3, weights[0].shape[0])
    assert look.shapes == sorted(weight.shape for weight in weights if weight.ndim == 2)
