"""TensorBoard events, read back by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.runs.records import EpochRecord
from gpt2simple.training.callbacks.tensorboard import TensorBoardEvents
from tests.helpers.records import end, evaluation, plan, sample, step


def values(folder: Path) -> dict[str, list[tuple[int, object]]]:
    found: dict[str, list[tuple[int, object]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for raw in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(raw.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor).reshape(-1)[0]))
    return found


def test_curves_and_samples_are_there_under_their_names(tmp_path: Path) -> None:
    events = TensorBoardEvents(tmp_path)
    events.on_start(plan(tmp_path, print_every=1))
    events.on_step(step(1, loss=3.5, smoothed=3.75))
    events.on_step(step(2, loss=3.25))
    events.on_epoch(EpochRecord(step=2, epoch=1, train_loss=3.375))
    events.on_evaluation(evaluation(2, 3.0, is_best=True))
    events.on_sample(sample(2, "# HAMLET\nTo be."))
    events.on_end(end(2))
    read = values(tmp_path / "tensorboard")
    assert read["train/loss"] == [(1, 3.5), (2, 3.25)]
    assert read["train/smoothed_loss"][0] == (1, 3.75)
    assert read["train/epoch_loss"] == [(2, 3.375)]
    assert read["held_out/loss"] == [(2, 3.0)]
    assert read["held_out/bits_per_byte"] == [(2, pytest.approx(1.08202, rel=1e-4))]
    assert read["learning_rate"] == [(1, pytest.approx(1e-4)), (2, pytest.approx(1e-4))]
    assert read["tokens_per_second"][0] == (1, 512.0)
    assert read["sample"] == [(2, b"    # HAMLET\n    To be.")]


def test_the_training_curve_has_a_point_every_print_every_steps(tmp_path: Path) -> None:
    events = TensorBoardEvents(tmp_path)
    events.on_start(plan(tmp_path, print_every=10))
    for number in range(1, 31):
        events.on_step(step(number))
    events.on_end(end(30))
    assert [number for number, _ in values(tmp_path / "tensorboard")["train/loss"]] == [10, 20, 30]


def test_the_events_of_a_look_are_on_the_disk_before_training_goes_on(tmp_path: Path) -> None:
    events = TensorBoardEvents(tmp_path)
    events.on_start(plan(tmp_path))
    events.on_evaluation(evaluation(2, 3.0, is_best=True))
    assert values(tmp_path / "tensorboard")["held_out/loss"] == [(2, 3.0)]
    events.on_end(end(2))


def test_a_run_that_ends_before_it_starts_writes_nothing(tmp_path: Path) -> None:
    TensorBoardEvents(tmp_path).on_end(end(0, "failed"))
    assert list(tmp_path.iterdir()) == []
