"""The keys and values of earlier tokens: rings of slots in tiles, and attention to them.

*The caches are rings.* All rows write the same slot in the same step, and a row with n tokens owns the n slots up to
it: a token's position in the text is in its position embedding, so attention does not depend on where its key is.
Thus one update serves all rows however their lengths differ, and a row can be replaced at any time.

*The slots are in tiles*, and attention goes from tile to tile, back from the newest to the oldest that a row owns: what
is empty is not read. The softmax is built up on the way: its numerators so far shrink when a higher score comes.
Source: Milakov and Gimelshein 2018.

*On a CPU attention is limited by memory*, and XLA computes the many small products of one query each on a single core.
So keys and values are multiplied in element-wise sums of a few terms, which XLA shares among the cores, and which a
product with ones adds up. Keys are kept as [D, slots of a tile], where such sums run over neighbours in memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from gpt2simple.backend.devices import has_gpu
from gpt2simple.backend.tensorflow import Tensor, Variable, tf, xla_dynamic_slice, xla_dynamic_update_slice
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.network.xla import Compiled, traces

KeysValues = tuple[Tensor, Tensor]
Cache = tuple[Variable, Variable]  # keys and values of a layer: [B*H, tiles, D, slots of a tile], [..., slots, D]
Caches = Sequence[Cache]  # of each layer
_SPARE_SLOTS = 16  # beyond the window: draft tokens that are discarded later may reach past it
_SHORTEST_CACHE = 256
_TILE = 128  # slots; measured on two cores: with 64 loops are too short, 256 are read where a text needs less
_TERMS = 8  # of an element-wise sum; more take longer to compile, and are no faster
MASKED = -1e9  # far below any score, and finite: a row of masked slots only still has finite results


def cache_bucket(tokens: int, n_ctx: int) -> int:
    """The slots of a cache for some tokens, and some to spare: a power of two from 256, or the window's whole tiles."""
    bucket = _SHORTEST_CACHE
    while bucket < tokens + _SPARE_SLOTS:
        bucket *= 2
    return min(bucket, math.ceil((n_ctx + _SPARE_SLOTS) / _TILE) * _TILE)


def new_caches(config: ModelConfig, rows: int, slots: int) -> Caches:
    """Empty keys and values of each layer, float32, for a multiple of a tile's slots."""
    heads, tile = rows * config.n_head, _tile_slots(slots)
    keys, values = (heads, slots // tile, config.head_width, tile), (heads, slots // tile, tile, config.head_width)
    return [(tf.Variable(tf.zeros(keys)), tf.Variable(tf.zeros(values))) for _ in range(config.n_layer)]


def slots_of(cache: Cache) -> int:
    """The slots of a cache."""
    return int(cache[1].shape[1] * cache[1].shape[2])


def select_rows(caches: Caches, rows: Sequence[int], config: ModelConfig, *, shift: int = 0) -> Caches:
    """New caches that hold some rows of others, their rings shifted by a number of slots."""
    heads = [row * config.n_head + head for row in rows for head in range(config.n_head)]

    def selected(cache: Variable, *, transpose: bool) -> Variable:
        tiles = tf.gather(cache, heads)  # (len(rows)*H, tiles, ., .)
        return tf.Variable(_in_tiles(tf.roll(_in_a_row(tiles, transpose), shift, axis=1), transpose))

    return [(selected(keys, transpose=True), selected(values, transpose=False)) for keys, values in caches]


@functools.cache
def row_writer(config: ModelConfig, rows: int, slots: int, length: int) -> Compiled:
    """A function (caches, keys and values of a prompt, row, first slot) that puts a prompt into a row of the ring."""

    def write(caches: Caches, prompt: Sequence[KeysValues], row: Tensor, first: Tensor) -> None:
        traces["write", config, rows, slots, length] += 1
        zero = tf.zeros_like(row)
        for layer, part in zip(caches, prompt, strict=True):
            for cache, values, transpose in zip(layer, part, (True, False), strict=True):
                padded = tf.pad(values, [[0, 0], [0, slots - length], [0, 0]])  # (H, slots, D)
                tiles = _in_tiles(tf.roll(padded, first, axis=1), transpose)  # (H, tiles, ., .)
                cache.assign(xla_dynamic_update_slice(cache, tiles, tf.stack([row * config.n_head, zero, zero, zero])))

    return Compiled(write, ("write", config, rows, slots, length))


class Mask(NamedTuple):
    """What some new tokens see of the ring: the same in all layers."""

    slot: Tensor  # int32 [], that takes the first of them
    visible: Tensor  # bool [B*H or 1, tiles, T, slots of a tile]
    newest: Tensor  # int32 [], the tile with the newest slot
    tiles: Tensor  # int32 [], how many from there back have anything visible


def mask_of_rows(counts: Tensor, slot: Tensor, slots: int, config: ModelConfig) -> Mask:
    """Of a new token for each row, all in one slot, after ``counts`` [B] tokens."""
    tile = _tile_slots(slots)
    age = tf.math.floormod(slot - tf.range(slots), slots)  # (slots,), of each slot's content, in steps
    visible = tf.repeat(age[None, :] <= counts[:, None], config.n_head, axis=0)  # (B*H, slots)
    older = tf.maximum(tf.reduce_max(counts) - slot % tile, 0)  # slots before the newest tile
    return Mask(
        slot=slot,
        visible=tf.reshape(visible, [-1, slots // tile, 1, tile]),
        newest=slot // tile,
        tiles=tf.minimum(1 + (older + tile - 1) // tile, slots // tile),
    )


def mask_of_text(positions: Tensor, slots: int) -> Mask:
    """Of new tokens at some ``positions`` [T] of the only row, whose text starts in slot 0."""
    tile = _tile_slots(slots)
    visible = tf.range(slots)[None, :] <= positions[:, None]  # (T, slots)
    tiles = tf.reshape(visible, [1, -1, slots // tile, tile])  # (1, T, tiles, slots of a tile)
    newest = positions[-1] // tile
    return Mask(slot=positions[0], visible=tf.transpose(tiles, [0, 2, 1, 3]), newest=newest, tiles=newest + 1)


def attend(layer: Cache, q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
    """Softmax attention of new tokens to a cache, which takes their keys and values first.

    Twin: `attention.causal_attention`.

    Args:
        layer: the cache.
        q, k, v: [B*H, T, D], of one token for each row or of several for the only one.
        mask: of these tokens.

    Returns:
        Sums of the values [B*H, T, D] by numerators of the softmax; its denominators [B*H, T, 1], to divide them by.
    """
    keys = _set_slots(layer[0], tf.linalg.matrix_transpose(k), mask.slot, axis=3)  # (B*H, tiles, D, slots)
    values = _set_slots(layer[1], v, mask.slot, axis=2)  # (B*H, tiles, slots, D)
    q *= int(q.shape[-1]) ** -0.5  # (B*H, T, D)

    def add_tile(turn: Tensor, number: Tensor, highest: Tensor, total: Tensor, mixed: Tensor) -> tuple[Tensor, ...]:
        scores = _product(q, _tile_of(keys, number))  # (B*H, T, slots)
        scores = tf.where(_tile_of(mask.visible, number), scores, MASKED)
        new_highest = tf.maximum(highest, tf.reduce_max(scores, axis=-1, keepdims=True))  # (B*H, T, 1)
        powers, rescale = tf.exp(scores - new_highest), tf.exp(highest - new_highest)  # (B*H, T, slots), (B*H, T, 1)
        total = total * rescale + tf.reduce_sum(powers, axis=-1, keepdims=True)  # (B*H, T, 1)
        mixed = mixed * rescale + _product(powers, _tile_of(values, number))  # (B*H, T, D)
        return turn + 1, tf.where(number > 0, number, keys.shape[1]) - 1, new_highest, total, mixed

    zeros = tf.zeros_like(q[:, :, :1])  # (B*H, T, 1)
    start = tf.zeros_like(mask.slot), mask.newest, zeros + MASKED, zeros, tf.zeros_like(q)
    if has_gpu():  # one tile: a GPU would wait for the host before each
        *_, total, mixed = add_tile(*start)
    else:
        *_, total, mixed = tf.while_loop(lambda turn, *_: turn < mask.tiles, add_tile, start)
    return mixed, total


def _tile_slots(slots: int) -> int:
    """The slots of a tile."""
    return slots if has_gpu() else _TILE


def _in_tiles(ring: Tensor, transpose: bool) -> Tensor:
    """[H, slots, D] as [H, tiles, slots of a tile, D], or with the last two transposed."""
    tile = _tile_slots(ring.shape[1])
    tiles = tf.reshape(ring, [ring.shape[0], -1, tile, ring.shape[2]])
    return tf.linalg.matrix_transpose(tiles) if transpose else tiles


def _in_a_row(tiles: Tensor, transposed: bool) -> Tensor:
    """The reverse of ``_in_tiles``."""
    tiles = tf.linalg.matrix_transpose(tiles) if transposed else tiles  # (H, tiles, slots of a tile, D)
    return tf.reshape(tiles, [tiles.shape[0], -1, tiles.shape[3]])


def _tile_of(tiles: Tensor, number: Tensor) -> Tensor:
    """One of some tiles [N, tiles, ., .], as [N, ., .]."""
    zero = tf.zeros_like(number)
    sizes = [tiles.shape[0], 1, *tiles.shape[2:]]
    return xla_dynamic_slice(tiles, tf.stack([zero, number, zero, zero]), tf.constant(sizes))[:, 0]


def _set_slots(cache: Variable, new: Tensor, slot: Tensor, *, axis: int) -> Tensor:
    """The cache after replacing slots from one on in every row; each new one alone, as they may lie in two tiles.

    Args:
        new: as in a tile, T in place of its slots.
        axis: that of the slots of a tile.
    """
    tile, zero = cache.shape[axis], tf.zeros_like(slot)
    tensor: Tensor = cache
    for number, one in enumerate(tf.split(new[:, None], new.shape[axis - 1], axis=axis)):
        start = [zero, (slot + number) // tile, zero, zero]
        start[axis] = (slot + number) % tile
        tensor = xla_dynamic_update_slice(tensor, one, tf.stack(start))
    return cache.assign(tensor, read_value=True)


def _product(x: Tensor, y: Tensor) -> Tensor:
    """x [N, T, M] times y [N, M, K]: [N, T, K]; of one query on a CPU a sum of a few terms (see above)."""
    if x.shape[1] > 1 or has_gpu():
        return tf.matmul(x, y)
    terms, x = math.gcd(_TERMS, int(y.shape[1])), x[:, 0, :, None]  # (N, M, 1)
    x, y = (tf.reshape(each, [each.shape[0], terms, -1, each.shape[2]]) for each in (x, y))  # (N, terms, M/terms, .)
    sums = tf.add_n([x[:, term] * y[:, term] for term in range(terms)])  # (N, M/terms, K)
    return tf.matmul(tf.ones_like(x[:, 0, :, 0])[:, None], sums)
