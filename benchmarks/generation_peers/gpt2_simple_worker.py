"""gpt-2-simple 0.8.1 sampling from a random GPT-2; one graph per batch size and length, as its users make."""

from __future__ import annotations

from collections.abc import Sequence

from worker import N_CTX, N_EMBD, N_HEAD, N_LAYER, N_VOCAB, TEMPERATURE, TOP_K, Generate, serve


def load() -> Generate:
    import tensorflow.compat.v1 as tf
    from gpt_2_simple.src import model, sample

    tf.disable_eager_execution()
    hparams = model.default_hparams()
    hparams.override_from_dict(
        {"n_vocab": N_VOCAB, "n_ctx": N_CTX, "n_embd": N_EMBD, "n_head": N_HEAD, "n_layer": N_LAYER}
    )
    session = tf.Session()
    graphs: dict[tuple[int, int], tuple] = {}

    def build(rows: int, length: int, new_tokens: int) -> tuple:
        context = tf.placeholder(tf.int32, [rows, length])
        output = sample.sample_sequence(
            hparams=hparams,
            length=new_tokens,
            context=context,
            batch_size=rows,
            temperature=TEMPERATURE,
            top_k=TOP_K,
            top_p=0.0,
        )
        if not graphs:
            session.run(tf.global_variables_initializer())
        return context, output

    def generate(prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, float]:
        key = (len(prompts), new_tokens)
        if key not in graphs:
            graphs[key] = build(len(prompts), len(prompts[0]), new_tokens)
        context, output = graphs[key]
        written = session.run(output, feed_dict={context: prompts})
        return {"tokens": (written.shape[1] - len(prompts[0])) * len(prompts)}

    return generate


serve(load)
