"""What a task makes of its dataset for a fine-tuning call; `request` says how a task is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # these load TensorFlow, which checking a request does not need
    from gpt2simple.generation.generator import Generator
    from gpt2simple.gpt2.model import LoadedModel
    from gpt2simple.training.data import TrainingData
    from gpt2simple.training.task import Task


SAMPLE_EVERY = 100  # steps, unless a call says otherwise


class Summary(Protocol):
    """What is said of a dataset before training on it."""

    def text(self) -> str:
        """For people, a few lines."""

    def to_json(self) -> dict[str, Any]:
        """For run.json."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A dataset as a run trains on it.

    Attributes:
        task, data, summary: of the run.
        rows_per_epoch, held_out_rows: rows in which the dataset is read once, and rows that an evaluation reads.
        row_tokens, longest_row: tokens of a row with padding, on average and at most.
        train_tokens, held_out_tokens: what is learned from, and what each evaluation reads.
        fingerprint, validation_fingerprint: of the dataset and of the user's own text to hold out.
        target: what is predicted: a token, or the class of a text.
        sample: a generator with the model of a step, and the step -> what it writes, to be shown; None: nothing.
        sample_every: steps between samples; 0: none.
        test: the model with the run's best weights, and its name -> figures on texts that nothing was chosen by.
        files: further ones of the model's folder, by name.
    """

    task: Task
    data: TrainingData
    summary: Summary
    rows_per_epoch: int
    held_out_rows: int
    row_tokens: float
    longest_row: int
    train_tokens: int
    held_out_tokens: int
    fingerprint: str
    validation_fingerprint: str | None
    target: str = "token"
    sample: Callable[[Generator, int], str] | None = None
    sample_every: int = 0
    test: Callable[[LoadedModel, str], Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
