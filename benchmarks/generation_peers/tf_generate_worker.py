"""transformers' TFGPT2LMHeadModel.generate, compiled by XLA, with a random GPT-2 124M."""

from __future__ import annotations

from collections.abc import Sequence

from worker import TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    import tensorflow as tf
    from transformers import GPT2Config, TFGPT2LMHeadModel

    model = TFGPT2LMHeadModel(GPT2Config())
    compiled = tf.function(model.generate, jit_compile=True)

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        ids = tf.constant(prompts)
        written = compiled(
            ids,
            attention_mask=tf.ones_like(ids),
            max_new_tokens=new_tokens,
            min_length=ids.shape[1] + new_tokens,
            do_sample=True,
            top_k=TOP_K,
            temperature=TEMPERATURE,
            pad_token_id=50256,
        )
        return {"tokens": (int(written.shape[1]) - ids.shape[1]) * int(ids.shape[0])}

    return generate


serve(load)
