"""How models are compared: the same texts and split for each, and as many tokens or passes over the texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpt2simple.settings.classify import DEFAULT_EPOCHS, DEFAULT_RATES, ClassifierSettings
from gpt2simple.settings.fields import check, like, only, setting, texts_to_tuples, to_json
from gpt2simple.settings.finetune import LENGTH, LORA_FACTOR, FinetuneSettings, TrainingSettings
from gpt2simple.settings.generate import SAMPLES, GenerateSettings
from gpt2simple.settings.pairs import PairSettings
from gpt2simple.storage.contents import quoted

COMPARING = "Methods"  # a group of settings
METHODS = FULL, LORA = ("full", "lora")


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """By which methods each model is trained."""

    methods: tuple[str, ...] = setting(
        (FULL,),
        "How each model is trained: full (all of its weights), lora (an adapter beside them), or both.",
        group=COMPARING,
        common=True,
    )
    lora_rank: int = like(
        TrainingSettings,
        "lora_rank",
        default=16,
        minimum=1,
        help="Rank of the adapters, with lora among the methods.",
        group=COMPARING,
    )

    def __post_init__(self) -> None:
        texts_to_tuples(self, "methods")
        check(self, self._wrong_methods)

    def _wrong_methods(self) -> list[str]:
        if self.methods and set(self.methods) <= set(METHODS) and len(set(self.methods)) == len(self.methods):
            return []
        return [f"methods is {quoted(list(self.methods))}; expected {FULL!r}, {LORA!r} or both."]

    def training_by(self, method: str) -> dict[str, Any]:
        """The settings of fine-tuning, by name, that make it this method."""
        return {FULL: {}, LORA: {"lora_rank": self.lora_rank}}[method]

    def adapters_in_words(self) -> str:
        """A sentence on the adapters, after a space; "" without them."""
        return f" LoRA: rank {self.lora_rank}." if LORA in self.methods else ""

    def common(self) -> dict[str, Any]:
        """What all models share, whatever the method; JSON values."""
        return {name: value for name, value in to_json(self).items() if name not in MethodSettings.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class CompareSettings(MethodSettings):
    """How models are compared."""

    tokens: int | None = setting(
        None, "Training tokens per model; None: four passes over the text.", minimum=1, group=LENGTH, common=True
    )
    batch_size: int = like(FinetuneSettings, "batch_size", default=2, help="Windows per optimizer step.")
    window: int | None = like(
        FinetuneSettings,
        "window",
        help="Context length in tokens; None: the longest that every model supports, up to 256.",
    )
    learning_rate: float | None = like(
        FinetuneSettings,
        "learning_rate",
        help=f"Peak learning rate, the same for each model and method; None: 1e-4, and {LORA_FACTOR} times as much for "
        "lora.",
    )
    evaluations: int = setting(
        10, "Evaluations on the held-out text in each run.", minimum=4, formerly="looks", group=LENGTH
    )
    nsamples: int = like(GenerateSettings, "nsamples", default=3, help="Samples per model, generated at its best step.")
    length: int = like(GenerateSettings, "length", help="Length of these samples in tokens.")
    temperature: float = like(GenerateSettings, "temperature", group=SAMPLES)
    seed: int = like(FinetuneSettings, "seed", default=0, help="Random seed of each run and its samples.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.samples  # raises before a model is trained with settings that contradict each other

    @property
    def samples(self) -> GenerateSettings:
        """How the samples of each model are generated."""
        return GenerateSettings(
            nsamples=self.nsamples, length=self.length, temperature=self.temperature, seed=self.seed
        )


@dataclass(frozen=True, kw_only=True)
class CompareClassifiersSettings(MethodSettings):
    """How classifiers are compared."""

    epochs: float = like(ClassifierSettings, "epochs", default=DEFAULT_EPOCHS, help="Passes over the training texts.")
    batch_size: int = like(ClassifierSettings, "batch_size", help="Texts per optimizer step.")
    learning_rate: float | None = like(
        ClassifierSettings, "learning_rate", help=f"{DEFAULT_RATES}; {LORA_FACTOR} times as much for lora."
    )
    max_length: int | None = like(
        ClassifierSettings,
        "max_length",
        help="Tokens of a text that are read, from its beginning; None: as many as every model reads.",
    )
    class_weights: bool = like(ClassifierSettings, "class_weights")
    seed: int = like(ClassifierSettings, "seed", default=0, help="Random seed of the split and of each run.")


@dataclass(frozen=True, kw_only=True)
class ComparePairsSettings(MethodSettings):
    """How models are compared on pairs."""

    epochs: float = like(PairSettings, "epochs", default=3.0, help="Passes over the training pairs.")
    batch_size: int = like(PairSettings, "batch_size", help="Pairs per optimizer step.")
    learning_rate: float | None = like(CompareSettings, "learning_rate")
    loss_on: str = like(PairSettings, "loss_on")
    max_length: int | None = like(
        PairSettings,
        "max_length",
        help="Tokens of a pair that are read; of a longer one the beginning of the prompt is cut off. None: as many as "
        "every model reads.",
    )
    seed: int = like(PairSettings, "seed", default=0, help="Random seed of the split and of each run.")


# What a comparison takes besides the settings of one on a text, where its dataset may hold pairs.
COMPARED_PAIRS = only(ComparePairsSettings, "epochs", "loss_on", "max_length")
