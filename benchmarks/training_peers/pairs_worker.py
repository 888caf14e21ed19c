"""This package's trainer on pairs, random weights. Arguments: how they are batched; precision; pairs in a batch.

"packed" is what `finetune` does with pairs: one row a batch. "padded": batches of pairs in random order, each padded to
its longest. "bucketed": the same with pairs of similar length together. The last two compute the head for every token.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from texts import pairs
from worker import N_CTX, N_VOCAB, SIZES, Job, serve

PAIRS = 4_400
POOL = 50  # batches whose pairs are sorted together


def load() -> Job:
    from gpt2simple.backend import devices, precision
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.data.batches import Batch, PackedShape
    from gpt2simple.data.packing import PackedBatches, rounded_width
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.container import build_model, named_variables
    from gpt2simple.settings import PairSettings
    from gpt2simple.training.task import LanguageModeling
    from gpt2simple.training.trainer import build_trainer

    way, size = sys.argv[1], int(sys.argv[3])
    layers, width, heads = SIZES["124M"]
    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers)
    devices.start(None)
    dtype = tf.as_dtype(precision.choose_precision(sys.argv[2]).training)
    ids, targets = pairs(PAIRS)
    lengths = np.array([len(pair) - 1 for pair in ids])

    def read(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        loss_mask = (np.arange(lengths[number]) >= lengths[number] - targets[number]).astype(np.float32)
        return ids[number][:-1], ids[number][1:], loss_mask

    def padded(numbers: np.ndarray) -> Batch:
        longest = rounded_width(int(lengths[numbers].max()))
        rows = [[np.pad(array, (0, longest - len(array))) for array in read(number)] for number in numbers.tolist()]
        return Batch(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def unpacked(epoch: int) -> list[Batch]:
        generator = np.random.default_rng(epoch)
        order = generator.permutation(PAIRS)
        if way == "bucketed":
            pools = np.split(order, range(POOL * size, PAIRS, POOL * size))
            order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        batches = np.split(order, range(size, PAIRS, size))
        return [padded(batches[place]) for place in generator.permutation(len(batches)).tolist()]

    shape, packed_batches = None, None
    if way == "packed":
        packed_batches = PackedBatches(lengths, read, batch_size=size, accumulate=1, seed=0, targets=targets)
        shape = PackedShape(rounded_width(int(lengths.max())), packed_batches.most_targets)
    model = build_model(config, seed=0)
    trainer = build_trainer(
        model, named_variables(model), config, PairSettings(), LanguageModeling(np.ones(N_VOCAB)),
        dtype=dtype, seed=1, last_step=1_000_000, gradient_checkpointing=False,
        compile_whole_step=devices.compiles_whole_step(), packed=shape,
    )  # fmt: skip

    def batches() -> Iterator[Batch]:
        if packed_batches is not None:
            yield from map(packed_batches.batch, itertools.count())
        widths = sorted({batch.inputs.shape[1]: batch for batch in unpacked(0)}.items())
        yield from (batch for _, batch in widths)  # first each width once: they are compiled
        for epoch in itertools.count(1):
            yield from unpacked(epoch)

    first = next(batches())
    signature = tuple(tf.TensorSpec((1, *array.shape[:-1], None), array.dtype) for array in first.arrays)
    endless = (tuple(array[None] for array in batch.arrays) for batch in batches())
    options = tf.data.Options()
    options.autotune.enabled = False  # as in gpt2simple.training.data
    dataset = tf.data.Dataset.from_generator(lambda: endless, output_signature=signature).prefetch(4)
    dataset = dataset.with_options(options)
    compilations = len({batch.inputs.shape[1] for batch in unpacked(0)}) if packed_batches is None else 1
    numbers = range(packed_batches.steps_per_epoch) if packed_batches is not None else ()
    epoch = [packed_batches.batch(number) for number in numbers] if packed_batches is not None else unpacked(1)
    padding = 1.0 - lengths.sum() / sum(batch.inputs.size for batch in epoch)

    def work(steps: int) -> dict[str, Any]:
        trainer.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)
        return {"precision": dtype.name, "padding": float(padding), "compilations": compilations}

    return work


serve(load)
