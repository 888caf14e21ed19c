"""How a model is evaluated on a text: windows, stride, which part of the text."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, like, setting
from gpt2simple.settings.finetune import FinetuneSettings

EVALUATING = "Evaluating"  # a group of settings


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How the model is evaluated."""

    window: int | None = like(FinetuneSettings, "window", minimum=1, group=EVALUATING)
    stride: int | None = setting(
        None,
        "Tokens from one window to the next; None: a whole window. Smaller: more context, slower.",
        minimum=1,
        group=EVALUATING,
        common=True,
    )
    batch_size: int = setting(4, "Windows, or labelled texts, per batch.", minimum=1, group=EVALUATING)
    part: str = setting(
        "all",
        "Part of the text: all of it, or what fine-tuning holds out or trains on; of labelled texts also test.",
        choices=("all", "held_out", "train", "test"),
        group=EVALUATING,
        common=True,
    )
    per_document: bool = setting(False, "Also return the results of each document.", group=EVALUATING)
    predictions: str | None = setting(
        None,
        "File for what a run on pairs writes: for each prompt a line of JSON with prompt, references, output, "
        "exact_match and f1. An earlier file of this kind is replaced, any other is not.",
        path=True,
        group=EVALUATING,
        common=True,
    )

    def __post_init__(self) -> None:
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        if self.window is not None and self.stride is not None and self.stride > self.window:
            return [
                f"stride is {self.stride}, more than window, {self.window}: tokens between the windows would not be "
                f"evaluated. Give a stride of at most {self.window}."
            ]
        return []
