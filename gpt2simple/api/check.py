"""One check of a text: its copies, and what it has in common with another text; loads no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gpt2simple.api.console import reading_bar
from gpt2simple.data.checking import PASSAGE_WORDS, CheckedText, Passages, read_words
from gpt2simple.data.duplicates import copies, groups, near_copies
from gpt2simple.data.sources import checked_source
from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.settings import TextSettings, accepts
from gpt2simple.settings.text import READING
from gpt2simple.storage.contents import counted

_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class DocumentPair:
    """Two documents of which one is a copy or near copy of the other.

    Attributes:
        first, second: their numbers, from 1; of a text and ``against``, the first is in the text.
        share: of the four-word sequences of the one with fewer, how many the other has too, 0 to 1; 1 for copies.
        first_begins, second_begins: their first words.
    """

    first: int
    second: int
    share: float
    first_begins: str
    second_begins: str


@dataclass(frozen=True, kw_only=True)
class SharedPassages:
    """A document of ``against`` with passages that are in the text too.

    Attributes:
        document: its number, from 1. begins: its first words. word: where in it the first such passage begins, from 1.
        share: how many of its 13-word sequences are in the text too, 0 to 1.
    """

    document: int
    begins: str
    word: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a text and ``against`` have in common; lists hold 20 at most.

    Attributes:
        documents: of ``against``. copies, near_copies: documents of it that are (near) copies of one in the text.
        with_passages: documents of it with passages of 13 words or more that are in the text too.
        copied, nearly_copied, passages: the first of each.
    """

    documents: int
    copies: int
    near_copies: int
    with_passages: int
    copied: tuple[DocumentPair, ...]
    nearly_copied: tuple[DocumentPair, ...]
    passages: tuple[SharedPassages, ...]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What was found in a text; lists hold 20 at most. Of longer documents a million characters are compared.

    Attributes:
        documents: in the text. copies: documents with the same words as an earlier one, in the same order; case,
            spacing and punctuation may differ. near_copies: other documents that share half of their four-word
            sequences, or more, with an earlier one, or are linked to one by others that do.
        near_pairs: pairs of near copies, all together.
        copied, nearly_copied: the first copies, each with the document that it is a copy of; the nearest near copies.
        against: what the text has in common with another; None: no other was given.
    """

    documents: int
    copies: int
    near_copies: int
    near_pairs: int
    copied: tuple[DocumentPair, ...]
    nearly_copied: tuple[DocumentPair, ...]
    against: Comparison | None = None

    @property
    def found(self) -> bool:
        """Whether anything was found."""
        other = self.against
        return bool(
            self.copies or self.near_copies or (other and (other.copies or other.near_copies or other.with_passages))
        )

    def summary(self) -> str:
        """The findings for people, in lines."""
        lines = [
            f"{counted(self.documents, 'document')}: {counted(self.copies, 'copy', 'copies')}, "
            f"{counted(self.near_copies, 'near copy', 'near copies')}.",
            *_pairs("Copies", "", self.copied, self.copies),
            *_pairs("Near copies", "", self.nearly_copied, self.near_pairs),
        ]
        if (other := self.against) is None:
            return "\n".join(lines)
        lines += [
            f"Other text, {counted(other.documents, 'document')}: {counted(other.copies, 'copy', 'copies')}, "
            f"{counted(other.near_copies, 'near copy', 'near copies')}, {other.with_passages:,} with shared passages.",
            *_pairs("Copies", " of the other text", other.copied, other.copies),
            *_pairs("Near copies", " of the other text", other.nearly_copied, other.near_copies),
        ]
        if other.passages:
            lines.append(f"Passages of {PASSAGE_WORDS} words or more in both:")
        for found in other.passages:
            where = f"document {found.document} of the other text, from word {found.word} on"
            lines.append(f'  {where}, {found.share:.0%} of it: "{found.begins}"')
        return "\n".join([*lines, *_more(other.with_passages - len(other.passages))])

    def _repr_html_(self) -> str:
        """The findings as tables."""
        counts: list[tuple[str, ...]] = [
            ("this text", f"{self.documents:,}", f"{self.copies:,}", f"{self.near_copies:,}", "")
        ]
        pairs = [*self.copied, *self.nearly_copied]
        tables = [_pairs_table("Copies and near copies in this text", pairs)] if pairs else []
        if (other := self.against) is not None:
            found = f"{other.documents:,}", f"{other.copies:,}", f"{other.near_copies:,}", f"{other.with_passages:,}"
            counts.append(("other text, beside this", *found))
            if pairs := [*other.copied, *other.nearly_copied]:
                tables.append(_pairs_table("Documents of the other text that this one has too", pairs))
            if other.passages:
                tables.append(
                    {
                        "heads": ("document of the other text", "from word", "share of it", "begins"),
                        "rows": [
                            (f"{p.document:,}", f"{p.word:,}", f"{p.share:.0%}", p.begins) for p in other.passages
                        ],
                        "caption": f"Passages of {PASSAGE_WORDS} words or more in both",
                    }
                )
        heads = ("", "documents", "copies", "near copies", "with shared passages")
        return shown_in_notebook(
            [{"heads": heads, "rows": counts}, *tables],
            after=[f"At most {_LISTED} of each are listed."] if tables else ["Nothing was found."],
        )

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON values."""
        return {**asdict(self), "found": self.found}


@accepts(READING)
def check(dataset: Any, *, against: Any = None, **settings: Any) -> CheckResult:
    """Look for copies and near copies in a text, and for what it shares with another text; needs no model.

    Args:
        dataset: whatever ``finetune`` takes, except an encoded .npz.
        against: another such text, to be held out or tested on; None: the text is only compared with itself.
        settings: see below; they apply to both texts.

    Raises:
        DataError: a text is missing, cannot be read or holds nothing. SettingsError: a setting is out of range.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.check(["One text.", "Another.", "one text"]).copies
        1
    """
    text_settings = TextSettings(**settings)
    for named in (dataset, against):
        if named is not None:
            checked_source(named, text_settings)
    passages = Passages()
    other = None
    with reading_bar("Reading") as progress:
        if against is not None:
            other = read_words(against, text_settings, also=passages.add)
            text = read_words(dataset, text_settings, also=passages.look_in, progress=progress)
        else:
            text = read_words(dataset, text_settings, progress=progress)
    first, near = copies(text.sketches), near_copies(text.sketches)
    copied = np.flatnonzero(first != np.arange(len(first)))
    nearest = np.argsort(-near.shares.max(axis=1, initial=0.0), kind="stable")[:_LISTED]
    return CheckResult(
        documents=len(first),
        copies=len(copied),
        near_copies=len(first) - len(copied) - len(np.unique(groups(first, near.pairs))),
        near_pairs=len(near),
        copied=tuple(_pair(text, text, int(first[number]), number, 1.0) for number in copied[:_LISTED].tolist()),
        nearly_copied=tuple(
            _pair(text, text, int(near.pairs[number, 0]), int(near.pairs[number, 1]), near.shares[number].max())
            for number in nearest.tolist()
        ),
        against=None if other is None else _compared(text, other, passages),
    )


def _compared(text: CheckedText, other: CheckedText, passages: Passages) -> Comparison:
    own = len(text.beginnings)
    both = text.sketches.followed_by(other.sketches)
    first, near = copies(both), near_copies(both)
    copied = [
        (int(first[own + number]), number) for number in range(len(other.beginnings)) if first[own + number] < own
    ]
    best: dict[int, tuple[float, int]] = {}
    for (low, high), shares in zip(near.pairs.tolist(), near.shares.max(axis=1, initial=0.0).tolist(), strict=True):
        if low < own <= high:
            best[high - own] = max(best.get(high - own, (0.0, 0)), (shares, low))
    nearest = sorted(best.items(), key=lambda found: -found[1][0])
    found = sorted(passages.found(), key=lambda passage: -passage[1])
    return Comparison(
        documents=len(other.beginnings),
        copies=len(copied),
        near_copies=len(best),
        with_passages=len(found),
        copied=tuple(_pair(text, other, low, high, 1.0) for low, high in copied[:_LISTED]),
        nearly_copied=tuple(_pair(text, other, low, high, share) for high, (share, low) in nearest[:_LISTED]),
        passages=tuple(
            SharedPassages(document=number + 1, begins=other.beginnings[number], word=word + 1, share=share)
            for number, share, word in found[:_LISTED]
        ),
    )


def _pair(one: CheckedText, other: CheckedText, first: int, second: int, share: float) -> DocumentPair:
    return DocumentPair(
        first=first + 1,
        second=second + 1,
        share=float(share),
        first_begins=one.beginnings[first],
        second_begins=other.beginnings[second],
    )


def _pairs(title: str, whose: str, pairs: tuple[DocumentPair, ...], total: int) -> list[str]:
    lines = [f"{title}:"] if pairs else []
    for pair in pairs:
        share = "" if pair.share == 1 and title == "Copies" else f", {pair.share:.0%}"
        documents = f"document {pair.first} and document {pair.second}{whose}"
        lines.append(f'  {documents}{share}: "{pair.first_begins}" and "{pair.second_begins}"')
    return [*lines, *_more(total - len(pairs))]


def _pairs_table(title: str, pairs: Sequence[DocumentPair]) -> dict[str, Any]:
    """A table for notebooks."""
    return {
        "heads": ("document", "and document", "in common", "the one begins", "the other begins"),
        "rows": [(f"{p.first:,}", f"{p.second:,}", f"{p.share:.0%}", p.first_begins, p.second_begins) for p in pairs],
        "caption": title,
    }


def _more(number: int) -> list[str]:
    return [f"  and {number:,} more"] if number else []
