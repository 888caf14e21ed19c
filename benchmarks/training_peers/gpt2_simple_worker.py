"""gpt-2-simple 0.8.1's training graph as its `finetune` builds it: its Adam, no accumulation, random weights."""

from __future__ import annotations

from worker import LEARNING_RATE, N_CTX, N_VOCAB, ROWS, SIZE, SIZES, Job, serve, windows


def load() -> Job:
    import gpt_2_simple as gpt2
    import tensorflow as tf
    from gpt_2_simple.src import model

    layers, width, heads = SIZES[SIZE]
    hparams = model.default_hparams()
    hparams.override_from_dict(
        {"n_vocab": N_VOCAB, "n_ctx": N_CTX, "n_embd": width, "n_head": heads, "n_layer": layers}
    )
    session = gpt2.start_tf_sess()
    context = tf.compat.v1.placeholder(tf.int32, [ROWS, None])
    output = model.model(hparams=hparams, X=context, gpus=[], reuse=False)
    loss = tf.reduce_mean(
        input_tensor=tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=context[:, 1:], logits=output["logits"][:, :-1]
        )
    )
    variables = [v for v in tf.compat.v1.trainable_variables() if "model" in v.name]
    optimizer = tf.compat.v1.train.AdamOptimizer(learning_rate=LEARNING_RATE)
    gradients = tf.gradients(ys=loss, xs=variables)
    apply = optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))
    session.run(tf.compat.v1.global_variables_initializer())
    ids = windows(N_CTX)

    def work(steps: int) -> None:
        for _ in range(steps):
            session.run((apply, loss), feed_dict={context: ids})

    return work


serve(load)
