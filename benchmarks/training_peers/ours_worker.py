"""This package's trainer as `finetune` builds it, its defaults, random weights.

Arguments: precision ("auto": as a session chooses); size; "checkpointing" or nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from worker import N_CTX, N_VOCAB, SIZES, Job, serve, window


def load() -> Job:
    from gpt2simple.backend import devices, precision
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.container import build_model, named_variables
    from gpt2simple.settings import FinetuneSettings
    from gpt2simple.training.task import LanguageModeling
    from gpt2simple.training.trainer import build_trainer

    layers, width, heads = SIZES[sys.argv[2]]
    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers)
    devices.start(None)
    dtype = tf.as_dtype(precision.choose_precision(sys.argv[1]).training)
    model = build_model(config, seed=0)
    task = LanguageModeling(np.ones(N_VOCAB))
    trainer = build_trainer(
        model, named_variables(model), config, FinetuneSettings(), task,
        dtype=dtype, seed=1, last_step=None,
        gradient_checkpointing="checkpointing" in sys.argv, compile_whole_step=devices.compiles_whole_step(),
    )  # fmt: skip
    ids = window()[None, None]  # (A, B, T + 1)
    batch = ids[..., :-1], ids[..., 1:], np.ones((1, 1, N_CTX), np.float32)

    def batches() -> Iterator[Any]:
        while True:
            yield batch

    signature = tuple(tf.TensorSpec(array.shape, array.dtype) for array in batch)
    options = tf.data.Options()
    options.autotune.enabled = False  # as in gpt2simple.training.data
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4).with_options(options)

    def work(steps: int) -> dict[str, Any]:
        trainer.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0)
        return {"precision": dtype.name}

    return work


serve(load)
