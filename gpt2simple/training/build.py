"""A trainer made from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.settings import FinetuneSettings
from gpt2simple.shape import ModelShape
from gpt2simple.training.optimizer import FusedOptimizer
from gpt2simple.training.rate import LearningRate
from gpt2simple.training.schedule import WarmUpSchedule
from gpt2simple.training.step import Gradients
from gpt2simple.training.trainer import Trainer


def build_trainer(
    model: Any,
    variables: Mapping[str, Any],
    shape: ModelShape,
    settings: FinetuneSettings,
    *,
    dtype: Any,
    seed: int,
    last_step: int | None,
    checkpointing: bool,
    compile_whole_step: bool = False,
) -> Trainer:
    """A compiled trainer at step 0, its moments zero.

    Args:
        model: the `TFGPT2LMHeadModel`. variables: its variables by canonical name.
        dtype: of the matrix products.
        seed: of the dropout masks. last_step: where the learning rate's schedule ends, or None.
        checkpointing: whether blocks are computed twice to save memory.
        compile_whole_step: whether XLA compiles the step as one; see `devices.compiles_whole_step`.
    """
    trained = trained_names(variables, shape, settings)
    gradients = Gradients(
        variables, trained, shape, dtype, dropout_rate=settings.dropout, seed=seed, checkpointing=checkpointing
    )
    trainer = Trainer(model, gradients, dtype, shape, variables)
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


def trained_names(variables: Mapping[str, Any], shape: ModelShape, settings: FinetuneSettings) -> frozenset[str]:
    """The canonical names of the weights that these settings train.

    Raises:
        SettingsError: more layers are to be trained than there are.
    """
    names = frozenset(variables)
    if settings.only_train_transformer_layers:
        return names - {"wte.weight", "wpe.weight"}
    count = settings.train_last_n_layers
    if count is None:
        return names
    if count > shape.n_layer:
        raise SettingsError(
            f"train_last_n_layers is {count}; this model has {shape.n_layer} layers. Give up to {shape.n_layer}."
        )
    last = tuple(f"h.{number}." for number in range(shape.n_layer - count, shape.n_layer))
    return frozenset(name for name in names if name.startswith((*last, "ln_f.")))
