"""How a classifier is trained: labelled texts, their three parts, and what differs from language modelling."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, like, only, setting
from gpt2simple.settings.finetune import LEARNING, LENGTH, LORA_FACTOR, TrainingSettings
from gpt2simple.settings.text import TEXT, ReadingSettings, TextSettings

LABELLED = "Labelled texts"  # groups of settings
CLASSIFYING = "Classifying"
METRICS = ("loss", "accuracy")
DEFAULT_EPOCHS = 3.0
LARGEST_SMALL_MODEL = 10_000_000  # parameters
RATE_OF_SMALL_MODELS, RATE_OF_LARGE_MODELS = 2e-4, 5e-5
DEFAULT_RATES = "Peak learning rate; None: 2e-4 for models of up to 10 million parameters, 5e-5 for larger ones"


@dataclass(frozen=True, kw_only=True)
class LabelledTextSettings(ReadingSettings):
    """How the labelled texts are read."""

    label_column: str | int | None = setting(
        None,
        "Column (name, or index from 0), JSON key or feature that holds the label; None: label, class, category, "
        "sentiment or target, or the only one beside the text.",
        group=LABELLED,
        common=True,
    )
    validation_split: float = like(
        TextSettings, "validation_split", help="Fraction of the texts that training is evaluated on; 0: none."
    )
    validation_file: str | None = setting(
        None, "Labelled texts of your own to evaluate training on.", path=True, group=TEXT
    )
    test_split: float = setting(
        0.1,
        "Fraction of the texts that the finished classifier is tested on, at most 0.5; 0: none.",
        minimum=0.0,
        maximum=0.5,
        group=LABELLED,
    )
    test_file: str | None = setting(
        None, "Labelled texts of your own to test on, in place of a fraction.", path=True, group=LABELLED
    )


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(TrainingSettings):
    """How the classifier is trained."""

    steps: int | None = like(
        TrainingSettings,
        "steps",
        help=f"Optimizer steps of the whole run; without steps or epochs: {DEFAULT_EPOCHS:.0f} epochs.",
    )
    epochs: float | None = like(TrainingSettings, "epochs", help="Passes over the training texts; instead of steps.")
    batch_size: int = like(TrainingSettings, "batch_size", default=32, help="Texts per micro-batch.")
    learning_rate: float | None = like(
        TrainingSettings,
        "learning_rate",
        default=None,
        help=f"{DEFAULT_RATES}; with lora_rank {LORA_FACTOR} times as much.",
    )
    schedule: str = like(TrainingSettings, "schedule", default="linear")
    early_stopping_patience: int | None = like(
        TrainingSettings,
        "early_stopping_patience",
        default=None,
        help="Evaluations without improvement before training stops; None: it does not stop early. The best step is "
        "kept in any case.",
    )
    early_stopping_metric: str = setting(
        "loss", "What decides which step is the best: validation loss or accuracy.", choices=METRICS, group=LENGTH
    )
    max_length: int | None = setting(
        None,
        "Tokens of a text that are read, from its beginning; None: as many as the model reads.",
        minimum=1,
        group=LEARNING,
        common=True,
    )
    class_weights: bool = setting(
        False,
        "Give each class the same weight in the loss, however many texts it has; False: each text.",
        group=LEARNING,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is None and self.epochs is None:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS)  # frozen: for everybody but itself

    def rate_for(self, parameters: int) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        rate = RATE_OF_SMALL_MODELS if parameters <= LARGEST_SMALL_MODEL else RATE_OF_LARGE_MODELS
        return LORA_FACTOR * rate if self.lora_rank else rate

    def patience_until(self, last_step: int | None) -> int | None:
        return self.early_stopping_patience


@dataclass(frozen=True, kw_only=True)
class ClassifySettings:
    """How texts are classified."""

    max_length: int | None = like(
        ClassifierSettings,
        "max_length",
        help="Tokens of a text that are read; None: as in training, or as many as the model reads.",
        group=CLASSIFYING,
    )
    batch_size: int = setting(32, "Texts that are computed together.", minimum=1, group=CLASSIFYING, common=True)

    def __post_init__(self) -> None:
        check(self)


# What a function takes besides `TextSettings` that reads labelled texts.
LABELS = only(LabelledTextSettings, "label_column", "test_split", "test_file")
