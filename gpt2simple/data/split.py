"""Which part of a text is held out for evaluation.

Whole documents, chosen by the digest of their text: copies and near copies (`duplicates`) stay together, so none is on
both sides, and adding documents later moves no document across by itself. Where whole documents make up too little, as
in a text of one document or of a long and a short one, the tail of the longest is held out too. Passages that are in
both parts all the same, a refrain or the text of a template, are counted, and said where they matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gpt2simple.data.corpus import Corpus, TokenSet
from gpt2simple.data.duplicates import NEAR, copies, groups, near_copies
from gpt2simple.data.words import gram_hashes
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import counted

_TOLERANCE = 1.2  # whole documents may make the held-out part this many times as large as validation_split

# Fewer are too noisy. They need not fill a window: a tenth of a 10 kB text is 300 tokens, and shows overfitting.
_FEWEST_TARGETS = 128

# Passages in both parts are counted by runs of tokens of about so many bytes, a dozen English words, which two texts on
# the same subject hardly ever share (in a play, 0.2% of them occur before), and said from a tenth on.
_PASSAGE_BYTES = 60
_SAID_FROM = 0.1
_RUNS_COMPARED = 1 << 16
_TOKENS_AT_ONCE = 1 << 20


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
    enough = max(share / 2, min(share, fewest + 1))
    begins, group_of, messages = _held_out_from(corpus, corpus.groups, share, enough), corpus.groups, []
    if _tokens_from(corpus, begins) < enough and corpus.near_duplicates:
        only_copies = copies(corpus.sketches)
        parted = _held_out_from(corpus, only_copies, share, enough)
        if _tokens_from(corpus, parted) > _tokens_from(corpus, begins):
            begins, group_of = parted, only_copies
            messages.append(
                "Most of the text is near copies of one another, as texts made from a template are, so some had to be "
                "held out and others learned. The held-out loss does not show how well the model does on new text."
            )
    train, held_out = _parted(corpus, begins)
    if held_out.targets < fewest:
        part = f"{settings.validation_split:.0%} of the text is {counted(round(share), 'token')}"
        if round(share) > fewest:
            found = counted(held_out.tokens, "token")
            part = f"without documents that occur more than once, the text has only {found} for it"
        return _nothing_held_out(corpus, f"{part}, fewer than the {fewest + 1} needed for a meaningful figure")
    together = int((np.bincount(group_of, minlength=1)[group_of[begins == corpus.document_starts]] > 1).sum())
    if together:
        whole = f"{together:,} of the {counted(held_out.documents, 'held-out document')}"
        messages.append(f"{whole} are copies or near copies of one another, and were held out together.")
    return Split(train=train, held_out=held_out, messages=(*messages, *_shared_passages(corpus, train, held_out)))


def _nothing_held_out(corpus: Corpus, reason: str) -> Split:
    message = (
        f"Nothing is held out: {reason}. To evaluate what is learned, give a separate text as validation_file, a "
        "larger validation_split or a smaller window."
    )
    return Split(train=corpus.whole(), held_out=None, messages=(message,))


def _tokens_from(corpus: Corpus, begins: np.ndarray) -> int:
    return int((corpus.document_ends - begins).sum())


def _held_out_from(corpus: Corpus, group_of: np.ndarray, share: float, enough: float) -> np.ndarray:
    """Where in ``ids`` the held-out part of each document begins, int64 [D]; at its end where nothing is held out.

    Args:
        group_of: int64 [D], the group of documents that stay together which each is in.
        share: tokens to hold out. enough: with fewer in whole documents, the tail of the longest is held out too.
    """
    _, group_of = np.unique(group_of, return_inverse=True)
    digest = np.full(corpus.documents, np.iinfo(np.uint64).max, np.uint64)[: group_of.max() + 1]  # (groups,)
    np.minimum.at(digest, group_of, corpus.document_digests)
    group_of = np.argsort(np.argsort(digest))[group_of]  # (D,), groups sorted by the least digest of each
    whole = _whole_groups(np.bincount(group_of, weights=corpus.document_tokens), share, enough)[group_of]  # (D,)
    begins = np.where(whole, corpus.document_starts, corpus.document_ends)  # (D,)
    held_out = int(corpus.document_tokens[whole].sum())
    texts = corpus.sketches.texts
    alike = np.bincount(group_of, weights=texts != texts[np.unique(group_of, return_index=True)[1]][group_of]) == 0
    free = ~whole & alike[group_of]  # (D,), not held out, and without near copies, which other tails would be in
    if held_out < enough and free.any():
        longest = group_of == group_of[np.where(free, corpus.document_tokens, 0).argmax()]  # the copies have it too
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
    # Tails come first: no end-of-text id may precede them, as it precedes each whole document.
    tails, whole = (np.column_stack([begins[chosen], ends[chosen]]) for chosen in (cut, begins == starts))
    held_out = np.concatenate([tails if len(tails) else [(0, 1)], whole])  # (spans, 2)
    return (
        TokenSet(corpus.ids, np.concatenate([[(0, 1)], kept]), documents=int((starts < begins).sum())),
        TokenSet(corpus.ids, held_out, documents=int((begins < ends).sum())),
    )


def _with_own(corpus: Corpus, validation: Corpus) -> Split:
    same = np.isin(corpus.sketches.texts, validation.sketches.texts)  # (D,)
    if same.all():
        raise DataError(
            "Every document of the dataset is in validation_file too, so nothing would be left to train on. "
            "Give a validation_file with other text."
        )
    near = _in_validation(corpus, validation) & ~same  # (D,)
    messages = []
    if near.any() and corpus.document_tokens[same | near].sum() > corpus.tokens // 2:
        found = counted(int(near.sum()), "near copy of a document", "near copies of documents")
        messages.append(
            f"{found} in validation_file stay in the training part, which would lose half of its text or more without "
            "them."
        )
        near[:] = False
    parts = [
        (same, "document that is in validation_file too", "documents that are in validation_file too"),
        (near, "near copy of a document in validation_file", "near copies of documents in validation_file"),
    ]
    if left_out := [counted(int(chosen.sum()), one, several) for chosen, one, several in parts if chosen.any()]:
        messages.append(f"Not trained on: {' and '.join(left_out)}.")
    train, _ = _parted(corpus, np.where(same | near, corpus.document_starts, corpus.document_ends))
    held_out = validation.whole()
    return Split(train=train, held_out=held_out, messages=(*messages, *_shared_passages(corpus, train, held_out)))


def _in_validation(corpus: Corpus, validation: Corpus) -> np.ndarray:
    """Which documents are copies or near copies of the user's own, or of such a document, bool [D].

    A long document that has a short one of ``validation_file`` inside is no near copy here: it would be lost for that.
    """
    own = validation.documents
    both = validation.sketches.followed_by(corpus.sketches)
    near = near_copies(both)
    across = (near.pairs[:, 0] < own) & (near.pairs[:, 1] >= own)
    links = np.where(across, near.shares[:, 1], near.shares.min(axis=1, initial=1.0)) >= NEAR
    group_of = groups(copies(both), near.pairs[links])
    return np.isin(group_of[own:], group_of[:own])


def _shared_passages(corpus: Corpus, train: TokenSet, held_out: TokenSet) -> tuple[str, ...]:
    """A message where much of the held-out part is in the training part too."""
    n = max(round(_PASSAGE_BYTES * corpus.tokens / corpus.bytes), 1)
    level = (held_out.tokens // _RUNS_COMPARED).bit_length()  # one in 2 ** level runs is compared
    runs, counts = np.unique(np.concatenate([*_runs(held_out, n, level)]), return_counts=True)
    seen = np.zeros(len(runs), bool)
    for learned in _runs(train, n, level):
        seen[np.searchsorted(runs, learned[np.isin(learned, runs)])] = True
    share = counts[seen].sum() / max(counts.sum(), 1)
    if share < _SAID_FROM:
        return ()
    return (
        f"{share:.0%} of the held-out text is in the training part too, in passages of {n} tokens or more, so the "
        "held-out loss will be lower than on new text.",
    )


def _runs(tokens: TokenSet, n: int, level: int) -> Iterator[np.ndarray]:
    """The hashes of runs of n tokens, uint64, of which the first ``level`` bits are 0."""
    for start in range(0, max(tokens.tokens - n + 1, 1), _TOKENS_AT_ONCE):
        hashes = gram_hashes(tokens.read(start, min(start + _TOKENS_AT_ONCE + n - 1, tokens.tokens)), n)
        yield hashes[hashes >> np.uint64(64 - level) == 0] if level else hashes
