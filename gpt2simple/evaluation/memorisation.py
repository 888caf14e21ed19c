"""What share of generated text is copied from the training text, and which passages are.

The measure of the GPT-2 paper (Radford et al. 2019, section 4): the share of sequences of eight words, lower-cased and
without punctuation, that occur in the training text. Some occur in any text; the held-out text, which the model never
saw, is the baseline. The shares are exact.

Whether the text was memorised is decided only where there is enough evidence. Both shares get a 95 % interval (Wilson
1927). Neighbouring sequences overlap, and those of a copied passage stand or fall together: as many sequences as a
copied passage has on average, but no fewer than eight and no more than a sample has, count as one observation.
*Memorised*: the interval of the samples lies more than 0.05 above that of the held-out text. *Not memorised*: the
interval of the held-out text is at most 0.2 wide, and that of the samples ends at most 0.2 above its lower end. Both
need 123 sequences in the samples and in the held-out text: with fewer, the interval of a text that copies nothing is
wider than 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpt2simple.errors import DataError
from gpt2simple.evaluation.html import render
from gpt2simple.evaluation.ngrams import WORDS_PER_GRAM, CopyIndex, Match, Vocabulary, WordSequence

_CLEARLY_MORE = 0.05  # the shares of texts by one author differ by a few hundredths
_WIDEST = 0.2  # a share that is known less well decides nothing
_FEWEST_GRAMS = 123  # Z^2 / (123 / 8 + Z^2) < 0.2
_Z = 1.96  # of a 95 % interval
_MORE_TEXT = "Write more or longer samples (sample_every, sample_length), or hold out more text."


@dataclass(frozen=True)
class CopyCount:
    """How much of some texts is copied.

    Attributes:
        grams: sequences of eight words. copied: those that occur in the training text.
        passages: uninterrupted runs of those.
    """

    grams: int = 0
    copied: int = 0
    passages: int = 0

    def __add__(self, other: CopyCount) -> CopyCount:
        return CopyCount(self.grams + other.grams, self.copied + other.copied, self.passages + other.passages)

    @property
    def share(self) -> float:
        """Share of the sequences that are copied, 0 to 1; 0 if there are none."""
        return self.copied / max(self.grams, 1)

    def interval(self, longest: float) -> tuple[float, float]:
        """The 95 % interval of the share (Wilson 1927); there must be a sequence.

        Args:
            longest: how many neighbouring sequences at most count as one observation.
        """
        alike = max(min(self.copied / max(self.passages, 1), longest), WORDS_PER_GRAM)
        count = self.grams / alike  # of independent observations
        middle = (self.share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
        reach = _Z * math.sqrt(self.share * (1 - self.share) / count + (_Z / (2 * count)) ** 2) / (1 + _Z**2 / count)
        return max(middle - reach, 0.0), min(middle + reach, 1.0)


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
        written, last, held_out: counts of all samples, of the last ones, and of the held-out text.
        training_words: words of the training text.
    """

    samples: tuple[str, ...]
    passages: tuple[Passage, ...]
    sample_shares: tuple[float, ...]
    judged: int
    written: CopyCount
    last: CopyCount
    held_out: CopyCount
    training_words: int

    @property
    def share(self) -> float:
        """Share of the samples' sequences of eight words that occur in the training text, 0 to 1."""
        return self.written.share

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of that share; None: no sample has eight words."""
        return self.written.interval(self.written.grams / len(self.samples)) if self.written.grams else None

    @property
    def judged_share(self) -> float:
        """The same for the last samples, on which the verdict is based: earlier ones are by a weaker model."""
        return self.last.share

    @property
    def natural_share(self) -> float | None:
        """Share of the held-out text's sequences that occur in the training text; None if nothing was held out."""
        return self.held_out.share if self.held_out.grams else None

    @property
    def longest(self) -> Passage | None:
        """The longest copied passage."""
        return self.passages[0] if self.passages else None

    @property
    def is_memorised(self) -> bool | None:
        """Whether the judged samples repeat the training text clearly more than unseen text does; None: cannot say."""
        if min(self.last.grams, self.held_out.grams) < _FEWEST_GRAMS:
            return None
        per_sample = self.last.grams / self.judged
        (low, high), (natural_low, natural_high) = self.last.interval(per_sample), self.held_out.interval(per_sample)
        if low > natural_high + _CLEARLY_MORE:
            return True
        return False if max(high, natural_high) <= natural_low + _WIDEST else None

    def summary(self) -> str:
        """The result in a few lines."""
        natural = self.natural_share
        baseline = "nothing was held out to compare with" if natural is None else f"held-out text: {natural:.1%}"
        lines = [
            f"{self.share:.1%} of the samples' sequences of {WORDS_PER_GRAM} words occur in the training text "
            f"({self.written.copied:,} of {self.written.grams:,}; {baseline})."
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
        if not self.last.grams:
            return f"{samples} have fewer than {WORDS_PER_GRAM} words, too few to measure copying."
        if self.is_memorised:
            return f"{samples} repeat the training text: the model has memorised it."
        if self.is_memorised is False:
            return f"{samples} do not repeat the training text clearly more than unseen text does."
        return f"Whether the model has memorised the text cannot be said: {self._too_little()}"

    def _too_little(self) -> str:
        """Why there is no judgement, and what would allow one."""
        if not self.held_out.grams:
            return (
                "there is no held-out text to compare with, and unseen text may repeat the training text just as much. "
                "Hold out text: validation_split=0.1, or a validation_file."
            )
        if min(self.last.grams, self.held_out.grams) < _FEWEST_GRAMS:
            return (
                f"that takes {_FEWEST_GRAMS} sequences of {WORDS_PER_GRAM} words in the samples, which have "
                f"{self.last.grams:,}, and in the held-out text, which has {self.held_out.grams:,}. {_MORE_TEXT}"
            )
        return (
            f"{self.last.share:.1%} of the samples and {self.held_out.share:.1%} of the held-out text are copied, in "
            f"so few passages that the difference may be chance. {_MORE_TEXT}"
        )

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
        return {
            "words_per_gram": WORDS_PER_GRAM,
            "judged_samples": self.judged,
            **{name: getattr(self, name) for name in shares},
            "conclusion": self.conclusion(),
            "grams": self.written.grams,
            "copied_grams": self.written.copied,
            "held_out_grams": self.held_out.grams,
            "held_out_copied_grams": self.held_out.copied,
            "training_words": self.training_words,
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
        self._held_out = CopyCount()
        for text in held_out:
            self._held_out += self._count(np.array(self._vocabulary.numbers(text), dtype=np.int32))

    def find_copies(self, samples: Sequence[str], *, judged: int | None = None) -> MemorisationReport:
        """What these samples copy, each sample on its own.

        Args:
            judged: how many of the last samples decide whether the text was memorised; None: all.
        """
        passages: list[Passage] = []
        counts: list[CopyCount] = []
        for number, text in enumerate(samples):
            written = WordSequence([text], self._vocabulary)
            counts.append(self._count(written.words[:-1]))
            passages += [self._passage(number, written, match) for match in self._index.matches(written.words)]
        last = counts[-judged:] if judged else counts
        return MemorisationReport(
            samples=tuple(samples),
            passages=tuple(sorted(passages, key=lambda p: (-p.words, p.sample, p.start))),
            sample_shares=tuple(count.share for count in counts),
            judged=len(last),
            written=sum(counts, CopyCount()),
            last=sum(last, CopyCount()),
            held_out=self._held_out,
            training_words=int((self._source.words >= 0).sum()),
        )

    def _count(self, words: np.ndarray) -> CopyCount:
        copied = self._index.copied(words)  # (len(words) - 7,)
        passages = np.diff(copied.astype(np.int8), prepend=0) == 1  # (len(words) - 7,), where one begins
        return CopyCount(len(copied), int(copied.sum()), int(passages.sum()))

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
