"""The seam for tasks: another task trains by the same step, loop and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.settings import FinetuneSettings
from gpt2simple.testing import SMALL_CONFIG
from gpt2simple.training.task import HeadGradients, LanguageModeling
from gpt2simple.training.trainer import build_trainer
from tests.helpers.training import TASK, batch_of, data_of, plan_of, run_small, small_trainer

LABELS = 3
TIME = 12


@dataclass(frozen=True)
class LabelFigures:
    """Loss and accuracy."""

    nats: float
    correct: float
    examples: int

    @property
    def loss(self) -> float:
        return self.nats / self.examples

    def text(self) -> str:
        return f"{self.loss:.3f} nats/example, accuracy {self.correct / self.examples:.1%}"

    def scalars(self) -> dict[str, float]:
        return {"loss": self.loss, "accuracy": self.correct / self.examples}

    def best(self) -> dict[str, float]:
        return self.scalars()

    def is_better_than(self, best) -> bool:
        return self.loss < best["loss"]

    def criterion(self) -> tuple[str, str]:
        return "loss", f"{self.loss:.3f}"

    def to_json(self) -> dict[str, float]:
        return {"nats": self.nats, "correct": self.correct, "examples": self.examples}


class LastTokenLabels:
    """Which of three labels a text has, by a head of its own on the last token."""

    def _logits(self, variables, states):
        return tf.matmul(tf.cast(states, tf.float32), variables["score.weight"])  # (N, labels)

    def gradients(self, variables, rows, scale, trained):
        states, targets, loss_mask = rows.states, rows.targets, rows.loss_mask
        with tf.GradientTape() as tape:
            tape.watch(states)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, self._logits(variables, states))
            nats = tf.reduce_sum(losses * loss_mask)
            scaled = nats * scale
        d_states, d_score = tape.gradient(scaled, [states, variables["score.weight"]])
        return HeadGradients(nats, d_states, {"score.weight": d_score})

    def evaluation_sums(self, variables, rows):
        states, targets, loss_mask = rows.states, rows.targets, rows.loss_mask
        logits = self._logits(variables, states)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        correct = tf.cast(tf.argmax(logits, -1, tf.int32) == targets, tf.float32)
        return tf.stack([tf.reduce_sum(losses * loss_mask), tf.reduce_sum(correct * loss_mask)])

    def figures(self, sums, batches):
        return LabelFigures(*sums, examples=sum(int(batch.loss_mask.sum()) for batch in batches))


def labelled_batch(number, rows=4):
    """Texts whose label is that of their first token; label and mask stand at the last one."""
    generator = np.random.default_rng(number)
    inputs = generator.integers(100, 200, (rows, TIME)).astype(np.int32)
    labels = generator.integers(0, LABELS, rows)
    inputs[:, 0] = 10 + labels
    targets, mask = np.zeros((rows, TIME), np.int32), np.zeros((rows, TIME), np.float32)
    targets[:, -1], mask[:, -1] = labels, 1.0
    return Batch(inputs, targets, mask)


@pytest.fixture(scope="module")
def outcome():
    """Eighty steps of the same loop that trains language models."""
    model = build_model(SMALL_CONFIG, seed=0, initializer_range=0.1)
    score = tf.Variable(tf.random.stateless_normal([SMALL_CONFIG.n_embd, LABELS], seed=[1, 2], stddev=0.1))
    variables = {**named_variables(model), "score.weight": score}
    settings = FinetuneSettings(learning_rate=5e-3)
    trainer = build_trainer(
        model, variables, SMALL_CONFIG, settings, LastTokenLabels(), dtype=tf.float32, seed=1, last_step=80,
        gradient_checkpointing=False,
    )  # fmt: skip
    data = data_of(micro_batch=labelled_batch, held_out=(labelled_batch(1000, 16), labelled_batch(1001, 16)))
    return run_small(plan_of(last_step=80, eval_every=10), data, trainer=(trainer, variables))


def test_a_task_with_a_head_of_its_own_learns(outcome):
    evaluations = outcome.seen.of("EvaluationRecord")
    best = min(evaluations, key=lambda record: record.loss)
    assert best.loss < evaluations[0].loss / 2
    assert best.figures.scalars()["accuracy"] > 0.9
    assert best.figures.examples == 32


def test_its_steps_count_its_own_targets(outcome):
    steps = outcome.seen.of("StepRecord")
    assert [record.tokens for record in steps[:3]] == [4, 8, 12], "one target for each text"


def test_its_figures_are_those_of_the_best_step(outcome):
    best = min(outcome.seen.of("EvaluationRecord"), key=lambda record: record.loss)
    assert (outcome.state.best_step, outcome.state.best) == (best.step, best.figures.scalars())
    stored = outcome.state.to_json()
    assert stored["best_accuracy"] == best.figures.scalars()["accuracy"]
    assert type(outcome.state).from_json(stored) == outcome.state


def test_the_head_is_saved_and_trained_with_the_body(outcome):
    assert "score.weight" in outcome.keeper.weights
    assert outcome.keeper.steps[-1] == 80


def test_language_modelling_counts_tokens_and_bytes_of_what_the_mask_lets_through():
    mask = batch_of(0).loss_mask.copy()
    mask[0, :5] = 0.0
    masked = batch_of(0)._replace(loss_mask=mask)
    two_bytes = LanguageModeling(np.full(SMALL_CONFIG.n_vocab, 2))
    figures = two_bytes.figures([64.0], [masked])
    assert (figures.target_tokens, figures.target_bytes) == (27, 54)
    assert figures.loss == 64.0 / 27
    trainer, _ = small_trainer()
    both = trainer.evaluate_batches([masked, batch_of(1)])
    alone = [trainer.evaluate_batches([batch]) for batch in (masked, batch_of(1))]
    assert both.nats == pytest.approx(alone[0].nats + alone[1].nats, rel=1e-6)
    assert TASK.figures([1.0], [batch_of(1)]).target_tokens == 32
