"""GPT-2's arithmetic, as pure functions of its weights by canonical name (docs/architecture.md).

There are two forward passes, each fast at its own task; each part of one names its twin in the other:

* training and scoring, `transformer`: whole windows of a batch, with gradients, dropout and a sliced `loss`;
* decoding, `cached`: a few new tokens over key/value caches, compiled as a whole by XLA.

transformers' layers are not used because training needs three things that they do not have: dropout whose masks
are a function of (seed, micro-batch, site), a head and loss that never hold a whole window's logits in float32, and
products in bfloat16 over float32 variables without touching Keras's global policy.

Letters for shapes, in comments on the lines that make tensors: B batch, T time (tokens), N = B*T rows, V vocabulary,
E width, H heads, D head width, F features of a layer, L layers, S a slice of N or T, A accumulated micro-batches.
"""
