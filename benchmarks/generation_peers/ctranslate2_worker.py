"""CTranslate2 with a random GPT-2. Argument: the compute type, float32 or int8."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence

import ctranslate2
import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    with tempfile.TemporaryDirectory() as folder:
        _random_spec().save(folder)
        generator = ctranslate2.Generator(
            folder, compute_type=sys.argv[1], inter_threads=1, intra_threads=os.cpu_count() or 1
        )

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        results = generator.generate_batch(
            [[f"t{token}" for token in prompt] for prompt in prompts],
            max_length=new_tokens,
            min_length=new_tokens,
            sampling_topk=TOP_K,
            sampling_temperature=TEMPERATURE,
            include_prompt_in_result=False,
        )
        return {"tokens": sum(len(result.sequences_ids[0]) for result in results)}

    return generate


def _random_spec() -> transformer_spec.TransformerDecoderModelSpec:
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        N_LAYER, N_HEAD, pre_norm=True, activation=common_spec.Activation.GELUTanh
    )
    draw = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def norm(target) -> None:
        target.gamma, target.beta = np.ones(N_EMBD, np.float32), np.zeros(N_EMBD, np.float32)

    def linear(target, outputs: int, inputs: int) -> None:
        target.weight, target.bias = matrix(outputs, inputs), np.zeros(outputs, np.float32)

    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = matrix(N_VOCAB, N_EMBD)
    decoder.position_encodings.encodings = matrix(N_CTX, N_EMBD)
    norm(decoder.layer_norm)
    decoder.projection.weight = decoder.embeddings.weight
    for layer in decoder.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * N_EMBD, N_EMBD)
        linear(layer.self_attention.linear[1], N_EMBD, N_EMBD)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, 4 * N_EMBD, N_EMBD)
        linear(layer.ffn.linear_1, N_EMBD, 4 * N_EMBD)
    spec.register_vocabulary([f"t{token}" for token in range(N_VOCAB)])
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = f"t{N_VOCAB - 1}"
    spec.validate()
    spec.optimize()
    return spec


serve(load)
