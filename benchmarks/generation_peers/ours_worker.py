"""This package with a random GPT-2. Argument: the precision."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


class IdTokenizer:
    """Stands in for GPT-2's vocabulary, which is not ours to ship: a prefix is the ids in words."""

    vocab_size = N_VOCAB
    end_of_text = N_VOCAB - 1

    def without_token(self, rows: int) -> np.ndarray:
        return np.arange(self.vocab_size, rows)

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join(b" word%d" % token for token in ids)


def load() -> Generate:
    from gpt2simple.generation.generator import Generator
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.container import build_model, named_variables
    from gpt2simple.gpt2.network import cached
    from gpt2simple.settings import GenerateSettings

    config = ModelConfig(n_vocab=N_VOCAB, n_ctx=N_CTX, n_embd=N_EMBD, n_head=N_HEAD, n_layer=N_LAYER)
    model = build_model(config, seed=0)
    generator = Generator(named_variables(model), config, IdTokenizer(), precision=sys.argv[1])  # type: ignore[arg-type]

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        settings = GenerateSettings(
            length=new_tokens,
            min_length=new_tokens,
            top_k=TOP_K,
            temperature=TEMPERATURE,
            batch_size=len(prompts),
            seed=0,
        )
        prefixes = [" ".join(map(str, prompt)) for prompt in prompts]
        tokens = sum(sample.new_tokens for sample in generator.generate(prefixes, settings))
        return {"tokens": tokens, "traces": sum(cached.traces.values())}

    return generate


serve(load)
