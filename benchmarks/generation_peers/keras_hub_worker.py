"""KerasHub's GPT2CausalLM with a random GPT-2.

Arguments: the Keras backend, jax or tensorflow; the dtype policy, float32 or mixed_bfloat16.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

os.environ["KERAS_BACKEND"] = sys.argv[1]

import keras
import keras_hub
import numpy as np
from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    keras.config.set_dtype_policy(sys.argv[2])
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=N_VOCAB,
        num_layers=N_LAYER,
        num_heads=N_HEAD,
        hidden_dim=N_EMBD,
        intermediate_dim=4 * N_EMBD,
        max_sequence_length=N_CTX,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    model.compile(sampler=keras_hub.samplers.TopKSampler(k=TOP_K, temperature=TEMPERATURE))

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        ids = np.zeros((len(prompts), len(prompts[0]) + new_tokens), np.int32)
        ids[:, : len(prompts[0])] = prompts
        mask = np.zeros_like(ids)
        mask[:, : len(prompts[0])] = 1
        model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
        return {"tokens": new_tokens * len(prompts)}

    return generate


serve(load)
