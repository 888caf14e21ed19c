"""The Keras model that `fit` trains: the variables of a GPT-2 with a custom train step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gpt2simple.backend import memory
from gpt2simple.backend.keras import keras
from gpt2simple.backend.replicas import ONE, Replicas
from gpt2simple.backend.tensorflow import DType, Tensor, Variable, tf
from gpt2simple.data.batches import Batch, PackedShape
from gpt2simple.data.share import StepShare
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import CLASSIFIER_HEAD, ModelConfig
from gpt2simple.gpt2.lora import is_of_adapter
from gpt2simple.gpt2.network.dropout import dropout_seed
from gpt2simple.runs.records import Figures
from gpt2simple.settings import TrainingSettings
from gpt2simple.training.compiled import Recipe, Steps, StepVariables, WholeStep
from gpt2simple.training.optimizer import FusedOptimizer, LearningRate, WarmUpSchedule
from gpt2simple.training.replicated import ReplicatedSteps
from gpt2simple.training.task import Task

_FIRST_LOSS_SCALE = 2.0**15  # float16 only


class Trainer(keras.Model):
    """Trains and evaluates; Keras's `fit` calls it.

    Args:
        language_model: the Keras model around the variables, for the user's callbacks; None: there are none.
        variables: all weights by canonical name.
        recipe: of the compiled step. seed: of the dropout masks.
        replicas: that train it together. shares: what those of this worker take of a step; none where it is alone.
    """

    train_function: Any  # Keras keeps here what `make_train_function` returns

    def __init__(
        self,
        language_model: keras.Model | None,
        variables: Mapping[str, Variable],
        recipe: Recipe,
        seed: int,
        replicas: Replicas = ONE,
        shares: Sequence[StepShare] = (),
    ) -> None:
        super().__init__(name="gpt2simple_trainer")
        self.language_model = language_model
        self.scales_loss, self.replicas = recipe.scales_loss, replicas
        self._recipe, drawn = recipe, dropout_seed(seed)
        self._step = recipe.gradients_of(variables, drawn)
        self._alone = Steps(recipe, variables, drawn)
        together = ReplicatedSteps(recipe, variables, drawn, replicas, shares) if shares else None
        self._steps = together or self._alone
        # By the shape of the inputs, of which a run has few.
        self._bound_steps: dict[tuple[int, ...], Callable[..., dict[str, Tensor]]] = {}
        first_scale = _FIRST_LOSS_SCALE if recipe.scales_loss else 1.0
        self.loss_scale = tf.Variable(first_scale, trainable=False, name="loss_scale")
        # 64 bits: TensorFlow places 32-bit integer variables on the host, where XLA on a GPU cannot use them.
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps", dtype=tf.int64)

    @property
    def metrics(self) -> list[Any]:
        return []  # the step returns exact figures; Keras would average them

    @tf.autograph.experimental.do_not_convert  # no branch depends on tensors, and conversion takes seconds
    def train_step(self, data: Sequence[Tensor]) -> dict[str, Tensor]:
        """One optimizer step on the arrays of `Batch` [A, B, T]; returns logs for callbacks."""
        update, scale = self.optimizer.update, (self.loss_scale, self.good_steps)
        return WholeStep(self._step, update, *scale, scales_loss=self.scales_loss).run(data)

    def make_train_function(self, force: bool = False) -> Callable[[Any], dict[str, Tensor]]:
        """The function from an iterator of batches to logs that `fit` calls for each step."""
        if tf.distribute.has_strategy():  # its variables are not plain ones, and it takes the step apart
            return super().make_train_function(force)
        if self.train_function is None or force:  # the first call, or the first after `compile`
            self.train_function, self._bound_steps = self._take_step, {}
        return self._take_step

    def _take_step(self, iterator: Any) -> dict[str, Tensor]:
        data = next(iterator)
        shape = tuple(data[0].shape)
        if shape not in self._bound_steps:
            weights, optimizer = self._step.variables, self.optimizer
            variables = StepVariables(weights, optimizer.update.state, self.loss_scale, self.good_steps)
            self._bound_steps[shape] = self._steps.bind(variables, optimizer.numbers, data)
            logs = self._bound_steps[shape](*data)
            self.release()
        else:
            logs = self._bound_steps[shape](*data)
        self._train_counter.assign_add(1)
        return logs

    def release(self) -> None:
        """Return what compiling, evaluating or sampling took, where little memory is to be used."""
        if self._recipe.config.lora is not None:
            memory.release()

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
        assert self.language_model is not None
        return self.language_model(inputs, training=training).logits  # (B, T, V)

    def evaluate_batches(self, batches: Sequence[Batch], *, alone: bool = False) -> Figures:
        """The task's metrics on held-out batches, with the current weights; alone: without the other workers."""
        sums = (self._alone if alone else self._steps).sums(batches)  # (K,) each
        self.release()
        return self._recipe.task.figures([math.fsum(column) for column in zip(*sums, strict=True)], batches)


def build_trainer(
    model: keras.Model | None,
    variables: Mapping[str, Variable],
    config: ModelConfig,
    settings: TrainingSettings,
    task: Task,
    *,
    dtype: DType,
    seed: int,
    last_step: int | None,
    gradient_checkpointing: bool,
    compile_whole_step: bool = False,
    packed: PackedShape | None = None,
    replicas: Replicas = ONE,
    shares: Sequence[StepShare] = (),
) -> Trainer:
    """A compiled trainer at step 0, its moments zero.

    Args:
        model: the Keras model around the variables (`container`), for the user's callbacks; None: there are none.
        variables: by canonical name. task: defines the loss.
        dtype: of the matrix products. seed: of the dropout masks.
        last_step: where the learning-rate schedule ends, or None.
        gradient_checkpointing: whether activations of blocks are recomputed to save memory.
        compile_whole_step: whether XLA compiles the step as a whole; see `devices.compiles_whole_step`.
        packed, shares: as in `TrainingData`. replicas: that train the model together.
    """
    trained = trained_names(variables, config, settings)
    schedule = WarmUpSchedule(settings.rate_for(config.parameters), settings.warmup_steps, settings.schedule, last_step)
    recipe = Recipe(
        config=config,
        dtype=dtype,
        trained=trained,
        task=task,
        dropout_rate=settings.dropout,
        gradient_checkpointing=gradient_checkpointing,
        scales_loss=dtype == tf.float16,
        optimizer=settings.optimizer,
        decay_shape=schedule.decay_shape,
        clips=settings.clip_norm > 0.0,
        by_xla=compile_whole_step,
        packed=packed,
        adapter_dropout_rate=settings.lora_dropout if config.lora else 0.0,
    )
    trainer = Trainer(model, variables, recipe, seed, replicas, shares)
    optimizer = FusedOptimizer(
        {name: variables[name] for name in sorted(trained)},
        kind=settings.optimizer,
        rate=LearningRate(schedule),
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    trainer.compile(optimizer=optimizer, jit_compile=compile_whole_step)
    return trainer


def trained_names(variables: Mapping[str, Variable], config: ModelConfig, settings: TrainingSettings) -> frozenset[str]:
    """The canonical names of the weights that these settings train.

    Raises:
        SettingsError: the model has fewer layers than are to be trained.
    """
    names = frozenset(variables)
    if config.lora is not None:
        return frozenset(name for name in names if is_of_adapter(name) or name == CLASSIFIER_HEAD)
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
    return frozenset(name for name in names if name.startswith((*last, "ln_f.", CLASSIFIER_HEAD)))
