"""Outputs that stand in the training completions: those that equal one word for word, and long passages from them.

Right answers repeat training completions too, short ones above all. So outputs are compared with their references: only
where clearly more outputs than references equal a training completion does the model repeat rather than answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpt2simple.data.words import find_words, folded
from gpt2simple.evaluation.memorisation import TrainingText
from gpt2simple.evaluation.ngrams import WORDS_PER_GRAM
from gpt2simple.evaluation.significance import FEWEST_DISCORDANT, LEVEL, binomial_p, p_text
from gpt2simple.storage.contents import counted


@dataclass(frozen=True, kw_only=True)
class Copy:
    """What an output has in common with the training completions.

    Attributes:
        is_completion: whether it equals one of them word for word, without regard to case and punctuation.
        spans: start and end, in characters, of its passages of eight words or more that stand in one.
    """

    is_completion: bool
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class CopyFigures:
    """How many outputs repeat training completions.

    Attributes:
        completions: how many they were compared with. outputs: how many there are.
        repeated: outputs that equal a completion word for word. matched: those of them that match a reference exactly.
        references: outputs whose first reference equals a completion.
        only_output, only_reference: of how many the output or the first reference does, but not both.
        with_passage: further outputs that hold a passage of eight words or more from a completion.
        p_value: how often chance alone makes such a difference between outputs and references (exact sign test).
    """

    completions: int
    outputs: int
    repeated: int
    matched: int
    references: int
    only_output: int
    only_reference: int
    with_passage: int
    p_value: float

    @property
    def is_memorised(self) -> bool | None:
        """Whether clearly more outputs than references are training completions; None: cannot say."""
        if self.only_output + self.only_reference < FEWEST_DISCORDANT:
            return None
        return self.p_value < LEVEL and self.only_output > self.only_reference

    def sentence(self) -> str:
        """What was found, and whether it shows that the model repeats its training completions."""
        facts = (
            f"Of {counted(self.outputs, 'output')}, {self.repeated:,} equal one of the {self.completions:,} training "
            f"completions word for word, and {self.matched:,} of these match a reference; of the references, "
            f"{self.references:,} equal one."
        )
        if self.with_passage:
            hold = "holds" if self.with_passage == 1 else "hold"
            facts += (
                f" {counted(self.with_passage, 'further output')} {hold} a passage of {WORDS_PER_GRAM} words or more "
                "of one."
            )
        if self.is_memorised is None:
            number = self.only_output + self.only_reference
            return (
                f"{facts} Whether the model repeats its training completions more often than right answers do cannot "
                f"be told: in {counted(number, 'case')} only one of the two does, and a judgement needs "
                f"{FEWEST_DISCORDANT}."
            )
        test = f"(exact sign test, {self.only_output:,} to {self.only_reference:,}, p {p_text(self.p_value)})"
        if self.is_memorised:
            return f"{facts} The model repeats its training completions more often than right answers do {test}."
        return f"{facts} That is no more often than right answers do, as far as these outputs show {test}."


def find_copies(
    outputs: Sequence[str], references: Sequence[Sequence[str]], matched: Sequence[bool], completions: Sequence[str]
) -> tuple[CopyFigures, list[Copy]]:
    """What outputs have in common with training completions, all together and each.

    Args:
        references: of each output at least one. matched: whether each output matches a reference exactly.

    Raises:
        DataError: there is no completion.
    """
    passages = TrainingText(completions).find_copies(outputs)
    known = set(map(_words, completions)) - {()}
    repeats = [_words(output) in known for output in outputs]
    seen = [_words(wanted[0]) in known for wanted in references]
    spans = [passages.copied_spans(number) for number in range(len(outputs))]
    pairs = list(zip(repeats, seen, strict=True))
    only_output, only_reference = pairs.count((True, False)), pairs.count((False, True))
    figures = CopyFigures(
        completions=len(completions),
        outputs=len(outputs),
        repeated=sum(repeats),
        matched=sum(a and b for a, b in zip(repeats, matched, strict=True)),
        references=sum(seen),
        only_output=only_output,
        only_reference=only_reference,
        with_passage=sum(bool(found) and not whole for found, whole in zip(spans, repeats, strict=True)),
        p_value=binomial_p(only_output, only_output + only_reference),
    )
    return figures, [Copy(is_completion=a, spans=b) for a, b in zip(repeats, spans, strict=True)]


def _words(text: str) -> tuple[str, ...]:
    return tuple(find_words(folded(text)))
