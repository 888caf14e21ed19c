"""Windows: every target once an epoch, a pure function of seed and number, and nothing wasted on small texts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data import batches
from gpt2simple.data.batches import Batch, TrainingWindows, evaluation_batches
from gpt2simple.data.corpus import TokenSet
from gpt2simple.errors import DataError


@st.composite
def token_sets(draw: st.DrawFn) -> TokenSet:
    """Spans of an array whose every value is its own place, so that a token tells where it came from."""
    ids = np.arange(draw(st.integers(2, 200)), dtype=np.uint16)
    cuts = sorted(draw(st.sets(st.integers(0, len(ids)), max_size=6)))
    spans = [(0, 1), *zip(cuts[::2], cuts[1::2], strict=False)]
    tokens = TokenSet(ids, [(start, stop) for start, stop in spans if start < stop])
    return tokens if tokens.targets else TokenSet(ids, [(0, len(ids))])


def rows_of(windows: TrainingWindows, batches: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets of each row, padding removed, in order."""
    rows = []
    for index in range(batches):
        inputs, targets, weights = windows.batch(index).arrays
        for row in range(len(inputs)):
            seen = weights[row] > 0
            rows.append((inputs[row][seen], targets[row][seen]))
    return rows


@settings(max_examples=200, deadline=None)
@given(token_sets(), st.integers(1, 70), st.integers(1, 5), st.integers(0, 2**32))
def test_each_epoch_has_every_target_exactly_once(tokens: TokenSet, window: int, batch_size: int, seed: int) -> None:
    windows = TrainingWindows(tokens, window, batch_size, seed)
    epochs = 3
    rows = rows_of(windows, -(-epochs * windows.windows_per_epoch // batch_size))
    stream = tokens.read(0, tokens.tokens)
    for epoch in range(epochs):
        here = rows[epoch * windows.windows_per_epoch : (epoch + 1) * windows.windows_per_epoch]
        assert np.array_equal(np.sort(np.concatenate([targets for _, targets in here])), np.sort(stream[1:]))


@settings(max_examples=100, deadline=None)
@given(token_sets(), st.integers(1, 70), st.integers(1, 5))
def test_each_input_is_the_token_before_its_target(tokens: TokenSet, window: int, batch_size: int) -> None:
    windows = TrainingWindows(tokens, window, batch_size, 0)
    stream = tokens.read(0, tokens.tokens).tolist()
    before = list(pairwise(stream))
    for inputs, targets in rows_of(windows, 4):
        assert all(pair in before for pair in zip(inputs.tolist(), targets.tolist(), strict=True))


@settings(max_examples=100, deadline=None)
@given(token_sets(), st.integers(1, 70), st.integers(1, 5))
def test_evaluation_reads_every_target_once_in_order(tokens: TokenSet, window: int, batch_size: int) -> None:
    batches = list(evaluation_batches(tokens, window, batch_size))
    seen = np.concatenate([batch.targets[batch.loss_mask > 0] for batch in batches])
    assert np.array_equal(seen, tokens.read(1, tokens.tokens))
    (rows, length), *others = {batch.inputs.shape for batch in batches}
    assert (others, length) == ([], min(window, tokens.targets))
    assert len(batches) == math.ceil(tokens.targets / window / batch_size)
    assert (rows - 1) * len(batches) < math.ceil(tokens.targets / window)  # fewer would not do


@settings(max_examples=100, deadline=None)
@given(token_sets(), st.integers(1, 70), st.integers(1, 5), st.integers(1, 9))
def test_no_batch_has_more_than_a_devices_share(tokens: TokenSet, window: int, batch_size: int, devices: int) -> None:
    batches = list(evaluation_batches(tokens, window, batch_size, devices=devices))
    windows = math.ceil(tokens.targets / window)
    assert all(len(batch.inputs) <= min(batch_size, math.ceil(windows / devices)) for batch in batches)
    seen = np.concatenate([batch.targets[batch.loss_mask > 0] for batch in batches])
    assert np.array_equal(seen, tokens.read(1, tokens.tokens))


@settings(max_examples=100, deadline=None)
@given(token_sets(), st.integers(1, 70), st.integers(1, 5), st.integers(1, 40))
def test_a_part_of_the_evaluation_is_spread_evenly(
    tokens: TokenSet, window: int, batch_size: int, at_most: int
) -> None:
    every = list(evaluation_batches(tokens, window, 1))
    numbers = range(len(every)) if len(every) <= at_most else [n * len(every) // at_most for n in range(at_most)]
    chosen = list(evaluation_batches(tokens, window, batch_size, at_most=at_most))
    for name in ("inputs", "targets", "loss_mask"):
        rows = np.concatenate([getattr(batch, name) for batch in chosen])
        assert np.array_equal(rows[: len(numbers)], np.concatenate([getattr(every[n], name) for n in numbers]))
        assert not rows[len(numbers) :].any()


def test_only_the_chosen_windows_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    fill = batches._fill

    def counted(*given: Any) -> None:
        built.append(given)
        fill(*given)

    monkeypatch.setattr(batches, "_fill", counted)
    assert len(list(evaluation_batches(stream(10_000), 16, 4, at_most=11))) == 3
    assert len(built) == 11


def stream(tokens: int) -> TokenSet:
    return TokenSet(np.arange(tokens, dtype=np.uint16), [(0, tokens)])


def same(first: Batch, second: Batch) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.arrays, second.arrays, strict=True))


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    forward = TrainingWindows(stream(1000), 16, 4, seed=5)
    expected = [forward.batch(i) for i in range(50)]
    fresh = TrainingWindows(stream(1000), 16, 4, seed=5)
    assert all(same(fresh.batch(i), expected[i]) for i in (49, 0, 17, 33))
    other = TrainingWindows(stream(1000), 16, 4, seed=6)
    assert not any(same(other.batch(i), expected[i]) for i in range(50))


def test_epochs_cut_the_text_at_different_places() -> None:
    windows = TrainingWindows(stream(1000), 16, 1, seed=0)
    per_epoch = windows.windows_per_epoch
    starts = [{int(windows.batch(e * per_epoch + i)[0][0, 0]) % 16 for i in range(per_epoch)} for e in range(20)]
    assert len({frozenset(s) for s in starts}) > 5


def test_shapes_types_and_counts() -> None:
    windows = TrainingWindows(stream(1001), 64, 3, seed=0)
    inputs, targets, weights = windows.batch(0).arrays
    assert (inputs.dtype, targets.dtype, weights.dtype) == (np.int32, np.int32, np.float32)
    assert inputs.shape == targets.shape == weights.shape == (3, 64)
    assert (windows.tokens_per_epoch, windows.windows_per_epoch) == (1000, 16)
    assert windows.epoch_at(16) == 3.0
    assert windows.message is None


def test_a_text_of_one_window_takes_one_window_an_epoch() -> None:
    windows = TrainingWindows(stream(65), 64, 1, seed=0)
    assert windows.windows_per_epoch == 1
    assert all(windows.batch(i)[2].all() for i in range(5))


@pytest.mark.parametrize("tokens", [2, 3, 40])
def test_the_window_shrinks_to_a_small_text_and_says_so(tokens: int) -> None:
    windows = TrainingWindows(stream(tokens), 64, 2, seed=0)
    assert windows.window == tokens - 1
    assert windows.message == (f"The text is shorter than a window of 64 tokens; windows of {tokens - 1} are used.")
    assert windows.batch(0)[2].all()


def test_fewer_than_two_tokens_are_an_error() -> None:
    with pytest.raises(DataError, match=r"fewer than two tokens, so there is nothing to train on. Give a longer text"):
        TrainingWindows(stream(1), 64, 1, seed=0)


def test_spans_are_read_as_one_stream() -> None:
    tokens = TokenSet(np.arange(100, dtype=np.uint16), [(0, 1), (10, 20), (20, 25), (50, 50), (90, 100)])
    whole = [0, *range(10, 25), *range(90, 100)]
    assert tokens.tokens == len(whole)
    assert all(
        tokens.read(a, b).tolist() == whole[a:b] for a in range(len(whole) + 1) for b in range(a, len(whole) + 1)
    )
