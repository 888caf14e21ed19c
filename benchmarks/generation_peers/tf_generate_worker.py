"""transformers' TFGPT2LMHeadModel.generate, compiled by XLA, with a random GPT-2."""

from __future__ import annotations

from collections.abc import Sequence

from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    import tensorflow as tf
    from transformers import GPT2Config, TFGPT2LMHeadModel

    config = GPT2Config(vocab_size=N_VOCAB, n_positions=N_CTX, n_embd=N_EMBD, n_head=N_HEAD, n_layer=N_LAYER)
    model = TFGPT2LMHeadModel(config)
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
            pad_token_id=N_VOCAB - 1,
        )
        return {"tokens": (int(written.shape[1]) - ids.shape[1]) * int(ids.shape[0])}

    return generate


serve(load)
