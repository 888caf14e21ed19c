"""How models are compared: the same text, split and token budget for each."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, like, setting
from gpt2simple.settings.finetune import FinetuneSettings
from gpt2simple.settings.generate import GenerateSettings


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """How models are compared."""

    tokens: int | None = setting(
        None, "Tokens that each model is trained on; None: four passes over the text.", minimum=1
    )
    batch_size: int = like(FinetuneSettings, "batch_size", default=2, help="Windows of text per optimizer step.")
    window: int | None = like(
        FinetuneSettings,
        "window",
        help="Tokens of context per window; None: the most that every model reads, up to 256.",
    )
    learning_rate: float = like(
        FinetuneSettings, "learning_rate", help="Highest learning rate, the same for each model."
    )
    evaluations: int = setting(10, "Evaluations on the held-out text in each run.", minimum=4, formerly="looks")
    nsamples: int = like(GenerateSettings, "nsamples", default=3, help="Samples of each model, at its best step.")
    length: int = like(GenerateSettings, "length", help="Tokens per sample.")
    temperature: float = like(GenerateSettings, "temperature")
    seed: int = like(FinetuneSettings, "seed", default=0, help="Makes the comparison repeatable.")

    def __post_init__(self) -> None:
        check(self)
        _ = self.samples  # complains of what a single setting cannot say, before a model is trained

    @property
    def samples(self) -> GenerateSettings:
        """How each model writes its samples."""
        return GenerateSettings(
            nsamples=self.nsamples, length=self.length, temperature=self.temperature, seed=self.seed
        )
