"""Rings of keys and values in tiles: attention beside a plain softmax, what is not read, rows that move."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network import kv_cache
from gpt2simple.gpt2.network.kv_cache import Caches, attend, mask_of_rows, mask_of_text
from gpt2simple.gpt2.network.xla import xla_compiled
from gpt2simple.testing import SMALL_CONFIG

CONFIG = replace(SMALL_CONFIG, n_layer=1)
HEADS, WIDTH = CONFIG.n_head, CONFIG.head_width
SLOTS, TILE = 384, 128
Ring = list[np.ndarray]  # keys and values [rows, H, slots, D]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def filled(rows: int, tile: int = TILE) -> tuple[Caches, Ring]:
    """Caches, and what is in each of their slots."""
    caches = kv_cache.new_caches(CONFIG, rows, SLOTS)
    ring = [draw(rows, HEADS, SLOTS, WIDTH, seed=seed) for seed in (1, 2)]
    keys, values = (part.reshape(rows * HEADS, SLOTS // tile, tile, WIDTH) for part in ring)
    caches[0][0].assign(keys.swapaxes(2, 3))
    caches[0][1].assign(values)
    return caches, ring


def softmax_attention(q: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """q [H, D] over keys and values [H, S, D], in float64: [H, D]."""
    scores = np.einsum("hd,hsd->hs", q.astype(np.float64), keys) / np.sqrt(q.shape[-1])
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.einsum("hs,hsd->hd", shares / shares.sum(axis=1, keepdims=True), values)


@functools.cache
def rows_attention(gpu: bool) -> Callable[..., Any]:
    def step(layer: Any, new: Any, counts: Any, slot: Any) -> Any:
        mixed, total = attend(layer, *new, mask_of_rows(counts, slot, SLOTS, CONFIG))
        return mixed / total

    return xla_compiled(step)


@functools.cache
def text_attention(gpu: bool) -> Callable[..., Any]:
    def step(layer: Any, new: Any, first: Any) -> Any:
        mixed, total = attend(layer, *new, mask_of_text(first + tf.range(8), SLOTS))
        return mixed / total

    return xla_compiled(step)


def attended(caches: Caches, new: list[np.ndarray], counts: list[int], slot: int, *, gpu: bool = False) -> np.ndarray:
    """The attention [rows, H, D] of a new token for each row."""
    tensors = [tf.constant(part.reshape(-1, 1, WIDTH)) for part in new]
    result = rows_attention(gpu)(caches[0], tensors, tf.constant(counts), tf.constant(slot))
    return np.asarray(result).reshape(len(counts), HEADS, WIDTH)


@pytest.fixture(params=[False, True], ids=["CPU", "GPU"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether caches are laid out for a GPU, in one tile, which is tried on the CPU."""
    monkeypatch.setattr(kv_cache, "has_gpu", lambda: request.param)
    monkeypatch.setattr(kv_cache, "traces", Counter())  # what is traced here for both layouts is nobody else's
    return bool(request.param)


@pytest.mark.parametrize(
    ("counts", "slot"),
    [
        ([0, 0, 0], 0),
        ([5, 0, 3], 5),
        ([127, 3, 90], 127),
        ([128, 128, 128], 128),
        ([10, 130, 200], 4),  # beyond slot 0, in all tiles
        ([0, 140, 7], 130),
        ([SLOTS - 1, 1, 200], 200),  # the whole ring
        ([SLOTS - 1, SLOTS - 1, SLOTS - 1], SLOTS - 1),
    ],
)
def test_each_row_sees_its_own_slots_alone(counts: list[int], slot: int, gpu: bool) -> None:
    caches, (keys, values) = filled(3, SLOTS if gpu else TILE)
    q, k, v = (draw(3, HEADS, WIDTH, seed=seed) for seed in (3, 4, 5))
    found = attended(caches, [q, k, v], counts, slot, gpu=gpu)
    keys[:, :, slot], values[:, :, slot] = k, v
    for row, count in enumerate(counts):
        own = np.arange(slot - count, slot + 1) % SLOTS
        expected = softmax_attention(q[row], keys[row][:, own], values[row][:, own])
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("counts", "slot", "read"),
    [
        ([20, 5], 30, [0]),
        ([20, 31], 30, [0, 2]),
        ([100, 60], 300, [1, 2]),
        ([0, 0], 128, [1]),
        ([300, 9], 20, [0, 1, 2]),
    ],
)
def test_tiles_that_no_row_owns_are_not_read(counts: list[int], slot: int, read: list[int]) -> None:
    """What is not a number shows where it is read."""
    caches, _ = filled(2)
    others = [number for number in range(SLOTS // TILE) if number not in read]
    for cache in caches[0]:
        values = cache.numpy()
        values[:, others] = np.nan
        cache.assign(values)
    new = [draw(2, HEADS, WIDTH, seed=seed) for seed in (3, 4, 5)]
    assert np.isfinite(attended(caches, new, counts, slot)).all()
    for cache in caches[0]:
        values = cache.numpy()
        values[:, read[-1]] = np.nan
        cache.assign(values)
    assert not np.isfinite(attended(caches, new, counts, slot)).all(), "the tiles that it owns are"


@pytest.mark.parametrize("first", [0, 60, 122, 125, 300])
def test_tokens_of_a_text_see_those_before_them(first: int, gpu: bool) -> None:
    """Also where they lie in two tiles."""
    caches, (keys, values) = filled(1, SLOTS if gpu else TILE)
    q, k, v = (draw(HEADS, 8, WIDTH, seed=seed) for seed in (3, 4, 5))

    found = np.asarray(text_attention(gpu)(caches[0], [tf.constant(part) for part in (q, k, v)], tf.constant(first)))
    keys[0, :, first : first + 8], values[0, :, first : first + 8] = k, v
    for place in range(8):
        seen = slice(0, first + place + 1)
        expected = softmax_attention(q[:, place], keys[0][:, seen], values[0][:, seen])
        np.testing.assert_allclose(found[:, place], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shift", [0, 5, -200])
def test_rows_that_move_keep_their_texts(shift: int, gpu: bool) -> None:
    caches, (keys, values) = filled(3, SLOTS if gpu else TILE)
    moved = kv_cache.select_rows(caches, [2, 0], CONFIG, shift=shift)
    new = [draw(2, HEADS, WIDTH, seed=seed) for seed in (3, 4, 5)]
    counts, slot = [150, 40], (160 + shift) % SLOTS
    found = attended(moved, new, counts, slot, gpu=gpu)
    for row, (old, count) in enumerate(zip([2, 0], counts, strict=True)):
        own = np.arange(160 - count, 160) % SLOTS
        all_keys = np.concatenate([keys[old][:, own], new[1][row][:, None]], axis=1)
        all_values = np.concatenate([values[old][:, own], new[2][row][:, None]], axis=1)
        np.testing.assert_allclose(found[row], softmax_attention(new[0][row], all_keys, all_values), rtol=0, atol=2e-6)


@pytest.mark.parametrize("first", [0, 100, SLOTS - 9])
def test_a_prompt_is_put_into_one_row_also_over_the_rings_end(first: int, gpu: bool) -> None:
    caches, (keys, values) = filled(3, SLOTS if gpu else TILE)
    prompt = [draw(HEADS, 16, WIDTH, seed=seed) for seed in (6, 7)]
    writer = kv_cache.row_writer.__wrapped__(CONFIG, 3, SLOTS, 16)  # a process keeps those of one layout
    writer(caches, [tuple(map(tf.constant, prompt))], tf.constant(1), tf.constant(first))
    slot = (first + 11) % SLOTS  # of 16 tokens, the last five are padding
    new = [draw(3, HEADS, WIDTH, seed=seed) for seed in (3, 4, 5)]
    found = attended(caches, new, [30, 11, 30], slot, gpu=gpu)
    for ring, part in zip((keys, values), prompt, strict=True):
        ring[1][:, np.arange(first, first + 16) % SLOTS] = part
    keys[:, :, slot], values[:, :, slot] = new[1], new[2]
    for row, count in enumerate([30, 11, 30]):
        own = np.arange(slot - count, slot + 1) % SLOTS
        expected = softmax_attention(new[0][row], keys[row][:, own], values[row][:, own])
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("tokens", "window", "slots"),
    [(1, 1024, 256), (240, 1024, 256), (241, 1024, 512), (1024, 1024, 1152), (9, 32, 128)],
)
def test_caches_have_room_for_the_tokens_in_whole_tiles(tokens: int, window: int, slots: int) -> None:
    assert kv_cache.cache_bucket(tokens, window) == slots
    assert kv_cache.slots_of(kv_cache.new_caches(replace(CONFIG, n_ctx=window), 2, slots)[0]) == slots
