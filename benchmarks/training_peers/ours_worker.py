"""This package's trainer as `finetune` builds it, its defaults, random weights.

Arguments: precision ("auto": as a session chooses); size; "checkpointing" or nothing; "lora" or nothing: an adapter of
rank 16 on all four projections of each layer, beside a base in that precision.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from worker import LORA_ALPHA, LORA_RANK, N_CTX, N_VOCAB, ROWS, SIZES, Job, serve, windows


def load() -> Job:
    from gpt2simple.backend import devices, precision
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.gpt2.config import PROJECTIONS, Lora, ModelConfig
    from gpt2simple.gpt2.container import build_model, make_container, named_variables
    from gpt2simple.gpt2.lora import is_of_adapter, new_adapter
    from gpt2simple.gpt2.variables import make_variables, random_weights
    from gpt2simple.settings import FinetuneSettings
    from gpt2simple.training.task import LanguageModeling
    from gpt2simple.training.trainer import build_trainer

    layers, width, heads = SIZES[sys.argv[2]]
    devices.start(None)
    dtype = tf.as_dtype(precision.choose_precision(sys.argv[1]).training)
    lora = None
    if "lora" in sys.argv:
        lora = Lora(rank=LORA_RANK, alpha=LORA_ALPHA, targets=tuple(PROJECTIONS), base=dtype.name)
    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=width, n_head=heads, n_layer=layers, lora=lora)
    if lora is None:
        model = build_model(config, seed=0)
        variables = named_variables(model)
    else:
        of_base, of_adapter = random_weights(config, seed=0), new_adapter(config, 0)
        variables = make_variables(config, lambda name: of_adapter(name) if is_of_adapter(name) else of_base(name))
        model = make_container(variables, config)
    task = LanguageModeling(np.ones(N_VOCAB))
    trainer = build_trainer(
        model, variables, config, FinetuneSettings(lora_rank=LORA_RANK if lora else 0), task,
        dtype=dtype, seed=1, last_step=None,
        gradient_checkpointing="checkpointing" in sys.argv, compile_whole_step=devices.compiles_whole_step(),
    )  # fmt: skip
    ids = windows()[None]  # (A, B, T + 1)
    batch = ids[..., :-1], ids[..., 1:], np.ones((1, ROWS, N_CTX), np.float32)

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
