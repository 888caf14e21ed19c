"""Which part of a text is held out for evaluation.

Several documents: whole documents, chosen by the digest of their text. Equal documents have equal digests and stay
together, so none is on both sides, and adding documents later moves no document across by itself. One document, or none
that is small enough: the tail of one.
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
    held_out = _whole_documents(corpus, share)
    parts = (_chosen(corpus, ~held_out), _chosen(corpus, held_out)) if held_out.any() else _by_tail(corpus, share)
    if parts is None:
        return _nothing_held_out(corpus, "every document of the text occurs more than once")
    fewest = min(window, _FEWEST_TARGETS)
    if parts[1].targets < fewest:
        part = f"{settings.validation_split:.0%} of the text is {parts[1].tokens} tokens"
        return _nothing_held_out(corpus, f"{part}, fewer than the {fewest} needed for a meaningful figure")
    return Split(train=parts[0], held_out=parts[1])


def _nothing_held_out(corpus: Corpus, reason: str) -> Split:
    message = (
        f"Nothing is held out: {reason}. To evaluate what is learned, give a separate text as validation_file, a "
        "larger validation_split or a smaller window."
    )
    return Split(train=corpus.whole(), held_out=None, messages=(message,))


def _whole_documents(corpus: Corpus, share: float) -> np.ndarray:
    """Which documents to hold out, bool [D]: in the order of their digests, those that fit into ``share`` tokens."""
    _, group_of = np.unique(corpus.document_digests, return_inverse=True)  # groups of equal texts, sorted by digest
    group_tokens = np.bincount(group_of, weights=corpus.document_tokens)  # (groups,)
    taken = np.zeros(len(group_tokens), dtype=bool)  # (groups,)
    if len(group_tokens) < 2:
        return taken[group_of]
    total = 0.0
    for group, tokens in enumerate(group_tokens):
        if total + tokens <= share * _TOLERANCE:
            taken[group] = True
            total += tokens
        if total >= share:
            break
    return taken[group_of]


def _chosen(corpus: Corpus, chosen: np.ndarray) -> TokenSet:
    """The chosen documents, bool [D], after the end-of-text id that starts every corpus."""
    spans = np.column_stack([corpus.document_starts[chosen], corpus.document_ends[chosen]])  # (chosen, 2)
    return TokenSet(corpus.ids, np.concatenate([[(0, 1)], spans]), documents=int(chosen.sum()))


def _by_tail(corpus: Corpus, share: float) -> tuple[TokenSet, TokenSet] | None:
    """The tail of the longest document that has no copy, at most half of it; None where every document has copies."""
    _, group_of, copies = np.unique(corpus.document_digests, return_inverse=True, return_counts=True)
    lengths = np.where(copies[group_of] == 1, corpus.document_tokens, 0)  # (D,)
    document = int(lengths.argmax())
    if not lengths[document]:
        return None
    end = int(corpus.document_ends[document])
    cut = end - min(round(share), int(lengths[document]) // 2)
    # Where other documents follow, the end-of-text id keeps the training part from running into the next one.
    rest = [(end - 1, corpus.tokens)] if end < corpus.tokens else []
    train = TokenSet(corpus.ids, [(0, cut), *rest], documents=corpus.documents)
    return train, TokenSet(corpus.ids, [(cut, end)])


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
    return Split(train=_chosen(corpus, ~shared), held_out=held_out, messages=(message,))
