"""Shares of a step: whatever is divided, all replicas together learn from each target exactly once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.batches import Batch, TrainingWindows
from gpt2simple.data.corpus import TokenSet
from gpt2simple.data.labelled import labelled_reader
from gpt2simple.data.packing import PackedBatches
from gpt2simple.data.share import batch_of_one, idle_message, parts_of_rows, step_shares, target_count

REPLICAS = st.integers(1, 4)
ACCUMULATE = st.integers(1, 4)


def step_of(batch: Any, accumulate: int, step: int) -> tuple[np.ndarray, ...]:
    """The arrays [A, B, T] of a step."""
    parts: list[Batch] = [batch(step * accumulate + number) for number in range(accumulate)]
    return tuple(np.stack(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True))


def learned(arrays: tuple[np.ndarray, ...]) -> list[tuple[int, int, float]]:
    """Input, target and weight of each target that counts."""
    inputs, targets, mask = arrays[:3]
    seen = mask > 0
    return list(zip(inputs[seen].tolist(), targets[seen].tolist(), mask[seen].tolist(), strict=True))


def of_replicas(replicas: int, arrays: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    return [share.of(arrays) for share in step_shares(replicas, *arrays[0].shape[:2])]


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 90), st.integers(1, 12), st.integers(1, 5), ACCUMULATE, REPLICAS)
def test_of_a_text_each_target_is_learned_once(
    tokens: int, window: int, batch_size: int, accumulate: int, replicas: int
) -> None:
    windows = TrainingWindows(TokenSet(np.arange(tokens, dtype=np.uint16), [(0, tokens)]), window, batch_size, 3)
    for step in range(4):  # some of them with rows that end early
        whole = step_of(windows.batch, accumulate, step)
        own = of_replicas(replicas, whole)
        assert sorted(target for arrays in own for target in learned(arrays)) == sorted(learned(whole))
        assert {arrays[0].shape for arrays in own} == {own[0][0].shape}  # one graph for all
        assert target_count(whole) == sum(len(learned(arrays)) for arrays in own)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 6), ACCUMULATE, REPLICAS, st.integers(0, 9)
)
def test_of_packed_texts_each_target_is_learned_once_in_the_same_step(
    lengths: list[int], batch_size: int, accumulate: int, replicas: int, seed: int
) -> None:
    """Each text has its own id, label and weight; texts are divided as they are for one."""
    read = labelled_reader(
        [np.full(length, text + 1, np.int32) for text, length in enumerate(lengths)],
        np.arange(len(lengths), dtype=np.int32), np.linspace(0.5, 1.5, len(lengths)).astype(np.float32),
    )  # fmt: skip
    how = {"batch_size": batch_size, "accumulate": accumulate, "seed": seed}
    one = PackedBatches(np.array(lengths), read, **how)
    dealt = PackedBatches(np.array(lengths), read, **how, parts=parts_of_rows(replicas, accumulate))
    assert dealt.steps_per_epoch == one.steps_per_epoch
    for step in range(2 * one.steps_per_epoch):  # in the second epoch other texts are beside each other
        whole, parts = step_of(one.batch, accumulate, step), step_of(dealt.batch, accumulate, step)
        own = of_replicas(replicas, parts)
        assert sorted(target for arrays in own for target in learned(arrays)) == sorted(learned(whole))
        assert target_count(whole) == pytest.approx(float(target_count(parts)))
        assert {arrays[0].shape for arrays in own} == {own[0][0].shape}


def test_micro_batches_are_taken_whole_where_they_can_be() -> None:
    """So that dropout, which has a mask for each, and packed rows are those of one replica."""
    whole = tuple(np.arange(4 * 3 * 5).reshape(4, 3, 5) for _ in range(3))
    first, second = of_replicas(2, whole)
    assert first[0].tolist() == whole[0][:2].tolist()
    assert second[0].tolist() == whole[0][2:].tolist()
    assert not any(share.cuts_rows for share in step_shares(2, 4, 3))
    assert all(share.cuts_rows for share in step_shares(3, 4, 3))


def test_who_has_no_row_computes_one_that_does_not_count() -> None:
    rows = np.ones((1, 1, 4), np.float32)
    masks = [arrays[2].sum() for arrays in of_replicas(2, (rows, rows, rows))]
    assert sorted(masks) == [0, 4]


def test_workers_without_work_are_told_what_would_give_them_some() -> None:
    message = idle_message(4, 1, 1)
    assert message is not None
    assert "3 of 4 devices have nothing to do" in message
    assert "batch_size=4" in message
    assert [idle_message(*case) for case in ((1, 1, 1), (2, 2, 1), (2, 1, 2), (2, 3, 3))] == [None] * 4


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
@pytest.mark.parametrize(("micro_batches", "rows"), [(1, 1), (1, 5), (2, 3), (4, 2), (6, 1)])
def test_estimates_are_of_the_largest_share(replicas: int, micro_batches: int, rows: int) -> None:
    shares = step_shares(replicas, micro_batches, rows)
    most = max(share.n_rows for share in shares), max(share.taken for share in shares)
    assert batch_of_one(replicas, rows, micro_batches) == most
