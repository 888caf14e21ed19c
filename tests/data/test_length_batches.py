"""Batches by length: every text once an epoch, one width a step, little padding, and labels at the last token."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.batches import Batch
from gpt2simple.data.labelled import read_labelled
from gpt2simple.data.length_batches import LengthBatches, best_lengths, evaluation_batches
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.classify import LabelledTextSettings
from tests.helpers.paths import TINY, outside_data

COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def texts_of(counts: list[int]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Ids that tell the text they are of, labels, and weights that are all different."""
    numbers = np.arange(len(counts))
    return [np.full(n, text + 1, np.uint16) for text, n in enumerate(counts)], numbers % 3, 1 + numbers / 100


def batches_of(
    counts: list[int], batch_size: int = 4, accumulate: int = 1, most: int = 3, seed: int = 0
) -> LengthBatches:
    ids, labels, weights = texts_of(counts)
    return LengthBatches(
        ids, labels, weights, batch_size=batch_size, accumulate=accumulate, seed=seed, most_lengths=most
    )


def rows(batch: Batch, counts: list[int], weights: np.ndarray) -> list[int]:
    """The texts of a batch, after a look at every value in it."""
    _, labels, _ = texts_of(counts)
    found = []
    assert [part.dtype for part in batch] == [np.int32, np.int32, np.float32]
    for inputs, targets, mask in zip(*batch, strict=True):
        if not inputs.any():
            assert not targets.any()
            assert not mask.any()
            continue
        text = int(inputs[0]) - 1
        last = counts[text] - 1
        assert inputs.tolist() == [text + 1] * (last + 1) + [0] * (len(inputs) - last - 1)
        assert targets.tolist() == [int(labels[text]) if place == last else 0 for place in range(len(inputs))]
        assert np.flatnonzero(mask).tolist() == [last]
        assert mask[last] == np.float32(weights[text])
        found.append(text)
    return found


@settings(max_examples=150, deadline=None)
@given(COUNTS, st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32))
def test_each_epoch_has_every_text_exactly_once(
    counts: list[int], size: int, accumulate: int, most: int, seed: int
) -> None:
    batches = batches_of(counts, size, accumulate, most, seed)
    _, _, weights = texts_of(counts)
    per_epoch = batches.steps_per_epoch * accumulate
    assert batches.steps_per_epoch == -(-len(counts) // (size * accumulate))
    for epoch in range(2):
        found, positions, full = [], 0, 0
        for step in range(batches.steps_per_epoch):
            first = epoch * per_epoch + step * accumulate
            micro_batches = [batches.batch(first + number) for number in range(accumulate)]
            shapes = {batch[0].shape for batch in micro_batches}
            assert len(shapes) == 1
            assert shapes <= {(size, width) for width in batches.lengths}
            assert sum(float(batch[2].sum()) for batch in micro_batches) > 0
            texts = [text for batch in micro_batches for text in rows(batch, counts, weights)]
            full += len(texts) == size * accumulate
            found += texts
            positions += sum(batch[0].size for batch in micro_batches)
        assert sorted(found) == list(range(len(counts)))
        assert full >= batches.steps_per_epoch - 1
        assert batches.padding == pytest.approx(1 - sum(counts) / positions)
        assert batches.epoch_at((epoch + 1) * per_epoch) == epoch + 1


def test_a_number_always_gives_the_same_batch_and_a_seed_another_order() -> None:
    counts = list(range(1, 41))
    one, same, other = batches_of(counts), batches_of(counts), batches_of(counts, seed=1)
    numbers = [25, 3, 0, 11, 3]
    assert all(np.array_equal(a, b) for n in numbers for a, b in zip(one.batch(n), same.batch(n), strict=True))

    def order(batches: LengthBatches, epoch: int) -> list[list[int]]:
        found = [batches.batch(epoch * 10 + step)[0][:, 0].tolist() for step in range(10)]
        return found

    assert order(one, 0) != order(one, 1)
    assert order(one, 0) != order(other, 0)
    widths = [one.batch(step)[0].shape[1] for step in range(10)]
    assert widths != sorted(widths)  # the steps are shuffled, too


def test_only_the_texts_that_fill_no_step_are_padded_further() -> None:
    counts = [5] * 9 + [10] * 7
    batches = batches_of(counts, batch_size=4, most=2)
    widths = [batches.batch(step)[0].shape[1] for step in range(batches.steps_per_epoch)]
    assert sorted(widths) == [5, 5, 10, 10]
    assert batches.padding == pytest.approx(1 - sum(counts) / (8 * 5 + 8 * 10))


def test_a_text_that_moved_to_the_next_length_moves_no_further() -> None:
    for seed in range(5):
        batches = batches_of([5] + [10] * 8 + [20] * 4, batch_size=4, most=3, seed=seed)
        widths = [inputs.shape[1] for inputs, _, _ in map(batches.batch, range(4)) if (inputs == 1).any()]
        assert widths == [10]


@settings(max_examples=150, deadline=None)
@given(COUNTS.map(lambda counts: [count % 9 + 1 for count in counts]), st.integers(1, 5))
def test_the_lengths_are_those_with_the_least_padding(counts: list[int], most: int) -> None:
    found = best_lengths(np.array(counts), most)

    def positions(lengths: tuple[int, ...]) -> int:
        return sum(min(length for length in lengths if length >= count) for count in counts)

    different = sorted(set(counts))
    assert list(found) == sorted(set(found))
    assert len(found) <= most
    assert found[-1] == max(counts)
    others = range(min(most, len(different)))
    choices = [(*some, different[-1]) for size in others for some in itertools.combinations(different[:-1], size)]
    assert positions(found) == min(map(positions, choices))


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.integers(1, 6), st.lists(st.integers(1, 40), max_size=4, unique=True).map(sorted))
def test_evaluation_has_every_text_once_in_the_order_of_length(
    counts: list[int], size: int, lengths: list[int]
) -> None:
    ids, labels, _ = texts_of(counts)
    batches = evaluation_batches(ids, labels, batch_size=size, lengths=lengths)
    allowed = {*lengths, max(counts)} if not lengths or max(counts) > lengths[-1] else {*lengths}
    found = []
    for batch, numbers in batches:
        assert numbers.dtype == np.int64
        assert rows(batch, counts, np.ones(len(counts))) == numbers.tolist()
        longest = max(counts[number] for number in numbers)
        assert batch[0].shape == (size, min(width for width in allowed if width >= longest))
        found += numbers.tolist()
    assert sorted(found) == list(range(len(counts)))
    assert [counts[text] for text in found] == sorted(counts)
    assert all(len(numbers) == size for _, numbers in batches[:-1])


def test_nothing_to_evaluate_gives_no_batches() -> None:
    assert evaluation_batches([], np.zeros(0, np.int32), batch_size=2, lengths=(4,)) == []


def test_texts_without_tokens_are_refused() -> None:
    with pytest.raises(DataError, match=r"^There is no text to train on\. Give labelled texts\.$"):
        batches_of([])
    message = r"^Text 1 has no token, so there is nothing to classify\. Leave it out\.$"
    with pytest.raises(DataError, match=message):
        batches_of([3, 0])
    with pytest.raises(DataError, match=message):
        evaluation_batches(*texts_of([3, 0])[:2], batch_size=2, lengths=(4,))


@pytest.mark.skipif(not TINY.is_dir(), reason="this checkout lacks the built-in model")
def test_film_reviews_have_little_padding() -> None:
    """No eight lengths give less than 10.7% here; what does not fill a step adds the rest."""
    names = [str(outside_data("sentiment", f"rt-polarity.{label}")) for label in ("pos", "neg")]
    data = read_labelled(names, LabelledTextSettings(encoding="cp1252"))
    tokenizer = Tokenizer.load(TINY)
    ids = [tokenizer.encode_array(text) for text in data.texts]
    ones = np.ones(len(ids), np.float32)
    for most, padding in ((8, 0.115), (10, 0.092)):
        batches = LengthBatches(ids, data.labels, ones, batch_size=32, accumulate=1, seed=0, most_lengths=most)
        assert batches.padding < padding
