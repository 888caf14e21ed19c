"""Keras models for tests: loaded from a folder, filled and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.gpt2.container import make_container, named_variables
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.variables import assign_weights as assign_variables
from gpt2simple.gpt2.variables import make_variables, read_weight


def load_model(folder: Path) -> Any:
    """The model in a folder, in any layout, with or without a tokenizer."""
    with open_checkpoint(folder) as source:
        return make_container(make_variables(source.config, source.read), source.config)


def weight_reader(model: Any) -> Callable[[str], np.ndarray]:
    """A function from a canonical name to that weight as a float32 array of its canonical shape."""
    return partial(read_weight, named_variables(model))


def assign_weights(model: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Overwrite every variable of a model."""
    assign_variables(named_variables(model), weights)
