"""A model with its tokenizer and shape, as they were loaded from one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2simple._backend import TFGPT2LMHeadModel
from gpt2simple.errors import CheckpointError
from gpt2simple.model import assign_weights, load_model, model_shape, named_variables
from gpt2simple.shape import ModelShape
from gpt2simple.tokenizer import Tokenizer
from gpt2simple.weights.detect import open_checkpoint


@dataclass(frozen=True)
class LoadedModel:
    """What belongs together once a model is in memory.

    Attributes:
        model: float32 variables whatever the precision. variables: the same by canonical name.
    """

    model: TFGPT2LMHeadModel
    variables: dict[str, Any]
    shape: ModelShape
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> LoadedModel:
        """The model of a folder in any layout.

        Raises:
            CheckpointError: the folder holds no usable model, or a tokenizer that is not this model's.
        """
        tokenizer = Tokenizer.load(folder)  # first: it is quick, and most often what is missing
        model = load_model(folder)
        shape = model_shape(model)
        if tokenizer.end_of_text >= shape.n_vocab:
            raise CheckpointError(
                f"The tokenizer in {folder} has {tokenizer.vocab_size} tokens, and the model knows {shape.n_vocab}. "
                "Put the tokenizer files that came with the model there."
            )
        return cls(model, named_variables(model), shape, tokenizer)

    def refill(self, folder: Path) -> None:
        """Take the weights of another folder with a model of the same shape.

        Raises:
            CheckpointError: it holds none, or one of another shape.
        """
        with open_checkpoint(folder) as source:
            assign_weights(self.model, source)
