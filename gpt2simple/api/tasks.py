"""What a fine-tuning call needs of its task: how its dataset is read, and what becomes of it.

`language` and `classification` have one `TaskKind` each; nothing else in a fine-tuning call depends on the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gpt2simple.settings import ReadingSettings, TrainingSettings
from gpt2simple.settings.tasks import TASK_SETTINGS

if TYPE_CHECKING:  # these load TensorFlow, which checking a request does not need
    from gpt2simple.api.request import Request
    from gpt2simple.data.prepare import ProgressBar
    from gpt2simple.gpt2.model import LoadedModel
    from gpt2simple.training.data import TrainingData
    from gpt2simple.training.task import Task


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
        function: of the API, which continues the run.
        rows_per_epoch: rows of batches in which the dataset is read once.
        row_tokens, longest_row: tokens of a row with padding, on average and at most.
        train_tokens, held_out_tokens: what is learned from, and what each evaluation reads.
        fingerprint, validation_fingerprint: of the dataset and of the user's own text to hold out.
        target: what is predicted: a token, or the class of a text.
        sample_every: steps between samples; 0: none.
        test: the model with the run's best weights, and its name -> figures on texts that nothing was chosen by.
    """

    task: Task
    data: TrainingData
    summary: Summary
    function: str
    rows_per_epoch: int
    row_tokens: float
    longest_row: int
    train_tokens: int
    held_out_tokens: int
    fingerprint: str
    validation_fingerprint: str | None
    target: str = "token"
    sample_every: int = 0
    test: Callable[[LoadedModel, str], Any] | None = None


@dataclass(frozen=True)
class TrainingCall:
    """A fine-tuning call as the user made it; the settings by name."""

    kind: TaskKind
    dataset: Any
    settings: Mapping[str, Any]
    callbacks: Any


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One of the tasks.

    Attributes:
        name: as run.json has it.
        open: a dataset and its settings -> what ``prepare`` takes; called before a model is loaded.
        labels: that -> the classes that the model has to tell apart; none for a language model.
        prepare: the request, the loaded model and a progress bar -> the data of the run.
    """

    name: str
    open: Callable[[Any, Any], Any]
    labels: Callable[[Any], tuple[str, ...]]
    prepare: Callable[[Request, LoadedModel, ProgressBar], Prepared]

    @property
    def settings(self) -> type[TrainingSettings]:
        """How such a model is trained."""
        return TASK_SETTINGS[self.name][0]

    @property
    def texts(self) -> type[ReadingSettings]:
        """How its dataset is read."""
        return TASK_SETTINGS[self.name][1]
