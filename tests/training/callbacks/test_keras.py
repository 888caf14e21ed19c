"""The user's own callbacks of both kinds of Keras, in a `fit` of tf_keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras as keras3
import numpy as np
import pytest

from gpt2simple.backend.keras import keras as tf_keras
from gpt2simple.errors import SettingsError
from gpt2simple.training.callbacks.keras import adapt_callbacks

assert keras3 is not tf_keras


def fit(callbacks: Any, epochs: int = 4, **kwargs: Any) -> Any:
    """Fit a model that can learn nothing, so that its held-out loss never falls; 3 steps an epoch."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(1,))])
    model.compile(optimizer=tf_keras.optimizers.SGD(0.0), loss="mse")
    x = np.ones((6, 1), "float32")
    model.fit(
        x, x, batch_size=2, epochs=epochs, validation_data=(x, x), callbacks=adapt_callbacks(callbacks), verbose=0,
        **kwargs,
    )  # fmt: skip
    return model


class Diary(keras3.callbacks.Callback):
    """A user's subclass of Keras 3's class."""

    def __init__(self, stop_after_epoch: int | None = None) -> None:
        super().__init__()
        self.stop_after_epoch = stop_after_epoch
        self.seen: list[str] = []
        self.batch_logs: list[dict[str, float]] = []
        self.epoch_logs: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.seen.append(f"train of {self.params['epochs']} epochs")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batch_logs.append(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(f"epoch {epoch}")
        self.epoch_logs.append(logs)
        if epoch == self.stop_after_epoch:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        self.seen.append(f"end, stopped: {self.model.stop_training}")


def test_a_keras_3_subclass_is_called_at_each_moment_with_plain_numbers() -> None:
    diary = Diary()
    fit([diary], epochs=2)
    assert diary.seen == ["train of 2 epochs", "epoch 0", "epoch 1", "end, stopped: False"]
    assert len(diary.batch_logs) == 6
    assert all(isinstance(logs["loss"], float) for logs in diary.batch_logs)
    assert set(diary.epoch_logs[0]) == {"loss", "val_loss"}


def test_its_model_is_the_one_being_trained_and_it_can_stop_the_training() -> None:
    diary = Diary(stop_after_epoch=1)
    model = fit([diary], epochs=5)
    assert diary.model is model
    assert diary.seen[-2:] == ["epoch 1", "end, stopped: True"]


def test_it_sees_a_stop_that_somebody_else_asked_for() -> None:
    class Stopper(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    diary = Diary()
    fit([Stopper(), diary], epochs=5)
    assert diary.seen[1:] == ["epoch 0", "end, stopped: True"]


def test_keras_3_early_stopping_stops_and_restores_the_best_weights() -> None:
    class Spoiler(tf_keras.callbacks.Callback):
        """Makes the model worse in every epoch, so that the first is the best."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights([np.full((1, 1), 1.0 + epoch), np.zeros(1)])

    early = keras3.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model = fit([Spoiler(), early], epochs=9)
    assert early.stopped_epoch == 2
    assert early.best_epoch == 0
    assert model.get_weights()[0] == pytest.approx(1.0)


def test_keras_3_csv_logger_and_checkpoint_write_their_files(tmp_path: Path) -> None:
    weights = tmp_path / "model.weights.h5"
    logger = keras3.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    fit([logger, keras3.callbacks.ModelCheckpoint(str(weights), save_weights_only=True)], epochs=2)
    header, *rows = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    assert header == "epoch,loss,val_loss"
    assert [row.split(",")[0] for row in rows] == ["0", "1"]
    assert weights.stat().st_size > 0


def test_keras_3_learning_rate_scheduler_sets_the_rate_of_the_optimizer() -> None:
    model = fit([keras3.callbacks.LearningRateScheduler(lambda epoch, rate: 0.25 / (epoch + 1))], epochs=2)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.125)


def test_a_keras_3_lambda_callback_is_called_for_batches() -> None:
    batches: list[int] = []
    fit(keras3.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch)), epochs=1)
    assert batches == [0, 1, 2]


class OldStyle(keras3.callbacks.Callback):
    def on_batch_end(self, batch: int, logs: Any = None) -> None: ...


@pytest.mark.parametrize(
    ("callback", "wants_batches"),
    [
        (Diary(), True),
        (OldStyle(), True),
        (keras3.callbacks.LambdaCallback(on_train_batch_begin=print), True),
        (keras3.callbacks.EarlyStopping(), False),
        (keras3.callbacks.LambdaCallback(on_epoch_end=print), False),
    ],
)
def test_batch_numbers_are_fetched_from_the_device_only_for_who_wants_them(callback: Any, wants_batches: bool) -> None:
    (adapted,) = adapt_callbacks(callback)
    assert adapted._implements_train_batch_hooks() is wants_batches
    assert not adapted._implements_test_batch_hooks()
    assert not adapted._implements_predict_batch_hooks()


def test_tf_keras_callbacks_pass_as_they_are() -> None:
    own = tf_keras.callbacks.EarlyStopping()
    assert adapt_callbacks([own]) == [own]
    assert adapt_callbacks(own) == [own]
    assert adapt_callbacks(None) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [keras3.callbacks.EarlyStopping],
            r"callbacks contains the class EarlyStopping; expected an instance\. Write EarlyStopping\(\.\.\.\)\.",
        ),
        (
            print,
            r"callbacks contains the function print; .*Write keras\.callbacks\.LambdaCallback\(on_epoch_end=print\)",
        ),
        ("csv", r"callbacks contains 'csv' \(str\); expected instances of keras\.callbacks\.Callback\. Make it a"),
        ([{"loss": 1}], r"callbacks contains \{'loss': 1\} \(dict\); expected .* or leave it out\."),
    ],
)
def test_what_is_no_callback_is_refused_with_the_next_step(given: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        adapt_callbacks(given)
