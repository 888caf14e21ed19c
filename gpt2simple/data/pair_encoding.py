"""Pairs as token ids: prompt and completion each encoded by itself, and the loss on the completion alone.

What the loss counts is decided by position, never by id, so that the end of a completion is learned though the same
token may fill a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpt2simple.data.packing import ReadText
from gpt2simple.data.prompt_template import PromptTemplate
from gpt2simple.data.readers.pairs import Pair
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.pairs import COMPLETION, END_OF_TEXT
from gpt2simple.storage.contents import counted


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedPairs:
    """Pairs as token ids.

    Attributes:
        prompts, completions: int32 [T] of each pair, completions with their end.
        numbers: int64 [n], which of the pairs that were encoded these are.
        longest: tokens of a pair that are read, at most, without its last, which is only predicted.
        truncated: pairs of which the beginning of the prompt was cut off.
        left_out: places of pairs whose completion does not fit.
    """

    prompts: tuple[np.ndarray, ...]
    completions: tuple[np.ndarray, ...]
    numbers: np.ndarray
    longest: int
    truncated: int
    left_out: tuple[str, ...]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair that are read: all but its last, int64 [n]."""
        lengths = (len(p) + len(c) - 1 for p, c in zip(self.prompts, self.completions, strict=True))
        return np.fromiter(lengths, np.int64, len(self.prompts))

    def targets(self, loss_on: str) -> np.ndarray:
        """How many tokens of each pair the loss counts, int64 [n]; see ``pair_reader``."""
        if loss_on == COMPLETION:
            return np.fromiter(map(len, self.completions), np.int64, len(self.completions))
        return self.lengths

    def hints(self) -> list[str]:
        """Sentences for the user on what was cut off and left out."""
        found = []
        if self.truncated:
            found.append(
                f"Of {counted(self.truncated, 'prompt')} only the end is read: with the completion, a pair has at most "
                f"{self.longest + 1:,} tokens."
            )
        if self.left_out:
            found.append(
                f"Left out: {counted(len(self.left_out), 'pair')} whose completion is too long for "
                f"{self.longest + 1:,} tokens, the first at {self.left_out[0]}."
            )
        return found


def encode_pairs(pairs: Sequence[Pair], template: PromptTemplate, tokenizer: Tokenizer, longest: int) -> EncodedPairs:
    """The ids of pairs, those of too many tokens without the beginning of the prompt.

    The completion is never cut. A pair is left out where it would leave less of the prompt than the mark before the
    completion, by which the model knows where to begin.

    Args:
        longest: tokens of a pair that the model reads; it predicts one more.

    Raises:
        DataError: no pair is left.
    """
    ends_document = template.end in (END_OF_TEXT, tokenizer.end_of_text_name)
    marked = max(1, len(tokenizer.encode(template.assistant)))
    prompts, completions, numbers, left_out = [], [], [], []
    truncated = 0
    for number, pair in enumerate(pairs):
        if ends_document:
            completion = [*tokenizer.encode(pair.completion), tokenizer.end_of_text]
        else:
            completion = tokenizer.encode(pair.completion + template.end)
        room = longest + 1 - len(completion)
        if room < marked:
            left_out.append(pair.where)
            continue
        prompt = tokenizer.encode(template.prompt_of(pair.messages)) or [tokenizer.end_of_text]
        truncated += len(prompt) > room
        prompts.append(np.array(prompt[-room:], np.int32))
        completions.append(np.array(completion, np.int32))
        numbers.append(number)
    if pairs and not prompts:
        raise DataError(
            f"No completion fits into {longest + 1:,} tokens, of which the mark before it takes {marked}; the first "
            f"is at {left_out[0]}. Give shorter completions."
        )
    return EncodedPairs(
        prompts=tuple(prompts), completions=tuple(completions), numbers=np.array(numbers, np.int64), longest=longest,
        truncated=truncated, left_out=tuple(left_out),
    )  # fmt: skip


def pair_reader(encoded: EncodedPairs, loss_on: str = COMPLETION) -> ReadText:
    """Reads a pair for a batch: its inputs, the tokens that follow them, and which of these the loss counts.

    Args:
        loss_on: "completion", or "all": the prompt's tokens too.
    """

    def read(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        prompt, completion = encoded.prompts[number], encoded.completions[number]
        ids = np.concatenate([prompt, completion])  # (T + 1,)
        loss_mask = np.ones(len(ids) - 1, np.float32)  # (T,)
        if loss_on == COMPLETION:
            loss_mask[: len(prompt) - 1] = 0.0  # the prompt's last token predicts the completion's first
        return ids[:-1], ids[1:], loss_mask

    return read
