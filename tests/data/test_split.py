"""The held-out part: no text on both sides, near the share asked for, and said where there is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.corpus import Corpus, TokenSet
from gpt2simple.data.sketches import Sketches
from gpt2simple.data.split import split
from gpt2simple.data.summary import summary
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings

END = 0


def corpus(lengths: list[int], texts: list[int] | None = None) -> Corpus:
    """Documents of so many tokens; each repeats its own number (from 1), so that a token tells its document.

    Args:
        texts: equal numbers for equal texts; all different if not given.
    """
    texts = texts or list(range(1, len(lengths) + 1))
    ids, starts = [END], []
    for length, text in zip(lengths, texts, strict=True):
        starts.append(len(ids))
        ids += [text] * length + [END]
    digests = np.random.default_rng(1).integers(1, 2**63, size=max(texts) + 1, dtype=np.uint64)
    return Corpus(
        ids=np.array(ids, dtype=np.uint16),
        end_of_text=END,
        document_starts=np.array(starts, dtype=np.int64),
        document_bytes=np.array(lengths, dtype=np.int64) * 4,
        document_digests=digests[texts],
        sketches=Sketches(
            texts=digests[texts], counts=np.zeros(len(texts), np.int64), grams=np.zeros(0, np.uint32), level=0
        ),
        characters=sum(lengths),
        files=1,
        sources=("texts",),
        fingerprint="f",
    )


def texts_in(tokens: TokenSet) -> set[int]:
    return set(tokens.read(0, tokens.tokens).tolist()) - {END}


many = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), min_size=2, max_size=40)


@settings(max_examples=300, deadline=None)
@given(many, st.sampled_from([0.05, 0.1, 0.3, 0.5]))
def test_no_text_is_on_both_sides_and_none_is_lost(documents: list[tuple[int, int]], share: float) -> None:
    length_of = {text: length for length, text in documents}  # equal texts have equal lengths
    texts = [text for _, text in documents]
    whole = corpus([length_of[text] for text in texts], texts)
    parted = split(whole, TextSettings(validation_split=share), window=1)
    if parted.held_out is None:
        assert parted.messages
        assert parted.train.tokens == whole.tokens
        return
    assert_no_text_is_on_both_sides_and_none_is_lost(whole, parted.train, parted.held_out)
    assert share * 0.5 * whole.tokens - 2 <= parted.held_out.tokens <= share * 1.2 * whole.tokens + 2


def assert_no_text_is_on_both_sides_and_none_is_lost(whole: Corpus, train: TokenSet, held_out: TokenSet) -> None:
    """Each token says which document it is from: only one whose tail is held out is on both sides."""
    counts = [np.bincount(ids.read(0, ids.tokens), minlength=int(whole.ids.max()) + 1)[1:] for ids in (train, held_out)]
    assert (counts[0] + counts[1]).tolist() == np.bincount(whole.ids)[1:].tolist()
    cut = np.flatnonzero((counts[0] > 0) & (counts[1] > 0))
    assert len(cut) <= 1
    assert (counts[1][cut] <= counts[0][cut]).all(), "more than half of a document"


LENGTHS = {
    "a play and a note": [65_213, 25],
    "one giant and three small ones": [50_000, 300, 20, 900],
    "two giants and many tiny ones": [30_000, 40_000, *[30] * 50],
    "every document longer than the share": [4000] * 9,
    "a small one comes first and leaves no room": [30, *[1000] * 10],
    "three equal ones": [5000] * 3,
    "documents of one token": [1] * 5000,
    "one of one token": [20_000, 1],
    "many tiny ones and a giant": [*[10] * 300, 40_000],
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("copies", [1, 2])
def test_about_the_share_is_held_out_whatever_the_lengths(lengths: list[int], share: float, copies: int) -> None:
    whole = corpus(lengths * copies, [*range(1, len(lengths) + 1)] * copies)
    parted = split(whole, TextSettings(validation_split=share), window=64)
    assert parted.held_out is not None
    assert_no_text_is_on_both_sides_and_none_is_lost(whole, parted.train, parted.held_out)
    assert 0.5 <= parted.held_out.tokens / (share * whole.tokens) <= 1.21


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 20), st.integers(1, 5000)), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_any_mixture_of_lengths_gives_half_of_the_share_or_more(lengths: list[int], share: float) -> None:
    whole = corpus(lengths)
    parted = split(whole, TextSettings(validation_split=share), window=16)
    if parted.held_out is None:
        assert share * whole.tokens <= 35, "16 targets need 17 tokens, and a tail is at most half of a document"
        return
    assert_no_text_is_on_both_sides_and_none_is_lost(whole, parted.train, parted.held_out)
    assert 0.5 * share * whole.tokens - 1 <= parted.held_out.tokens <= 1.2 * share * whole.tokens + 2


def test_a_tail_is_held_out_beside_whole_documents() -> None:
    parted = split(corpus([1000, 20]), TextSettings(validation_split=0.1), window=32)
    assert parted.held_out is not None
    ids = parted.held_out.read(0, parted.held_out.tokens).tolist()
    assert ids == [1] * 80 + [END] + [2] * 20 + [END]  # the tail does not look like the beginning of a document
    assert (parted.train.documents, parted.held_out.documents) == (1, 2)


def test_several_documents_are_parted_whole() -> None:
    parted = split(corpus([50] * 100), TextSettings(validation_split=0.1), window=32)
    assert parted.held_out is not None
    assert not texts_in(parted.train) & texts_in(parted.held_out)
    assert 8 <= parted.held_out.documents <= 12
    assert parted.train.documents == 100 - parted.held_out.documents
    for part in (parted.train, parted.held_out):  # every document between two end-of-text ids
        ids = part.read(0, part.tokens)
        assert ids[0] == ids[-1] == END
        assert np.count_nonzero(ids == END) == part.documents + 1


def test_more_documents_move_none_across() -> None:
    """Digests decide, so what was held out is not learned when the text grows (the share stays the same)."""
    settings_ = TextSettings(validation_split=0.2)
    before = split(corpus([50] * 100), settings_, window=32)
    grown = corpus([50] * 120)
    after = split(grown, settings_, window=32)
    assert before.held_out is not None
    assert after.held_out is not None
    moved = texts_in(before.held_out) & texts_in(after.train)
    assert len(moved) <= len(texts_in(before.held_out)) // 2


def test_one_document_gives_its_tail() -> None:
    whole = corpus([1000])
    parted = split(whole, TextSettings(validation_split=0.1), window=64)
    assert parted.held_out is not None
    assert (parted.train.tokens, parted.held_out.tokens) == (902, 100)
    assert parted.held_out.read(99, 100).tolist() == [END]


def test_two_long_documents_give_the_tail_of_one_and_do_not_run_into_each_other() -> None:
    parted = split(corpus([1000, 500]), TextSettings(validation_split=0.1), window=64)
    assert parted.held_out is not None
    assert texts_in(parted.held_out) == {1}
    ids = parted.train.read(0, parted.train.tokens).tolist()
    assert [a for a, b in pairwise(ids) if (b == 2 and a != 2)] == [END]


def test_nothing_held_out_when_asked() -> None:
    parted = split(corpus([1000]), TextSettings(validation_split=0.0), window=64)
    assert (parted.held_out, parted.messages) == (None, ())


def test_too_small_a_text_holds_nothing_out_and_says_why() -> None:
    parted = split(corpus([300]), TextSettings(validation_split=0.1), window=64)
    assert parted.held_out is None
    (message,) = parted.messages
    assert message.startswith(
        "Nothing is held out: 10% of the text is 30 tokens, fewer than the 65 needed for a meaningful figure."
    )
    assert "validation_file" in message


def test_copies_of_one_document_give_the_tail_of_each() -> None:
    parted = split(corpus([100, 100], [1, 1]), TextSettings(validation_split=0.3), window=8)
    assert parted.held_out is not None
    assert parted.held_out.read(0, parted.held_out.tokens).tolist() == ([1] * 29 + [END]) * 2
    assert parted.train.read(0, parted.train.tokens).tolist() == [END] + [1] * 71 + [END] + [1] * 71


def test_copies_that_leave_too_little_are_told() -> None:
    parted = split(corpus([40] * 3, [1] * 3), TextSettings(validation_split=0.5), window=61)
    assert parted.held_out is None
    assert parted.messages[0].startswith(
        "Nothing is held out: without documents that occur more than once, the text has only 60 tokens for it, fewer "
        "than the 62 needed for a meaningful figure."
    )


def test_a_validation_file_is_held_out_and_not_learned() -> None:
    own = corpus([40, 40], [1, 9])
    parted = split(corpus([40, 40, 40], [1, 2, 3]), TextSettings(validation_file="x"), window=8, validation=own)
    assert parted.held_out is not None
    assert texts_in(parted.held_out) == {1, 9}
    assert texts_in(parted.train) == {2, 3}
    assert parted.messages == ("Not trained on: 1 document that is in validation_file too.",)
    with pytest.raises(DataError, match=r"is in validation_file too, so nothing would be left to train on"):
        split(corpus([40], [1]), TextSettings(validation_file="x"), window=8, validation=own)


def test_the_summary_counts_and_warns() -> None:
    whole = corpus([50] * 100, [*range(1, 100), 1])
    told = summary(whole, split(whole, TextSettings(), window=32), parameters=10_000_000)
    assert (told.documents, told.duplicates, told.tokens) == (100, 1, 5101)
    assert told.train_tokens + told.held_out_tokens == 5102  # both begin with the end-of-text id
    assert 0.08 < told.held_out_share < 0.13
    assert told.warning is not None
    text = told.text()
    assert "100 documents (1 of them copies of others)" in text
    assert "will memorise it after a few passes. Train until the held-out loss stops falling" in text
    assert told.to_json()["tokens_per_parameter"] == told.train_tokens / 10_000_000
    enough = summary(whole, split(whole, TextSettings(validation_split=0.0), window=32), parameters=1000)
    assert enough.warning is None
    assert enough.held_out_tokens == 0


def test_a_text_of_ten_kilobytes_has_something_held_out_though_it_fills_no_window() -> None:
    assert split(corpus([3000]), TextSettings(), window=1024).held_out is not None
    assert split(corpus([1200]), TextSettings(), window=1024).held_out is None
