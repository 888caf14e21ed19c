"""The tasks that a model can be trained for, by the names that run.json has, with the settings of each."""

from __future__ import annotations

from gpt2simple.settings.classify import ClassifierSettings, LabelledTextSettings
from gpt2simple.settings.finetune import FinetuneSettings, TrainingSettings
from gpt2simple.settings.pairs import PairSettings, PairTextSettings
from gpt2simple.settings.text import ReadingSettings, TextSettings

LANGUAGE_MODELING, CLASSIFICATION, PAIRS = "language modeling", "classification", "pairs"

TASK_SETTINGS: dict[str, tuple[type[TrainingSettings], type[ReadingSettings]]] = {
    LANGUAGE_MODELING: (FinetuneSettings, TextSettings),
    CLASSIFICATION: (ClassifierSettings, LabelledTextSettings),
    PAIRS: (PairSettings, PairTextSettings),
}


# Of the API, which train them.
FUNCTIONS = {LANGUAGE_MODELING: "finetune", CLASSIFICATION: "finetune_classifier", PAIRS: "finetune"}


def task_of(settings: TrainingSettings) -> str:
    """The name of the task that these are settings of."""
    return next(name for name, (cls, _) in TASK_SETTINGS.items() if type(settings) is cls)
