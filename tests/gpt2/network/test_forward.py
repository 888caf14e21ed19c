"""The forward pass beside TFGPT2LMHeadModel's own."""

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network import attention
from gpt2simple.gpt2.network.attention import Packing
from gpt2simple.testing import SMALL_CONFIG
from tests.helpers.network import LONG_CONFIG, dropout_key, model_of, our_logits, our_states, random_tokens

TOLERANCE = 1e-4


@pytest.mark.parametrize(
    ("shape", "batch", "time"),
    [
        (SMALL_CONFIG, 1, 1),
        (SMALL_CONFIG, 1, 32),
        (SMALL_CONFIG, 3, 31),
        (LONG_CONFIG, 1, 127),
        (LONG_CONFIG, 1, 256),
        (LONG_CONFIG, 1, 129),
        (LONG_CONFIG, 3, 600),
    ],
)
def test_logits_equal_those_of_transformers(shape, batch, time):
    model, tokens = model_of(shape), random_tokens(batch, time)
    np.testing.assert_allclose(our_logits(model, tokens, shape), model(tokens).logits, rtol=0, atol=TOLERANCE)


def test_bfloat16_stays_close_to_float32():
    """Each product rounds its factors and its result to 8 bits, by at most 2**-9 = 0.2 % each.

    Eight products in a row (four a layer) and the head, each with three independent roundings, give about
    0.2 % x sqrt(27) = 1 % of the logits' spread; twice that is the bound.
    """
    tokens = random_tokens(3, 600)
    exact = our_logits(model_of(LONG_CONFIG), tokens, LONG_CONFIG)
    near = our_logits(model_of(LONG_CONFIG), tokens, LONG_CONFIG, tf.bfloat16)
    exact -= exact.mean(axis=-1, keepdims=True)  # in 16 bits logits are known up to a constant per row
    near -= near.mean(axis=-1, keepdims=True)
    error = np.sqrt(np.mean((near - exact) ** 2)) / exact.std()
    assert 0.0 < error < 0.02


@pytest.mark.parametrize("changed", [1, 255, 256, 400, 599])
def test_a_later_token_changes_no_earlier_state(changed):
    tokens = random_tokens(1, 600)
    other = tokens.copy()
    other[0, changed] = (tokens[0, changed] + 1) % 257
    before, after = (our_states(model_of(LONG_CONFIG), t, LONG_CONFIG).numpy() for t in (tokens, other))
    np.testing.assert_array_equal(before[:changed], after[:changed])
    assert np.abs(before[changed] - after[changed]).max() > 1e-3
    assert np.abs(before[-1] - after[-1]).max() > 1e-6, "the last position does not see the changed one"


def test_rows_of_a_batch_do_not_see_each_other():
    tokens = random_tokens(3, 20)
    together = our_states(model_of(), tokens).numpy().reshape(3, 20, -1)
    alone = our_states(model_of(), tokens[1:2]).numpy()
    np.testing.assert_allclose(together[1], alone, rtol=0, atol=1e-5)


def test_dropout_changes_the_states_and_rate_0_does_not():
    tokens = random_tokens(1, 32)
    plain, none, some = (
        our_states(model_of(), tokens, dropout=key).numpy() for key in (None, dropout_key(0.0), dropout_key(0.1))
    )
    np.testing.assert_array_equal(plain, none)
    assert np.abs(plain - some).max() > 0.1


def test_dropout_applies_at_each_of_its_sites():
    """One layer, one token: embedding, probabilities, after attention, after the MLP are drawn independently."""
    sites = []

    def record(key, site, shape):
        sites.append(site)
        return real(key, site, shape)

    from gpt2simple.gpt2.network import dropout

    real = dropout.dropout_mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dropout, "dropout_mask", record)
        our_states(model_of(LONG_CONFIG), random_tokens(1, 600), LONG_CONFIG, dropout=dropout_key())
    blocks, layers = 5, LONG_CONFIG.n_layer  # 600 = 4 x 128 + 88
    assert len(sites) == 1 + layers * (blocks + 2)
    assert len(set(sites)) == len(sites), "two dropouts share a mask"


def packed(texts: list[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [1, width] of texts one after the other, and the positions [width] in them."""
    tokens, positions = np.zeros((1, width), np.int32), np.zeros(width, np.int32)
    together = np.concatenate(texts)
    tokens[0, : len(together)] = together
    positions[: len(together)] = np.concatenate([np.arange(len(text)) for text in texts])
    return tokens, positions


@pytest.mark.parametrize("longest", [200, 256, 600])
def test_a_packed_text_has_the_states_that_it_has_alone(longest):
    """Rows of 900 tokens are several blocks of queries, of which each sees only the keys within reach."""
    texts = [random_tokens(1, length, length)[0] for length in (1, 200, 3, 130, 127, 129, 199, 1, 60)]
    tokens, positions = packed(texts, 900)
    packing = Packing(tf.constant(positions), longest)
    states = our_states(model_of(LONG_CONFIG), tokens, LONG_CONFIG, packing=packing).numpy()
    start = 0
    for text in texts:
        alone = our_states(model_of(LONG_CONFIG), text[None], LONG_CONFIG).numpy()
        np.testing.assert_allclose(states[start : start + len(text)], alone, rtol=0, atol=2e-5)
        start += len(text)


def test_a_packed_text_is_the_same_whatever_its_neighbours_are():
    one, two, other = (random_tokens(1, length, seed)[0] for length, seed in ((150, 1), (180, 2), (150, 3)))
    found = []
    for first in (one, other):
        tokens, positions = packed([first, two], 330)
        packing = Packing(tf.constant(positions), 180)
        found.append(our_states(model_of(LONG_CONFIG), tokens, LONG_CONFIG, packing=packing).numpy()[150:])
    np.testing.assert_array_equal(*found)


def test_keys_out_of_reach_are_not_computed():
    """A row of many short texts: attention costs as many products of blocks as the longest of them needs."""
    packing = Packing(tf.constant(np.arange(8000, dtype=np.int32) % 100), 100)
    for time, block in ((1024, 128), (8000, 1000)):  # however long the row is, there are no more than eight blocks
        row = tf.zeros([1, 2, time, 8])
        assert list(attention._blocks(row, packing)) == [
            (max((start - 99) // 16 * 16, 0), start, start + block) for start in range(0, time, block)
        ]
        assert [first for first, *_ in attention._blocks(row, None)] == [0] * 8


@pytest.mark.parametrize("few", [128, 5], ids=["few", "many"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_states_at_some_places_are_those_among_all(dtype, few, monkeypatch):
    monkeypatch.setattr(attention, "FEW_PLACES", few)
    texts = [random_tokens(1, length, length)[0] for length in (150, 1, 260, 30)]
    tokens, positions = packed(texts, 460)
    packing, places = Packing(tf.constant(positions), 260), np.array([149, 150, 410, 440, 0, 200], np.int32)
    everything = our_states(model_of(LONG_CONFIG), tokens, LONG_CONFIG, dtype, packing=packing).numpy()
    some = our_states(
        model_of(LONG_CONFIG), tokens, LONG_CONFIG, dtype, packing=packing, places=tf.constant(places)
    ).numpy()
    tolerance = 2e-5 if dtype == tf.float32 else 0.06  # of bfloat16's states, which are of about 2: three roundings
    np.testing.assert_allclose(some.astype(np.float32), everything[places].astype(np.float32), rtol=0, atol=tolerance)


def test_dropout_at_a_few_places_drops_probabilities_and_keeps_their_expectation():
    draw = np.random.default_rng(0)
    queries, keys, values = (tf.constant(draw.normal(size=(1, 2, 60, 8)).astype(np.float32)) for _ in range(3))
    packing = Packing(tf.constant(np.arange(60, dtype=np.int32) % 30), 30)
    places = tf.constant([29, 59], tf.int32)

    def mixed(key):
        return attention.attention_at(queries, keys, values, places, packing, key, 1).numpy()  # (2, 16)

    plain = mixed(None)
    np.testing.assert_array_equal(mixed(dropout_key(0.0)), plain)
    some = np.stack([mixed(dropout_key(0.2, seed=seed)) for seed in range(60)])  # (60, 2, 16)
    assert np.abs(some - plain).max(axis=(1, 2)).min() > 0.01
    errors = some.std(axis=0) / 60**0.5
    assert (np.abs(some.mean(axis=0) - plain) < 4.5 * errors).all()
