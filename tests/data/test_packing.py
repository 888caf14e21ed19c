"""Packed batches: every text once an epoch, one width a step, little padding, positions that start again with each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data import packing
from gpt2simple.data.batches import Batch
from gpt2simple.data.labelled import labelled_reader, read_labelled
from gpt2simple.data.packing import PackedBatches, packed_rows, rounded_width
from gpt2simple.errors import DataError
from gpt2simple.evaluation.classification.classifier import _few_widths
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings.classify import LabelledTextSettings
from tests.helpers.paths import TINY, outside_data

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def reader_of(lengths: list[int], *, weighted: bool = True) -> packing.ReadText:
    """Ids that tell the text they are of, labels, and weights that are all different."""
    numbers = np.arange(len(lengths))
    ids = [np.full(n, text + 1, np.int32) for text, n in enumerate(lengths)]
    return labelled_reader(ids, numbers % 3, 1 + numbers / 100 if weighted else None)


def batches_of(lengths: list[int], batch_size: int = 4, accumulate: int = 1, seed: int = 0) -> PackedBatches:
    return PackedBatches(np.array(lengths), reader_of(lengths), batch_size=batch_size, accumulate=accumulate, seed=seed)


def texts_in(batch: Batch, lengths: list[int], *, weighted: bool = True) -> list[int]:
    """The texts of a batch, after a look at every value in it."""
    read = reader_of(lengths, weighted=weighted)
    assert [array.dtype for array in batch.arrays] == [np.int32, np.int32, np.float32, np.int32]
    inputs, targets, loss_mask, positions = (array[0] for array in batch.arrays)
    found, start = [], 0
    while start < len(inputs) and inputs[start]:
        text = int(inputs[start]) - 1
        end = start + lengths[text]
        for row, expected in zip((inputs, targets, loss_mask), read(text), strict=True):
            np.testing.assert_array_equal(row[start:end], expected.astype(row.dtype))
        np.testing.assert_array_equal(positions[start:end], np.arange(lengths[text]))
        found.append(text)
        start = end
    assert not any(array[0, start:].any() for array in batch.arrays)
    return found


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32))
def test_each_epoch_has_every_text_exactly_once(lengths: list[int], size: int, accumulate: int, seed: int) -> None:
    batches = batches_of(lengths, size, accumulate, seed)
    per_epoch = batches.steps_per_epoch * accumulate
    assert batches.steps_per_epoch == -(-len(lengths) // (size * accumulate))
    for epoch in range(4):
        found, positions = [], 0
        for step in range(batches.steps_per_epoch):
            first = epoch * per_epoch + step * accumulate
            rows = [batches.batch(first + number) for number in range(accumulate)]
            assert len({row.inputs.shape for row in rows}) == 1
            assert rows[0].inputs.shape in {(1, width) for width in batches.widths}
            in_rows = [texts_in(row, lengths) for row in rows]
            assert max(map(len, in_rows)) <= size
            assert any(in_rows)
            found += itertools.chain(*in_rows)
            positions += sum(row.inputs.size for row in rows)
        assert sorted(found) == list(range(len(lengths)))
        if epoch == 0:
            assert batches.padding == pytest.approx(1 - sum(lengths) / positions)
        assert batches.epoch_at((epoch + 1) * per_epoch) == epoch + 1


def test_rows_have_as_many_texts_as_asked_for_or_one_less() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 203).tolist()
    batches = batches_of(lengths, batch_size=8)
    counts = [len(texts_in(batches.batch(number), lengths)) for number in range(batches.steps_per_epoch)]
    assert {*counts} == {7, 8}


def test_a_number_always_gives_the_same_batch_and_a_seed_another_order() -> None:
    lengths = list(range(1, 41))
    one, same, other = batches_of(lengths), batches_of(lengths), batches_of(lengths, seed=1)
    for number in (25, 3, 0, 11, 3):
        assert all(map(np.array_equal, one.batch(number).arrays, same.batch(number).arrays))

    def order(batches: PackedBatches, epoch: int) -> list[frozenset[int]]:
        return [frozenset(texts_in(batches.batch(epoch * 10 + step), lengths)) for step in range(10)]

    assert {*order(one, 0)} != {*order(one, 1)}  # not even the same texts together
    assert {*order(one, 0)} != {*order(other, 0)}


def test_texts_of_all_lengths_are_in_one_row_of_nearly_equal_rows() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 800).tolist()
    batches = batches_of(lengths, batch_size=16)
    assert len(batches.widths) == 1
    assert batches.padding < 0.03
    for number in range(batches.steps_per_epoch):
        of_row = [lengths[text] for text in texts_in(batches.batch(number), lengths)]
        assert min(of_row) < 30
        assert max(of_row) > 70


def test_few_long_texts_get_a_width_of_their_own() -> None:
    lengths = [*np.random.default_rng(0).integers(5, 40, 400).tolist(), 1000, 990]
    batches = batches_of(lengths, batch_size=8)
    assert len(batches.widths) == 2
    assert batches.padding < 0.07


def test_every_epoch_fits_the_widths_and_targets_of_the_first() -> None:
    """Where an epoch's draw does not fit, the texts are sorted with less noise."""
    for seed in range(20):
        draw = np.random.default_rng(seed)
        lengths = draw.geometric(0.02, 50)
        targets = draw.integers(1, lengths, endpoint=True)

        def read(text: int, lengths: np.ndarray = lengths, targets: np.ndarray = targets) -> tuple[np.ndarray, ...]:
            ids = np.ones(lengths[text], np.int32)
            return ids, ids, (np.arange(lengths[text]) < targets[text]).astype(np.float32)

        batches = PackedBatches(lengths, read, batch_size=3, accumulate=1, seed=seed, targets=targets)
        drawn = [batches.batch(number) for number in range(10 * batches.steps_per_epoch)]
        assert {batch.inputs.shape[1] for batch in drawn} <= {*batches.widths}
        most = max(int(batch.loss_mask.sum()) for batch in drawn)
        assert most <= batches.most_targets <= max(batches.widths)


@settings(max_examples=150, deadline=None)
@given(LENGTHS.map(lambda lengths: [length % 9 + 1 for length in lengths]), st.integers(1, 5))
def test_the_widths_are_those_with_the_least_padding(totals: list[int], most: int) -> None:
    found = packing._best_widths(np.array(totals), most)

    def positions(widths: tuple[int, ...]) -> int:
        return sum(min(width for width in widths if width >= total) for total in totals)

    different = sorted(set(totals))
    assert list(found) == sorted(set(found))
    assert len(found) <= most
    assert found[-1] == max(totals)
    others = range(min(most, len(different)))
    choices = [(*some, different[-1]) for size in others for some in itertools.combinations(different[:-1], size)]
    assert positions(found) == min(map(positions, choices))


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 9), st.none() | st.integers(1, 100))
def test_evaluation_has_every_text_once(lengths: list[int], size: int, most_tokens: int | None) -> None:
    rows = packed_rows(np.array(lengths), reader_of(lengths, weighted=False), batch_size=size, most_tokens=most_tokens)
    found = []
    for batch, texts in rows:
        assert texts.dtype == np.int64
        assert texts_in(batch, lengths, weighted=False) == texts.tolist()
        assert 1 <= len(texts) <= size
        if most_tokens and len(texts) > 1:
            assert sum(lengths[text] for text in texts) <= most_tokens + max(lengths)
        found += texts.tolist()
    assert sorted(found) == list(range(len(lengths)))
    assert len({batch.inputs.shape for batch, _ in rows}) <= 3


@pytest.mark.parametrize("size", [4, 8, 32])
@pytest.mark.parametrize("mean", [6, 28, 200])
def test_evaluation_has_little_padding(mean: int, size: int) -> None:
    lengths = np.random.default_rng(0).gamma(4.0, mean / 4.0, 1000).astype(np.int64) + 1
    read = reader_of(lengths.tolist())
    rows = packed_rows(lengths, read, batch_size=size)
    assert lengths.sum() > 0.8 * sum(batch.inputs.size for batch, _ in rows)
    of_call = packed_rows(lengths, read, batch_size=size, most_tokens=1024, widths=_few_widths)
    assert lengths.sum() > 0.65 * sum(batch.inputs.size for batch, _ in of_call)
    assert len({batch.inputs.shape for batch, _ in of_call}) <= 4


def test_every_step_of_accumulated_rows_has_nearly_as_many_texts() -> None:
    """Rows of no text must not come together in one step, whose texts would weigh more than others."""
    lengths = [3, 9, 4, 7, 5, 6, 8, 2, 1]
    batches = batches_of(lengths, batch_size=1, accumulate=8)
    assert batches.steps_per_epoch == 2
    counts = [sum(len(texts_in(batches.batch(8 * step + row), lengths)) for row in range(8)) for step in range(2)]
    assert sorted(counts) == [4, 5]
    assert batches.widths[0] > 0


def test_nothing_to_evaluate_gives_no_batches() -> None:
    assert packed_rows(np.zeros(0, np.int64), reader_of([]), batch_size=2) == []


def test_widths_are_multiples_of_16() -> None:
    assert [rounded_width(tokens) for tokens in (0, 1, 16, 17)] == [0, 16, 16, 32]


def test_texts_without_tokens_are_refused() -> None:
    with pytest.raises(DataError, match=r"^There is no text to train on\. Give more texts\.$"):
        batches_of([])
    with pytest.raises(DataError, match=r"^Text 1 has no token, so there is nothing to classify\. Leave it out\.$"):
        reader_of([3, 0])


@pytest.mark.skipif(not TINY.is_dir(), reason="this checkout lacks the built-in model")
def test_film_reviews_have_little_padding() -> None:
    names = [str(outside_data("sentiment", f"rt-polarity.{label}")) for label in ("pos", "neg")]
    data = read_labelled(names, LabelledTextSettings(encoding="cp1252"))
    tokenizer = Tokenizer.load(TINY)
    ids = [tokenizer.encode_array(text) for text in data.texts]
    lengths = np.array([len(tokens) for tokens in ids])
    for batch_size in (16, 32):
        batches = PackedBatches(lengths, labelled_reader(ids, data.labels), batch_size=batch_size, accumulate=1, seed=0)
        assert batches.padding < 0.05
        assert len(batches.widths) == 1
