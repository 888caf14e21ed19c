"""What share of generated text is copied from the training text, and which passages are.

The measure of the GPT-2 paper (Radford et al. 2019, section 4): the share of sequences of eight words, lower-cased and
without punctuation, that occur in the training text. Some occur in any text; the held-out text, which the model never
saw, is the baseline. Exact: nothing is sampled or approximated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpt2simple.errors import DataError
from gpt2simple.evaluation.html import render
from gpt2simple.evaluation.ngrams import WORDS_PER_GRAM, CopyIndex, Match, Vocabulary, WordSequence

# Copying counts as memorisation from this much above the held-out text's own share: the overlaps of texts by one
# author differ by a few hundredths.
_CLEARLY_MORE = 0.05


@dataclass(frozen=True)
class Passage:
    """Words of a sample that occur in the training text in the same order.

    Attributes:
        sample: index of the sample. start, end: characters of it.
        words: length; the passage cannot be extended on either side. text: the passage as the sample spells it.
        document, line, character: where it first occurs in the training text, counted from 1, 1 and 0.
        source: the passage as the training text spells it. places: how many times it occurs there.
    """

    sample: int
    start: int
    end: int
    words: int
    text: str
    document: int
    line: int
    character: int
    source: str
    places: int


@dataclass(frozen=True, kw_only=True)
class MemorisationReport:
    """How much of some samples is copied from the training text.

    Attributes:
        samples: the texts compared. passages: the copied ones, longest first.
        sample_shares: ``share`` of each sample.
        judged: how many of the last samples decide whether the text was memorised.
        judged_grams, judged_copied_grams: ``grams`` and ``copied_grams`` of those.
        grams: sequences of eight words in the samples. copied_grams: those that occur in the training text.
        held_out_grams, held_out_copied_grams: the same for the held-out text; 0 if there is none.
        training_words: words of the training text.
    """

    samples: tuple[str, ...]
    passages: tuple[Passage, ...]
    sample_shares: tuple[float, ...]
    judged: int
    judged_grams: int
    judged_copied_grams: int
    grams: int
    copied_grams: int
    held_out_grams: int
    held_out_copied_grams: int
    training_words: int

    @property
    def share(self) -> float:
        """Share of the samples' sequences of eight words that occur in the training text, 0 to 1."""
        return self.copied_grams / max(self.grams, 1)

    @property
    def judged_share(self) -> float:
        """The same for the last samples, on which the verdict is based: earlier ones are by a weaker model."""
        return self.judged_copied_grams / max(self.judged_grams, 1)

    @property
    def natural_share(self) -> float | None:
        """Share of the held-out text's sequences that occur in the training text; None if nothing was held out."""
        return self.held_out_copied_grams / self.held_out_grams if self.held_out_grams else None

    @property
    def longest(self) -> Passage | None:
        """The longest copied passage."""
        return self.passages[0] if self.passages else None

    @property
    def is_memorised(self) -> bool:
        """Whether the judged samples repeat the training text clearly more than unseen text does."""
        return self.judged_share > (self.natural_share or 0.0) + _CLEARLY_MORE

    def summary(self) -> str:
        """The result in a few lines."""
        natural = self.natural_share
        baseline = "nothing was held out to compare with" if natural is None else f"held-out text: {natural:.1%}"
        lines = [
            f"{self.share:.1%} of the samples' sequences of {WORDS_PER_GRAM} words occur in the training text "
            f"({self.copied_grams:,} of {self.grams:,}; {baseline})."
        ]
        if self.judged < len(self.samples):
            lines.append(f"In the last {self.judged} samples: {self.judged_share:.1%}.")
        if (longest := self.longest) is not None:
            lines.append(
                f"Longest copied passage: {longest.words} words, in document {longest.document} at line "
                f"{longest.line:,}: {shortened(longest.text)!r}."
            )
        lines.append(self.conclusion())
        return "\n".join(lines)

    def conclusion(self) -> str:
        """The result in one sentence."""
        samples = "The samples" if self.judged == len(self.samples) else f"The last {self.judged} samples"
        if not self.judged_grams:
            return f"{samples} have fewer than {WORDS_PER_GRAM} words, too few to measure copying."
        if self.is_memorised:
            return f"{samples} repeat the training text: the model has memorised it."
        return f"{samples} repeat the training text no more than unseen text would."

    def copied_spans(self, sample: int) -> tuple[tuple[int, int], ...]:
        """Start and end, in characters, of what a sample copies: in order and without overlap."""
        found: list[tuple[int, int]] = []
        for start, end in sorted((p.start, p.end) for p in self.passages if p.sample == sample):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        shares = ("share", "judged_share", "natural_share", "is_memorised")
        counts = ("grams", "copied_grams", "held_out_grams", "held_out_copied_grams", "training_words")
        return {
            "words_per_gram": WORDS_PER_GRAM,
            "judged_samples": self.judged,
            **{name: getattr(self, name) for name in (*shares, *counts)},
            "longest_words": self.longest.words if self.longest else 0,
            "sample_shares": list(self.sample_shares),
            "passages": [asdict(passage) for passage in self.passages],
            "samples": list(self.samples),
        }

    def _repr_html_(self) -> str:
        return render("memorisation.html", report=self)


class TrainingText:
    """A training text, indexed once to find what samples copy from it.

    Args:
        texts: its documents. held_out: documents that the model never saw.

    Raises:
        DataError: there is no training text.
    """

    def __init__(self, texts: Iterable[str], held_out: Iterable[str] = ()) -> None:
        self._vocabulary = Vocabulary()
        self._source = WordSequence(texts, self._vocabulary)
        if not self._source.texts:
            raise DataError("There is no training text to compare with. Give the text that the model was trained on.")
        self._index = CopyIndex(self._source.words)
        self._held_out_grams, self._held_out_copied = 0, 0
        for text in held_out:
            copied, grams = self._count(np.array(self._vocabulary.numbers(text), dtype=np.int32))
            self._held_out_copied += copied
            self._held_out_grams += grams

    def find_copies(self, samples: Sequence[str], *, judged: int | None = None) -> MemorisationReport:
        """What these samples copy, each sample on its own.

        Args:
            judged: how many of the last samples decide whether the text was memorised; None: all.
        """
        passages: list[Passage] = []
        counts: list[tuple[int, int]] = []
        for number, text in enumerate(samples):
            written = WordSequence([text], self._vocabulary)
            counts.append(self._count(written.words[:-1]))
            passages += [self._passage(number, written, match) for match in self._index.matches(written.words)]
        last = counts[-judged:] if judged else counts
        return MemorisationReport(
            samples=tuple(samples),
            passages=tuple(sorted(passages, key=lambda p: (-p.words, p.sample, p.start))),
            sample_shares=tuple(copied / max(grams, 1) for copied, grams in counts),
            judged=len(last),
            judged_grams=sum(grams for _, grams in last),
            judged_copied_grams=sum(copied for copied, _ in last),
            grams=sum(grams for _, grams in counts),
            copied_grams=sum(copied for copied, _ in counts),
            held_out_grams=self._held_out_grams,
            held_out_copied_grams=self._held_out_copied,
            training_words=int((self._source.words >= 0).sum()),
        )

    def _count(self, words: np.ndarray) -> tuple[int, int]:
        """How many sequences of eight words are copied, and how many there are."""
        copied = self._index.copied(words)  # (len(words) - 7,)
        return int(copied.sum()), len(copied)

    def _passage(self, sample: int, written: WordSequence, match: Match) -> Passage:
        _, start, end = written.place(match.start, match.words)
        document, first, last = self._source.place(int(match.places[0]), match.words)
        text, source = written.texts[0], self._source.texts[document]
        return Passage(
            sample=sample,
            start=start,
            end=end,
            words=match.words,
            text=text[start:end],
            document=document + 1,
            line=source.count("\n", 0, first) + 1,
            character=first,
            source=source[first:last],
            places=len(match.places),
        )


def shortened(text: str, longest: int = 120) -> str:
    """A text on one line, with its middle left out if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest // 2]} ... {line[-longest // 2 :]}"
