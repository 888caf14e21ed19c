"""What a text amounts to, before training on it: counts, how it relates to the model's size, and warnings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gpt2simple.data.corpus import Corpus
from gpt2simple.data.split import Split
from gpt2simple.storage.contents import counted

# Training tokens per parameter. The 124M model knows Tiny Shakespeare (300,000 tokens, 0.0024 per parameter) by heart
# after a few passes; at four times as much that begins to take more passes than people train.
MEMORISED_BELOW = 0.01


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """Counts of a text and of its parts."""

    sources: tuple[str, ...]
    files: int
    documents: int
    duplicates: int  # documents with the same words as an earlier one: case, spacing and punctuation may differ
    near_duplicates: int  # other documents that share half of their n-grams with an earlier one, or more
    characters: int
    bytes: int  # of UTF-8
    tokens: int
    parameters: int  # of the model
    train_tokens: int
    held_out_tokens: int
    messages: tuple[str, ...]

    @property
    def tokens_per_parameter(self) -> float:
        return self.train_tokens / self.parameters

    @property
    def held_out_share(self) -> float:
        """Held-out tokens as a share of training and held-out tokens together, 0 to 1."""
        return self.held_out_tokens / max(self.train_tokens + self.held_out_tokens, 1)

    @property
    def warning(self) -> str | None:
        """What to expect where the text is so small that the model will memorise it."""
        if self.tokens_per_parameter >= MEMORISED_BELOW:
            return None
        advice = "Train until the held-out loss stops falling" if self.held_out_tokens else "Take few steps"
        return (
            f"The text has one token for every {self.parameters / max(self.train_tokens, 1):,.0f} parameters, so the "
            f"model will memorise it after a few passes. {advice}, add text, or choose a smaller model."
        )

    def text(self) -> str:
        """The summary for people, a few lines, with messages and the warning at the end."""
        counts = [(self.duplicates, "copies"), (self.near_duplicates, "near copies")]
        found = [f"{number:,} of them {name} of others" for number, name in counts if number]
        copies = f" ({', '.join(found)})" if found else ""
        read = f"{counted(self.files, 'file')}, " if self.files else ""
        lines = [
            f"Text: {read}{counted(self.documents, 'document')}{copies}, {self.characters:,} characters, "
            f"{self.tokens:,} tokens ({self.bytes / max(self.tokens, 1):.2f} bytes each)",
            f"Training: {self.train_tokens:,} tokens, {self.tokens_per_parameter:.2g} for each of the model's "
            f"{self.parameters:,} parameters",
            f"Held out: {self.held_out_tokens:,} tokens ({self.held_out_share:.1%})",
            *self.messages,
        ]
        return "\n".join([*lines, self.warning] if self.warning else lines)

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values, as run.json has it, where the messages are called notices."""
        values = asdict(self)
        values["notices"] = list(values.pop("messages"))
        derived = ("tokens_per_parameter", "held_out_share", "warning")
        return {**values, "sources": list(self.sources), **{name: getattr(self, name) for name in derived}}


def summary(corpus: Corpus, split: Split, parameters: int) -> DataSummary:
    """The summary of a text and its split, for a model of so many parameters."""
    return DataSummary(
        sources=corpus.sources,
        files=corpus.files,
        documents=corpus.documents,
        duplicates=corpus.duplicates,
        near_duplicates=corpus.near_duplicates,
        characters=corpus.characters,
        bytes=corpus.bytes,
        tokens=corpus.tokens,
        parameters=parameters,
        train_tokens=split.train.tokens,
        held_out_tokens=split.held_out.tokens if split.held_out else 0,
        messages=split.messages,
    )
