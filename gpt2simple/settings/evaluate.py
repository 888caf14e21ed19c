"""How a model is measured on a text: windows, stride, which part of the text."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, setting


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How the model is measured."""

    window: int | None = setting(None, "Tokens of context per window; None: the model's longest.", minimum=1)
    stride: int | None = setting(
        None, "Tokens from one window to the next; None: a whole window. Smaller: more context, more time.", minimum=1
    )
    batch_size: int = setting(4, "Windows computed at the same time.", minimum=1)
    part: str = setting(
        "all",
        "Which part of the text: all, or what fine-tuning holds out or learns.",
        choices=("all", "held_out", "train"),
    )
    per_document: bool = setting(False, "Also return the figures of each document.")

    def __post_init__(self) -> None:
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        if self.window is not None and self.stride is not None and self.stride > self.window:
            return [
                f"stride is {self.stride}, more than window, {self.window}: tokens between the windows would not be "
                f"measured. Give a stride of at most {self.window}."
            ]
        return []
