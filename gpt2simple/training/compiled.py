"""The compiled training step and evaluation, kept for the process: the next run of the same shape compiles nothing.

A compiled step holds no weights and no moments, nor the learning rate and other numbers that a graph can read: they
are its arguments. So it serves every run with the same ``Recipe`` and batches of the same shape, and keeps nothing of
a run alive. What it holds is the graph; those used last are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gpt2simple.backend.tensorflow import DType, Tensor, Variable, tf
from gpt2simple.data.batches import Batch, PackedShape
from gpt2simple.data.share import StepShare
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.xla import Compiled, Shapes, kept_functions, shapes_of, traces
from gpt2simple.gpt2.variables import copy_rows
from gpt2simple.training.optimizer import OptimizerVariables, Update, WarmUpSchedule
from gpt2simple.training.step import Gradients, ModelStep, evaluation_sums
from gpt2simple.training.task import Task

_GROWTH_STEPS = 2000

Batches = Sequence[Tensor]  # of a step: the arrays of `Batch`


class StepVariables(NamedTuple):
    """All that a training step reads and changes."""

    weights: dict[str, Variable]  # by canonical name
    optimizer: OptimizerVariables
    loss_scale: Variable
    good_steps: Variable


class WholeStep:
    """One optimizer step on given variables.

    Args:
        step: computes the gradients. update: of the weights.
        loss_scale, good_steps: of float16. scales_loss: whether gradients may overflow, as in float16.
    """

    def __init__(
        self, step: ModelStep, update: Update, loss_scale: Variable, good_steps: Variable, *, scales_loss: bool
    ) -> None:
        self._step, self._update, self._scales_loss = step, update, scales_loss
        self._loss_scale, self._good_steps = loss_scale, good_steps

    def run(self, data: Batches) -> dict[str, Tensor]:
        """The step on arrays [A, B, T]; returns logs for callbacks."""
        rate = self.rate()
        return self.end(rate, *self.gradients(data))

    def gradients(self, data: Batches, of_step: Tensor | None = None) -> tuple[Tensor, Tensor, Gradients]:
        """As ``ModelStep.gradients``, of this step."""
        return self._step.gradients(data, self._update.iterations, self._loss_scale, of_step)

    def rate(self) -> Tensor:
        """The learning rate of this step, float32 scalar."""
        return self._update.rate_of_next_step()

    def end(self, rate: Tensor, nats: Tensor, tokens: Tensor, gradients: Gradients) -> dict[str, Tensor]:
        """The update by the gradients of the whole step, and its logs; rate: of this step."""
        norm, finite = self._update.step(gradients, self._loss_scale)  # (), ()
        copy_rows(self._step.variables)
        if self._scales_loss:
            self.adjust_loss_scale(finite)
        return {
            "loss": nats / tokens,
            "nats": nats,
            "tokens": tokens,
            "gradient_norm": norm,
            "learning_rate": rate,
            "updated": finite,
        }

    def adjust_loss_scale(self, finite: Tensor) -> None:
        """Halve the scale when a gradient overflowed, and double it after enough good steps."""
        good = tf.where(finite, self._good_steps + 1, tf.zeros([], tf.int64))  # ()
        grown = good >= _GROWTH_STEPS
        factor = tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5)  # ()
        self._loss_scale.assign(tf.clip_by_value(self._loss_scale * factor, 1.0, 2.0**24))
        self._good_steps.assign(tf.where(grown, tf.zeros_like(good), good))


@dataclass(frozen=True)
class Recipe:
    """All that the graph of a step depends on, besides the shapes of its arguments.

    Attributes:
        config: of the model. dtype: of the matrix products. trained: names of the weights to train. task: see `Task`.
        dropout_rate, adapter_dropout_rate, gradient_checkpointing: as in `ModelStep`. scales_loss: as in `WholeStep`.
        optimizer: its kind. decay_shape: of the learning rate's schedule. clips: whether gradients are clipped.
        by_xla: whether XLA compiles the step as a whole.
        packed: where rows hold several texts; None: they hold one.
    """

    config: ModelConfig
    dtype: DType
    trained: frozenset[str]
    task: Task
    dropout_rate: float
    gradient_checkpointing: bool
    scales_loss: bool
    optimizer: str
    decay_shape: str
    clips: bool
    by_xla: bool
    packed: PackedShape | None = None
    adapter_dropout_rate: float = 0.0

    def gradients_of(self, weights: Mapping[str, Variable], seed: Tensor, share: StepShare | None = None) -> ModelStep:
        """What computes the gradients of these weights; the seed is that of the dropout masks, share of `ModelStep`."""
        return ModelStep(
            weights, self.trained, self.config, self.dtype, self.task,
            dropout_rate=self.dropout_rate, seed=seed, gradient_checkpointing=self.gradient_checkpointing,
            packed=self.packed, adapter_dropout_rate=self.adapter_dropout_rate, share=share,
        )  # fmt: skip

    def whole_step(
        self, variables: StepVariables, numbers: Tensor, seed: Tensor, share: StepShare | None = None
    ) -> WholeStep:
        """A step of these variables; numbers: of the optimizer."""
        *of_schedule, weight_decay, clip_norm = tf.unstack(numbers)
        update = Update(
            {name: variables.weights[name] for name in sorted(self.trained)},
            variables.optimizer,
            WarmUpSchedule(1.0, 0, self.decay_shape, 1).with_numbers(of_schedule),
            weight_decay=weight_decay,
            clip_norm=clip_norm if self.clips else None,
        )
        gradients = self.gradients_of(variables.weights, seed, share)
        return WholeStep(gradients, update, *variables[2:], scales_loss=self.scales_loss)


def training_step(recipe: Recipe, shapes: Shapes) -> Compiled:
    """A function (StepVariables, numbers, seed, *arrays of the batches) -> logs that takes one optimizer step.

    Args:
        recipe: of the step; the numbers are those of the optimizer. shapes: from ``shapes_of``.
    """

    key = ("train", recipe, shapes)

    def step(variables: StepVariables, numbers: Tensor, seed: Tensor, *data: Tensor) -> dict[str, Tensor]:
        traces["train", recipe.config, shapes] += 1
        return recipe.whole_step(variables, numbers, seed).run(data)

    about = "train", recipe.config, recipe.dtype.name, shapes, recipe.packed
    return kept_functions.find(
        key, lambda: Compiled(step, about, by_xla=recipe.by_xla, quiet=False), recipe.config.n_layer
    )


def evaluation(recipe: Recipe, shapes: Shapes) -> Compiled:
    """A function (weights, *arrays of a batch) -> the task's sums (K,) over one held-out batch [B, T]."""
    config, dtype, task, packed = recipe.config, recipe.dtype, recipe.task, recipe.packed
    key = ("evaluate", config, dtype, task, recipe.by_xla, shapes, packed)

    def evaluate(weights: dict[str, Variable], *data: Tensor) -> Tensor:
        traces["evaluate", config, shapes] += 1
        return evaluation_sums(weights, config, dtype, task, data, packed)

    about = "evaluate", config, dtype.name, shapes, packed
    return kept_functions.find(
        key, lambda: Compiled(evaluate, about, by_xla=recipe.by_xla, quiet=False), config.n_layer / 4
    )


class Steps:
    """The training steps and evaluations of a run, on whatever there is to compute them.

    Args:
        recipe: of the compiled step. weights: all variables of the model, by canonical name.
        seed: of the dropout masks, from ``dropout_seed``.
    """

    def __init__(self, recipe: Recipe, weights: Mapping[str, Variable], seed: Tensor) -> None:
        self._recipe, self._weights, self._seed = recipe, dict(weights), seed
        self._evaluations: dict[tuple[int, ...], Compiled] = {}  # by the shape of the inputs, of which a run has few

    def bind(self, variables: StepVariables, numbers: Tensor, data: Batches) -> Callable[..., dict[str, Tensor]]:
        """A function (*arrays) -> logs that takes a step on arrays of these shapes; numbers: of the optimizer."""
        compiled = training_step(self._recipe, shapes_of(variables.weights, data[0]))
        return compiled.bind(variables, numbers, self._seed)

    def sums(self, batches: Sequence[Batch]) -> list[np.ndarray]:
        """The task's sums (K,) over each of the batches, with the current weights."""
        return [self._sums_of_batch([tf.constant(array) for array in batch.arrays]) for batch in batches]

    def _sums_of_batch(self, data: Sequence[Tensor]) -> np.ndarray:
        shape = tuple(data[0].shape)
        if shape not in self._evaluations:
            self._evaluations[shape] = evaluation(self._recipe, shapes_of(self._weights, data[0]))
        return self._evaluations[shape](self._weights, *data).numpy()
