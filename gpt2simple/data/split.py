"""Which part of a text is held out for evaluation.

Whole documents, chosen by the digest of their text: equal documents stay together, so none is on both sides, and adding
documents later moves no document across by itself. Where whole documents make up too little, as in a text of one
document or of a long and a short one, the tail of the longest is held out too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpt2simple.data.corpus import Corpus, TokenSet
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings

_TOLERANCE = 1.2  # whole documents may make the held-out part this many times as large as validation_split

# Fewer are too noisy. They need not fill a window: a tenth of a 10 kB text is 300 tokens, and shows overfitting.
_FEWEST_TARGETS = 128


@dataclass(frozen=True, kw_only=True)
class Split:
    """A text in two parts, and messages for the user on how it was split."""

    train: TokenSet
    held_out: TokenSet | None
    messages: tuple[str, ...] = ()


def split(corpus: Corpus, settings: TextSettings, window: int, *, validation: Corpus | None = None) -> Split:
    """Split a text into a part to train on and a held-out part.

    Args:
        window: tokens of context in training. A held-out part needs as many tokens, or 128 where the window is longer;
            a smaller one would be too noisy, and is not made.
        validation: the user's own text to hold out (``validation_file``); the whole corpus is then trained on, except
            for documents that are also in that text.

    Raises:
        DataError: nothing would be left to train on.
    """
    if validation is not None:
        return _with_own(corpus, validation)
    if settings.validation_split == 0.0:
        return Split(train=corpus.whole(), held_out=None)
    share = settings.validation_split * corpus.tokens
    fewest = min(window, _FEWEST_TARGETS)
    begins = _held_out_from(corpus, share, max(share / 2, min(share, fewest + 1)))
    train, held_out = _parted(corpus, begins)
    if held_out.targets < fewest:
        part = f"{settings.validation_split:.0%} of the text is {_tokens(round(share))}"
        if round(share) > fewest:
            part = f"without documents that occur more than once, the text has only {_tokens(held_out.tokens)} for it"
        return _nothing_held_out(corpus, f"{part}, fewer than the {fewest + 1} needed for a meaningful figure")
    return Split(train=train, held_out=held_out)


def _nothing_held_out(corpus: Corpus, reason: str) -> Split:
    message = (
        f"Nothing is held out: {reason}. To evaluate what is learned, give a separate text as validation_file, a "
        "larger validation_split or a smaller window."
    )
    return Split(train=corpus.whole(), held_out=None, messages=(message,))


def _tokens(number: int) -> str:
    return f"{number:,} token{'' if number == 1 else 's'}"


def _held_out_from(corpus: Corpus, share: float, enough: float) -> np.ndarray:
    """Where in ``ids`` the held-out part of each document begins, int64 [D]; at its end where nothing is held out.

    Args:
        share: tokens to hold out. enough: with fewer in whole documents, the tail of the longest is held out too.
    """
    _, group_of = np.unique(corpus.document_digests, return_inverse=True)  # groups of equal texts, sorted by digest
    whole = _whole_groups(np.bincount(group_of, weights=corpus.document_tokens), share, enough)[group_of]  # (D,)
    begins = np.where(whole, corpus.document_starts, corpus.document_ends)  # (D,)
    held_out = int(corpus.document_tokens[whole].sum())
    if held_out < enough:
        longest = group_of == group_of[np.where(whole, 0, corpus.document_tokens).argmax()]  # the copies have it too
        lengths = corpus.document_tokens[longest]  # (copies,)
        begins[longest] -= np.minimum(round((share - held_out) / len(lengths)), lengths // 2)
    return begins


def _whole_groups(group_tokens: np.ndarray, share: float, enough: float) -> np.ndarray:
    """Which groups of documents to hold out, bool [groups]: in their order, those that fit into ``share`` tokens.

    Args:
        group_tokens: [groups], the tokens of each.
    """
    most = share * _TOLERANCE
    taken = np.zeros(len(group_tokens), dtype=bool)  # (groups,)
    total = 0.0
    for group, tokens in enumerate(group_tokens):
        if total + tokens <= most:
            taken[group] = True
            total += tokens
        if total >= share:
            break
    if total < enough:  # those that were taken may have left no room for one that suffices alone
        alone = np.flatnonzero((enough <= group_tokens) & (group_tokens <= most))
        if len(alone):
            taken[:] = False
            taken[alone[0]] = True
    return taken


def _parted(corpus: Corpus, begins: np.ndarray) -> tuple[TokenSet, TokenSet]:
    """Each document up to ``begins`` [D] to train on, and from there on to hold out."""
    starts, ends = corpus.document_starts, corpus.document_ends
    cut = (starts < begins) & (begins < ends)  # (D,), of which the tail is held out
    # Where other documents follow, an end-of-text id keeps the training part from running into the next one.
    closed = np.where(cut & (ends < corpus.tokens), ends - 1, ends)
    kept = np.column_stack([starts, begins, closed, ends]).reshape(-1, 2)  # (2 D, 2)
    # Tails come first: none of them follows an end-of-text id, as a document does that begins.
    tails, whole = (np.column_stack([begins[chosen], ends[chosen]]) for chosen in (cut, begins == starts))
    held_out = np.concatenate([tails if len(tails) else [(0, 1)], whole])  # (spans, 2)
    return (
        TokenSet(corpus.ids, np.concatenate([[(0, 1)], kept]), documents=int((starts < begins).sum())),
        TokenSet(corpus.ids, held_out, documents=int((begins < ends).sum())),
    )


def _with_own(corpus: Corpus, validation: Corpus) -> Split:
    shared = np.isin(corpus.document_digests, validation.document_digests)  # (D,)
    if shared.all():
        raise DataError(
            "Every document of the dataset is in validation_file too, so nothing would be left to train on. "
            "Give a validation_file with other text."
        )
    held_out = validation.whole()
    if not shared.any():
        return Split(train=corpus.whole(), held_out=held_out)
    message = f"Documents of the dataset that are in validation_file too are not trained on: {int(shared.sum())}."
    train, _ = _parted(corpus, np.where(shared, corpus.document_starts, corpus.document_ends))
    return Split(train=train, held_out=held_out, messages=(message,))
