"""GPT-2's forward pass as pure functions of a dictionary of weights.

Reads the weights of a `TFGPT2LMHeadModel` by their canonical names (docs/architecture.md). Written apart from
transformers' layers because training needs three things that those do not have: dropout whose masks are a function of
(seed, step, layer), a head and loss that never hold the logits of a whole window in float32, and products in bfloat16
over float32 variables without touching Keras's global policy. Knows no optimizer, no file and no text.

Letters for shapes: B batch, T time (tokens), N = B*T rows, E width, H heads, D head width, V vocabulary.
"""
