"""The result of evaluating a model on pairs: how well it predicts completions, and what it writes by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.evaluation.outputs.metrics import OutputFigures
from gpt2simple.storage.contents import counted, json_text, parse_json


class CompletionLoss(NamedTuple):
    """How well the completion of a pair was predicted.

    Attributes:
        number: of the pair among those that were to be evaluated, from 0; those that do not fit are left out.
        nats: summed over its tokens, its end included. text_bytes: of its text.
    """

    number: int
    nats: float
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """How well a model does on pairs.

    Attributes:
        loss: nats per token of the completions, their ends included. perplexity: e to the loss.
        bits_per_byte: the same loss by the bytes of the completions, which vocabularies do not change.
        tokens: of completions. prompt_loss: nats per token of the prompts, the first of which is not predicted; None:
            no prompt has a second one.
        truncated, left_out: pairs of which a part of the prompt, or which as a whole, did not fit.
        outputs: what the model wrote for each prompt, always taking the most probable token, beside the completion.
        length: tokens that it was allowed to write. seconds: how long all of it took.
        losses: of each completion that fits; not in JSON.
        numbers: of each output, the first pair with its prompt among those that were to be evaluated; not in JSON.
    """

    loss: float
    perplexity: float
    tokens: int
    prompt_loss: float | None
    truncated: int
    left_out: int
    outputs: OutputFigures
    length: int
    precision: str
    seconds: float
    losses: tuple[CompletionLoss, ...] = field(repr=False)
    numbers: tuple[int, ...] = field(repr=False)

    @property
    def bits_per_byte(self) -> float:
        return self.loss * self.tokens / math.log(2) / max(sum(one.text_bytes for one in self.losses), 1)

    def summary(self) -> str:
        """The figures in a few lines."""
        return "\n".join([*self.measured(), self.outputs.summary()])

    def measured(self) -> list[str]:
        """The loss, how outputs were written, and what did not fit, a line each."""
        prompts = "" if self.prompt_loss is None else f" Prompts: {self.prompt_loss:.4f} nats per token."
        lines = [
            f"Completions: {self.loss:.4f} nats per token, perplexity {self.perplexity:.2f}, {self.bits_per_byte:.3f} "
            f"bits/byte, {self.tokens:,} tokens.{prompts}",
            f"Outputs: the most probable token each time, at most {counted(self.length, 'token')}.",
        ]
        if self.truncated or self.left_out:
            lines.append(
                f"Too long: of {counted(self.truncated, 'prompt')} only the end was read, and "
                f"{counted(self.left_out, 'pair')} left out."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        values = {name: value for name, value in vars(self).items() if name not in ("outputs", "losses", "numbers")}
        values["bits_per_byte"] = self.bits_per_byte
        return {**parse_json(json_text(values)), "outputs": self.outputs.to_json()}

    def _repr_html_(self) -> str:
        return shown_in_notebook(before=self.measured()) + self.outputs._repr_html_()
