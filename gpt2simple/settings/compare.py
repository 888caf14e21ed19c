"""How models are compared: the same text, split and token budget for each."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, setting


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """How models are compared."""

    tokens: int | None = setting(
        None, "Tokens that each model is trained on; None: four passes over the text.", minimum=1
    )
    batch_size: int = setting(2, "Windows of text per optimizer step.", minimum=1)
    window: int | None = setting(
        None, "Tokens of context per window; None: the most that every model reads, up to 256.", minimum=2
    )
    learning_rate: float = setting(1e-4, "Highest learning rate, the same for each model.", above=0.0)
    looks: int = setting(10, "Looks at the held-out text in each run.", minimum=4)
    nsamples: int = setting(3, "Samples of each model, at its best step.", minimum=1)
    length: int = setting(200, "Tokens per sample.", minimum=1)
    temperature: float = setting(0.7, "Randomness of the samples: 1 follows the model.", minimum=0.0)
    seed: int = setting(0, "Makes the comparison repeatable.", minimum=0)

    def __post_init__(self) -> None:
        check(self)
