"""The Keras model that `fit` trains: the variables of a `TFGPT2LMHeadModel` with a custom train step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from gpt2simple.backend.tensorflow import DType, Tensor, TFGPT2LMHeadModel, Variable, keras, tf
from gpt2simple.data.batches import Batch
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.runs.records import Figures
from gpt2simple.settings import FinetuneSettings
from gpt2simple.training.optimizer import FusedOptimizer, LearningRate, WarmUpSchedule
from gpt2simple.training.step import ModelStep
from gpt2simple.training.task import Task

_FIRST_LOSS_SCALE = 2.0**15  # float16 only; halved when a gradient overflows, doubled after _GROWTH_STEPS good steps
_GROWTH_STEPS = 2000


class Trainer(keras.Model):
    """Trains and evaluates; Keras's `fit` calls it.

    Args:
        language_model: the `TFGPT2LMHeadModel` to train.
        step: computes the gradients of its weights. task: defines the loss.
        scales_loss: whether gradients may overflow, as in float16.
    """

    def __init__(self, language_model: TFGPT2LMHeadModel, step: ModelStep, task: Task, *, scales_loss: bool) -> None:
        super().__init__(name="gpt2simple_trainer")
        self.language_model = language_model
        self.scales_loss = scales_loss
        self._step, self._task = step, task
        self.loss_scale = tf.Variable(_FIRST_LOSS_SCALE if scales_loss else 1.0, trainable=False, name="loss_scale")
        # 64 bits: TensorFlow places 32-bit integer variables on the host, where XLA on a GPU cannot use them.
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps", dtype=tf.int64)

    @property
    def metrics(self) -> list[Any]:
        return []  # the step returns exact figures; Keras would average them

    @tf.autograph.experimental.do_not_convert  # no branch depends on tensors, and conversion takes seconds
    def train_step(self, data: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """One optimizer step on inputs, targets, loss mask [A, B, T]; returns logs for callbacks."""
        optimizer: FusedOptimizer = self.optimizer
        rate = optimizer.rate_of_next_step()  # ()
        nats, tokens, gradients = self._step.gradients(data, optimizer.iterations, self.loss_scale)  # (), (), by name
        norm, finite = optimizer.step(gradients, self.loss_scale)  # (), ()
        if self.scales_loss:
            self._adjust_loss_scale(finite)
        return {
            "loss": nats / tokens,
            "nats": nats,
            "tokens": tokens,
            "gradient_norm": norm,
            "learning_rate": rate,
            "updated": finite,
        }

    def _adjust_loss_scale(self, finite: Tensor) -> None:
        good = tf.where(finite, self.good_steps + 1, tf.zeros([], tf.int64))  # ()
        grown = good >= _GROWTH_STEPS
        factor = tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5)  # ()
        self.loss_scale.assign(tf.clip_by_value(self.loss_scale * factor, 1.0, 2.0**24))
        self.good_steps.assign(tf.where(grown, tf.zeros_like(good), good))

    def counters(self) -> dict[str, Any]:
        """The numbers that a checkpoint needs in addition to weights and moments."""
        return {
            "iterations": int(self.optimizer.iterations.numpy()),
            "loss_scale": float(self.loss_scale.numpy()),
            "good_steps": int(self.good_steps.numpy()),
            "rate_factor": float(self.optimizer.rate.factor()),
        }

    def set_counters(self, values: dict[str, Any]) -> None:
        """Restore the values of ``counters``."""
        self.optimizer.iterations.assign(values["iterations"])
        self.loss_scale.assign(values["loss_scale"])
        self.good_steps.assign(values["good_steps"])
        self.optimizer.rate.restore(values["iterations"], values.get("rate_factor", 1.0))  # missing before 2026-11-22

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Logits of the language model, for user callbacks that call the model."""
        return self.language_model(inputs, training=training).logits  # (B, T, V)

    def evaluate_batches(self, batches: Sequence[Batch]) -> Figures:
        """The task's metrics on held-out batches, with the current weights."""
        sums = [self._sums_of_batch(*map(tf.constant, batch)).numpy() for batch in batches]  # (K,) each
        return self._task.figures([math.fsum(column) for column in zip(*sums, strict=True)], batches)

    @cached_property
    def _sums_of_batch(self) -> Any:
        options = {"reduce_retracing": False, "jit_compile": self.jit_compile or None, "autograph": False}
        return tf.function(self._step.evaluation_sums, **options)


def build_trainer(
    model: TFGPT2LMHeadModel,
    variables: Mapping[str, Variable],
    config: ModelConfig,
    settings: FinetuneSettings,
    task: Task,
    *,
    dtype: DType,
    seed: int,
    last_step: int | None,
    gradient_checkpointing: bool,
    compile_whole_step: bool = False,
) -> Trainer:
    """A compiled trainer at step 0, its moments zero.

    Args:
        model: the `TFGPT2LMHeadModel`. variables: its variables by canonical name. task: defines the loss.
        dtype: of the matrix products. seed: of the dropout masks.
        last_step: where the learning-rate schedule ends, or None.
        gradient_checkpointing: whether activations of blocks are recomputed to save memory.
        compile_whole_step: whether XLA compiles the step as a whole; see `devices.compiles_whole_step`.
    """
    trained = trained_names(variables, config, settings)
    step = ModelStep(
        variables, trained, config, dtype, task,
        dropout_rate=settings.dropout, seed=seed, gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    trainer = Trainer(model, step, task, scales_loss=dtype == tf.float16)
    schedule = WarmUpSchedule(settings.learning_rate, settings.warmup_steps, settings.schedule, last_step)
    optimizer = FusedOptimizer(
        {name: variables[name] for name in sorted(trained)},
        kind=settings.optimizer,
        rate=LearningRate(schedule),
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    trainer.compile(optimizer=optimizer, jit_compile=compile_whole_step)
    return trainer


def trained_names(variables: Mapping[str, Variable], config: ModelConfig, settings: FinetuneSettings) -> frozenset[str]:
    """The canonical names of the weights that these settings train.

    Raises:
        SettingsError: the model has fewer layers than are to be trained.
    """
    names = frozenset(variables)
    if settings.only_train_transformer_layers:
        return names - {"wte.weight", "wpe.weight"}
    count = settings.train_last_n_layers
    if count is None:
        return names
    if count > config.n_layer:
        raise SettingsError(
            f"train_last_n_layers is {count}; this model has {config.n_layer} layers. Give at most {config.n_layer}."
        )
    last = tuple(f"h.{number}." for number in range(config.n_layer - count, config.n_layer))
    return frozenset(name for name in names if name.startswith((*last, "ln_f.")))
