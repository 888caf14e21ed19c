"""Gradients of every weight, beside TensorFlow's own through TFGPT2LMHeadModel."""

import numpy as np
import pytest

from gpt2simple.backend import tensorflow
from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import PackedShape
from gpt2simple.gpt2.container import named_variables
from gpt2simple.gpt2.network import attention
from gpt2simple.gpt2.network.attention import causal_attention
from gpt2simple.gpt2.network.transformer import hidden_states
from gpt2simple.testing import SMALL_CONFIG
from gpt2simple.training.step import ModelStep
from gpt2simple.training.task import LanguageModeling
from tests.helpers.network import (
    LONG_CONFIG,
    dropout_key,
    largest_relative_difference,
    model_of,
    plain_loss_and_gradients,
    random_tokens,
    weights_of,
)


def our_loss_and_gradients(model, shape, batch, *, dtype=tf.float32, dropout=0.0, gradient_checkpointing=False):
    variables = named_variables(model)
    step = ModelStep(
        variables, frozenset(variables), shape, dtype, LanguageModeling(np.ones(shape.n_vocab)),
        dropout_rate=dropout, seed=1,
        gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    inputs, targets, loss_mask = (tf.constant(array)[None] for array in batch)  # one micro-batch
    nats, tokens, found = step.gradients((inputs, targets, loss_mask), tf.constant(0), tf.constant(1.0))
    return float(nats / tokens), {name: tf.cast(g, tf.float32).numpy() for name, g in found.items()}


def batch_of(batch, time):
    loss_mask = np.ones((batch, time), np.float32)
    loss_mask[:, :2] = 0.0  # as padding has it
    return random_tokens(batch, time, 1), random_tokens(batch, time, 2), loss_mask


@pytest.mark.parametrize(("config", "batch", "time"), [(SMALL_CONFIG, 3, 31), (LONG_CONFIG, 1, 600)])
def test_every_gradient_equals_plain_automatic_differentiation(config, batch, time):
    model, data = model_of(config), batch_of(batch, time)
    loss, ours = our_loss_and_gradients(model, config, data)
    plain, theirs = plain_loss_and_gradients(model, *data)
    assert loss == pytest.approx(plain, abs=1e-5)
    assert largest_relative_difference(ours, theirs) < 1e-4


def test_bfloat16_gradients_point_the_same_way():
    """8 bits leave an error of a few per cent (see the forward test), noise: directions agree to 1 - 0.05**2 / 2.

    The keys' bias has no gradient but noise (softmax ignores a shift of all scores of a row), a third of its tensor:
    hence 0.99 there. A wrong term or factor would cost far more.
    """
    model, data = model_of(LONG_CONFIG), batch_of(1, 600)
    loss, exact = our_loss_and_gradients(model, LONG_CONFIG, data)
    near_loss, near = our_loss_and_gradients(model, LONG_CONFIG, data, dtype=tf.bfloat16)
    assert near_loss == pytest.approx(loss, rel=2e-3)
    for name, gradient in exact.items():
        cosine = np.vdot(gradient, near[name]) / np.linalg.norm(gradient) / np.linalg.norm(near[name])
        assert cosine > (0.99 if name.endswith("c_attn.bias") else 0.998), f"{name}: {cosine}"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_checkpointed_gradients_equal_plain_ones(dropout):
    """A second run of a block must draw the first one's masks: where it does not, errors are of the gradients' size."""
    model, data = model_of(), batch_of(3, 31)
    loss, plain = our_loss_and_gradients(model, SMALL_CONFIG, data, dropout=dropout)
    same_loss, again = our_loss_and_gradients(model, SMALL_CONFIG, data, dropout=dropout, gradient_checkpointing=True)
    assert same_loss == loss
    assert largest_relative_difference(again, plain) < 1e-6


def test_gradient_checkpointing_runs_each_block_a_second_time(monkeypatch):
    from gpt2simple.gpt2.network import transformer

    calls = []
    real = transformer.Block.__call__

    def counted(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(transformer.Block, "__call__", counted)
    our_loss_and_gradients(model_of(), SMALL_CONFIG, batch_of(3, 31))
    assert len(calls) == SMALL_CONFIG.n_layer
    our_loss_and_gradients(model_of(), SMALL_CONFIG, batch_of(3, 31), gradient_checkpointing=True)
    assert len(calls) == 3 * SMALL_CONFIG.n_layer


def test_gradients_with_dropout_are_those_of_the_loss_with_those_masks():
    """Along the gradient, the loss falls as the gradient says: central difference, masks held fixed."""
    weights = weights_of(model_of())
    tokens = tf.constant(random_tokens(2, 32))
    direction = tf.random.stateless_normal([64, SMALL_CONFIG.n_embd], seed=[1, 2])
    name = "h.0.attn.c_attn.weight"

    def value(matrix):
        states = hidden_states({**weights, name: matrix}, tokens, SMALL_CONFIG, dropout=dropout_key(0.3))
        return tf.reduce_sum(states * direction)

    with tf.GradientTape() as tape:
        tape.watch(weights[name])
        total = value(weights[name])
    gradient = tape.gradient(total, weights[name])
    unit = gradient / tf.norm(gradient)
    step = 1e-2
    slope = (value(weights[name] + step * unit) - value(weights[name] - step * unit)) / (2 * step)
    assert float(slope) == pytest.approx(float(tf.norm(gradient)), rel=1e-2)


def plain_attention(q, k, v, mask):
    length = q.shape[2]
    allowed = np.tril(np.ones((length, length), bool))
    scores = tf.where(allowed, tf.matmul(q, k, transpose_b=True) / np.sqrt(q.shape[3]), -1e9)
    mixed = tf.matmul(tf.nn.softmax(scores) * mask, v)
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, v.shape[1] * v.shape[3]])


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("length", [5, 256, 600])
@pytest.mark.parametrize("onednn", [True, False])
def test_attention_and_its_backward_pass_equal_the_plain_formula(length, rate, onednn, monkeypatch):
    monkeypatch.setattr(attention, "uses_onednn", lambda: onednn)
    draw = np.random.default_rng(0)
    q, k, v = (tf.constant(draw.normal(size=(2, 2, length, 8)).astype(np.float32)) for _ in range(3))
    upstream = tf.constant(draw.normal(size=(2 * length, 16)).astype(np.float32))
    key = dropout_key(rate) if rate else None
    mask = np.ones((2, 2, length, length), np.float32)
    if rate:  # attention to the identity shows the probabilities themselves, dropped and scaled
        joined = causal_attention(q, k, tf.eye(length, batch_shape=[2, 2]), key, 1)
        seen = tf.transpose(tf.reshape(joined, [2, length, 2, length]), [0, 2, 1, 3]).numpy()
        mask = (seen > 0) / np.float32(1 - rate)
        lower = np.tril(np.ones((length, length), bool))
        assert (mask[..., lower] > 0).mean() == pytest.approx(1 - rate, abs=0.02 if length > 5 else 0.2)
    found = []
    for attend in (
        lambda q, k, v: causal_attention(q, k, v, key, 1),
        lambda q, k, v: plain_attention(q, k, v, mask),
    ):
        with tf.GradientTape() as tape:
            tape.watch((q, k, v))
            result = attend(q, k, v)
        found.append((result, *tape.gradient(result, (q, k, v), output_gradients=upstream)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_the_heads_of_all_texts_lie_along_one_dimension(monkeypatch):
    """oneDNN takes twenty times as long to add a mask that is broadcast along two."""
    shapes, real = [], attention._probabilities

    def record(queries, keys, seen):
        shapes.append((queries.shape.as_list(), keys.shape.as_list()))
        return real(queries, keys, seen)

    monkeypatch.setattr(attention, "_probabilities", record)
    q = tf.zeros([3, 2, 5, 8])
    assert causal_attention(q, q, q, None, 1).shape == (15, 16)
    assert shapes == [([1, 6, 5, 8], [1, 6, 5, 8])]


@pytest.mark.parametrize(("onednn", "jit_compile"), [(True, False), (False, False), (True, True)])
def test_in_16_bits_the_probabilities_are_rounded_once(onednn, jit_compile, monkeypatch):
    """A softmax computed in bfloat16 is wrong by 1.3 %, one that is computed in float32 and rounded by 0.17 %."""
    if onednn and not jit_compile and not tensorflow.uses_onednn():
        pytest.skip("this TensorFlow does not use oneDNN")
    monkeypatch.setattr(attention, "uses_onednn", lambda: onednn)
    length, draw = 512, np.random.default_rng(0)
    q, k = (tf.cast(draw.normal(size=(1, 2, length, 64)), tf.bfloat16) for _ in range(2))
    identity = tf.eye(length, batch_shape=[1, 2], dtype=tf.bfloat16)  # shows the probabilities themselves
    attend = tf.function(lambda q, k, v: causal_attention(q, k, v, None, 1), autograph=False, jit_compile=jit_compile)
    probabilities = tf.transpose(
        tf.reshape(tf.cast(attend(q, k, identity), tf.float32), [length, 2, length]), [1, 0, 2]
    )
    products = tf.matmul(q, k, transpose_b=True)[0]  # rounded, as the softmax gets them
    allowed = np.tril(np.ones((length, length), bool))
    exact = tf.nn.softmax(tf.where(allowed, tf.cast(products, tf.float32) / 8.0, -1e30)).numpy()
    errors = probabilities.numpy()[:, allowed] / exact[:, allowed] - 1.0
    assert np.sqrt(np.mean(errors**2)) < 0.005
    np.testing.assert_allclose(tf.reduce_sum(probabilities, axis=-1), 1.0, atol=0.005)


@pytest.mark.parametrize(
    ("onednn", "jit_compile", "gradient_checkpointing"),
    [(True, None, False), (True, None, True), (False, None, False), (True, True, False)],
)
def test_packed_texts_have_the_gradients_that_they_have_alone(onednn, jit_compile, gradient_checkpointing, monkeypatch):
    """The loss of a row is the sum over its texts, hence so are the gradients: 700 tokens are six blocks of queries."""
    model, lengths = model_of(LONG_CONFIG), (150, 1, 90, 260, 129, 40)
    variables = named_variables(model)
    texts = [batch_of(1, length + 2) for length in lengths]
    texts = [tuple(array[:, 2:] for array in text) for text in texts]
    step = ModelStep(
        variables, frozenset(variables), LONG_CONFIG, tf.float32, LanguageModeling(np.ones(257)), dropout_rate=0.0,
        seed=1, gradient_checkpointing=gradient_checkpointing, packed=PackedShape(260),
    )  # fmt: skip
    arrays = [np.concatenate([*parts, np.zeros((1, 30), parts[0].dtype)], axis=1) for parts in zip(*texts, strict=True)]
    positions = np.concatenate([*map(np.arange, lengths), np.zeros(30)]).astype(np.int32)[None]
    monkeypatch.setattr(attention, "uses_onednn", lambda: onednn)
    gradients = tf.function(step.gradients, jit_compile=jit_compile, autograph=False)
    nats, tokens, together = gradients(
        [tf.constant(array)[None] for array in (*arrays, positions)], tf.constant(0), tf.constant(1.0)
    )
    alone = [plain_loss_and_gradients(model, *text) for text in texts]
    total = sum(lengths)
    assert float(tokens) == total
    expected = sum(loss * length for (loss, _), length in zip(alone, lengths, strict=True))
    assert float(nats) == pytest.approx(expected, rel=1e-6)
    sums = {
        name: sum(found[name] * (length / total) for (_, found), length in zip(alone, lengths, strict=True))
        for name in together
    }
    found = {name: tf.cast(gradient, tf.float32).numpy() for name, gradient in together.items()}
    assert largest_relative_difference(found, sums) < 1e-4


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_gradients_of_a_few_targets_do_not_depend_on_what_the_last_block_computes(gradient_checkpointing):
    """Five of six places have a target; the sixth is there as rows differ in how many they have."""
    model, width = model_of(LONG_CONFIG), 300
    variables = named_variables(model)
    loss_mask, positions = np.zeros((1, width), np.float32), np.concatenate([np.arange(170), np.arange(130)])
    loss_mask[0, [3, 169, 170, 171, 299]] = 1.0, 0.5, 2.0, 1.0, 1.0
    arrays = (random_tokens(1, width, 1), random_tokens(1, width, 2), loss_mask, positions.astype(np.int32)[None])
    results = []
    for targets in (None, 6):
        step = ModelStep(
            variables, frozenset(variables), LONG_CONFIG, tf.float32, LanguageModeling(np.ones(257)),
            dropout_rate=0.0, seed=1, gradient_checkpointing=gradient_checkpointing,
            packed=PackedShape(170, targets),
        )  # fmt: skip
        nats, tokens, found = step.gradients(
            [tf.constant(array)[None] for array in arrays], tf.constant(0), tf.constant(1.0)
        )
        results.append((float(nats), float(tokens), {k: tf.cast(g, tf.float32).numpy() for k, g in found.items()}))
    assert results[1][:2] == pytest.approx(results[0][:2], rel=1e-6)
    assert largest_relative_difference(results[1][2], results[0][2]) < 1e-5
