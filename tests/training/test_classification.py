"""The classifier's loss, gradients and sums, against TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch
from gpt2simple.runs.records import ClassifierFigures, figures_from_json
from gpt2simple.training.classification import Classification
from gpt2simple.training.state import TrainerState
from gpt2simple.training.task import Rows

E, C, B, T = 8, 3, 4, 5
HEAD = "score.weight"


@pytest.fixture
def rows() -> Rows:
    draw = np.random.default_rng(0)
    loss_mask = np.zeros((B, T), np.float32)
    loss_mask[np.arange(B), [0, 2, 4, 1]] = [1.0, 0.5, 2.0, 1.5]
    targets = draw.integers(0, C, (B, T)).astype(np.int32)
    return Rows.of(tf.constant(draw.normal(size=(B * T, E)), tf.float32), tf.constant(targets), tf.constant(loss_mask))


@pytest.fixture
def variables() -> dict[str, tf.Variable]:
    return {HEAD: tf.Variable(np.random.default_rng(1).normal(size=(E, C)), dtype=tf.float32)}


def test_loss_and_gradients_are_tensorflows(rows: Rows, variables: dict[str, tf.Variable]) -> None:
    with tf.GradientTape() as tape:
        tape.watch(rows.states)
        logits = tf.matmul(rows.states, variables[HEAD])
        nats = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(rows.targets, logits) * rows.loss_mask)
        scaled = 0.25 * nats
    d_states, d_head = tape.gradient(scaled, [rows.states, variables[HEAD]])
    found = Classification(by_accuracy=True).gradients(variables, rows, tf.constant(0.25), frozenset([HEAD]))
    assert float(found.nats) == pytest.approx(float(nats), rel=1e-6)
    np.testing.assert_allclose(found.states, d_states, atol=1e-6)
    np.testing.assert_allclose(found.weights[HEAD], d_head, atol=1e-6)
    assert (np.abs(found.states.numpy()).sum(axis=1) > 0).sum() == B, "other tokens have no gradient"


def test_a_head_that_is_not_trained_gets_none(rows: Rows, variables: dict[str, tf.Variable]) -> None:
    found = Classification(by_accuracy=True).gradients(variables, rows, tf.constant(1.0), frozenset())
    assert found.weights == {}


def test_evaluations_count_each_text_once(rows: Rows, variables: dict[str, tf.Variable]) -> None:
    logits = tf.matmul(rows.states, variables[HEAD]).numpy()
    chosen = rows.loss_mask.numpy() > 0
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(rows.targets, logits).numpy()[chosen].sum()
    correct = (logits.argmax(1) == rows.targets.numpy())[chosen].sum()
    task = Classification(by_accuracy=False)
    sums = task.evaluation_sums(variables, rows).numpy()
    assert sums == pytest.approx([nats, correct], rel=1e-5)
    mask = rows.loss_mask.numpy().reshape(B, T)
    figures = task.figures(sums.tolist(), [Batch(np.zeros((B, T), np.int32), np.zeros((B, T), np.int32), mask)])
    assert (figures.texts, figures.correct) == (B, correct)


def of(nats: float, correct: int, *, by_accuracy: bool) -> ClassifierFigures:
    return ClassifierFigures(class_nats=nats, correct=correct, texts=10, by_accuracy=by_accuracy)


def test_what_is_the_best_step_is_for_the_metric_to_say() -> None:
    for by_accuracy, best in ((True, 2), (False, 1)):
        state = TrainerState()
        for step, (nats, correct) in enumerate([(5.0, 5), (3.0, 6), (4.0, 8), (4.5, 8), (float("nan"), 9)]):
            state.step = step
            state.add_evaluation(of(nats, correct, by_accuracy=by_accuracy))
        assert state.best_step == best
        assert TrainerState.from_json(state.to_json()) == state


def test_figures_come_back_from_their_sums() -> None:
    figures = of(5.0, 7, by_accuracy=True)
    assert figures_from_json({**figures.to_json(), **figures.scalars()}) == figures
    assert figures.text() == "0.500 nats/text, accuracy 70.0% (7 of 10)"
    assert figures.brief() == "0.500 nats/text, accuracy 70.0%"
    assert figures_from_json({**figures.to_json(), "texts": 0}) is None
