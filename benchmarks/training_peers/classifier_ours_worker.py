"""This package's trainer of a classifier as `finetune_classifier` builds it, random weights. Argument: precision."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from texts import labelled
from worker import BATCH_SIZE, N_CTX, N_VOCAB, SIZES, TEXTS, Job, serve


def load() -> Job:
    from gpt2simple.backend import devices, precision
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.data.batches import PackedShape
    from gpt2simple.data.labelled import labelled_reader
    from gpt2simple.data.packing import PackedBatches, rounded_width
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.container import build_model, named_variables
    from gpt2simple.settings import ClassifierSettings
    from gpt2simple.training.classification import Classification
    from gpt2simple.training.data import TrainingData, steps_dataset
    from gpt2simple.training.trainer import build_trainer

    layers, width, heads = SIZES["124M"]
    config = ModelConfig(
        n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers, labels=("bad", "good")
    )
    devices.start(None)
    dtype = tf.as_dtype(precision.choose_precision(sys.argv[1]).training)
    model = build_model(config, seed=0)
    ids, labels = labelled(TEXTS)
    lengths = np.array([len(text) for text in ids])
    batches = PackedBatches(lengths, labelled_reader(ids, labels), batch_size=BATCH_SIZE, accumulate=1, seed=0)
    packed = PackedShape(rounded_width(int(lengths.max())), BATCH_SIZE)
    trainer = build_trainer(
        model, named_variables(model), config, ClassifierSettings(), Classification(by_accuracy=False),
        dtype=dtype, seed=1, last_step=1_000_000, gradient_checkpointing=False,
        compile_whole_step=devices.compiles_whole_step(), packed=packed,
    )  # fmt: skip
    data = TrainingData(micro_batch=batches.batch, epoch_at=batches.epoch_at, accumulate=1, held_out=(), packed=packed)

    def work(steps: int) -> dict[str, Any]:
        with steps_dataset(data, lambda: int(trainer.optimizer.iterations.numpy())) as dataset:
            trainer.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)
        return {"precision": dtype.name, "padding": batches.padding, "widths": [*batches.widths]}

    return work


serve(load)
