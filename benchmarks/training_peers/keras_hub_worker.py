"""KerasHub's GPT2CausalLM with Keras's AdamW, random weights, no dropout.

Arguments: the backend, jax or tensorflow; the dtype policy, float32 or mixed_bfloat16.
"""

from __future__ import annotations

import os
import sys

os.environ["KERAS_BACKEND"] = sys.argv[1]

import keras
import keras_hub
import numpy as np
from worker import CLIP_NORM, LEARNING_RATE, N_CTX, N_VOCAB, ROWS, SIZE, SIZES, WEIGHT_DECAY, Job, serve, windows


def load() -> Job:
    keras.config.set_dtype_policy(sys.argv[2])
    layers, width, heads = SIZES[SIZE]
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=N_VOCAB,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=0.0,
        max_sequence_length=N_CTX,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM),
    )
    ids = windows()
    inputs = {"token_ids": ids[:, :-1], "padding_mask": np.ones((ROWS, N_CTX), np.int32)}

    def work(steps: int) -> None:
        for _ in range(steps):
            model.train_on_batch(inputs, ids[:, 1:])

    return work


serve(load)
