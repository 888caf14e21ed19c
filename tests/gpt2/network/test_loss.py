"""The head and the loss in slices of rows beside TensorFlow's own cross-entropy."""

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network import loss
from gpt2simple.gpt2.network.loss import head_matrix, loss_gradients, loss_gradients_by_tokens, summed_loss

ROWS, WIDTH, VOCABULARY = 23, 16, 257


@pytest.fixture(scope="module")
def case():
    """States, embedding, targets, loss mask (two rows are padding)."""
    draw = np.random.default_rng(0)
    loss_mask = np.ones(ROWS, np.float32)
    loss_mask[[3, 17]] = 0.0
    return (
        tf.constant(draw.normal(size=(ROWS, WIDTH)).astype(np.float32)),
        tf.constant(draw.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)),
        tf.constant(draw.integers(0, VOCABULARY, ROWS).astype(np.int32)),
        tf.constant(loss_mask),
    )


def plain(states, embedding, targets, loss_mask, scale):
    """Nats, and the gradients of scale * nats for states and embedding, by TensorFlow itself."""
    with tf.GradientTape() as tape:
        tape.watch((states, embedding))
        scores = tf.matmul(states, embedding, transpose_b=True)
        nats = tf.reduce_sum(loss_mask * tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores))
        scaled = scale * nats
    return (nats, *tape.gradient(scaled, (states, embedding)))


def assert_close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("rows_per_slice", [1, 7, 22, 23, 1000])
def test_slices_equal_the_plain_loss(case, monkeypatch, rows_per_slice):
    """7: three whole slices and two rows; 22: a slice and a single row."""
    monkeypatch.setattr(loss, "SLICE_BYTES", rows_per_slice * VOCABULARY * 4)
    slices = loss._slices(case[0], case[1])
    assert len(slices) == -(-ROWS // rows_per_slice)
    expected = plain(*case, 0.25)
    assert_close(loss_gradients(*case, tf.constant(0.25)), expected)
    assert_close([summed_loss(*case)], expected[:1])


def test_the_embedding_may_be_left_out(case):
    result = loss_gradients(*case, tf.constant(0.25), with_embedding=False)
    assert result.embedding is None
    assert_close(result[:2], plain(*case, 0.25)[:2])


def test_under_xla_the_two_passes_over_the_parts_are_kept_apart(case, monkeypatch):
    """Else the scores of the first pass would be kept for the second. On a CPU XLA drops barriers before it merges."""
    states, embedding, *others = case
    in_parts_of(100, monkeypatch)
    parts = len(loss._token_ranges(states, embedding))
    whole = tf.function(lambda *a: loss_gradients_by_tokens(*a)[:2], jit_compile=True)
    arguments = states, tf.cast(embedding, tf.bfloat16), *others, tf.constant(0.25)
    assert whole.experimental_get_compiler_ir(*arguments)(stage="hlo").count(" opt-barrier(") == 2 * parts > 2
    assert_close(whole(*arguments), loss_gradients_by_tokens(*arguments)[:2])


@pytest.mark.parametrize("rows_per_slice", [7, 1000])
def test_of_a_frozen_embedding_the_last_rows_may_be_trained(case, monkeypatch, rows_per_slice):
    monkeypatch.setattr(loss, "SLICE_BYTES", rows_per_slice * VOCABULARY * 4)
    in_parts_of(100, monkeypatch)
    *expected, d_embedding = plain(*case, 0.25)
    for result in (
        loss_gradients(*case, tf.constant(0.25), with_embedding=False, last_rows=150),
        loss_gradients_by_tokens(*case, tf.constant(0.25), last_rows=150),
    ):
        assert_close(result, [*expected, d_embedding[-150:]])


def test_rows_below_the_vocabulary_are_no_tokens(case):
    """The matrix as 16 bits have it, with rows of zeros, in float32 so that the figures can be compared closely."""
    states, embedding, targets, loss_mask = case
    matrix = tf.pad(embedding, [[0, 384 - VOCABULARY], [0, 0]])
    nats, d_states, d_matrix = loss_gradients(
        states, matrix, targets, loss_mask, tf.constant(0.25), vocabulary=VOCABULARY
    )
    assert_close([nats, d_states, d_matrix[:VOCABULARY]], plain(*case, 0.25))
    assert not d_matrix.numpy()[VOCABULARY:].any()
    assert_close([summed_loss(states, matrix, targets, loss_mask, vocabulary=VOCABULARY)], [nats])


def test_in_16_bits_the_matrix_ends_in_rows_of_zeros(case):
    matrix = tf.cast(head_matrix(case[1], tf.bfloat16), tf.float32).numpy()
    assert matrix.shape == (384, WIDTH)
    assert not matrix[VOCABULARY:].any()
    np.testing.assert_allclose(matrix[:VOCABULARY], case[1] - tf.reduce_mean(case[1], axis=0), rtol=2**-7, atol=1e-6)
    aligned = case[1][:256]
    assert head_matrix(aligned, tf.bfloat16).shape == (256, WIDTH)


def test_padding_does_not_count(case):
    states, embedding, targets, loss_mask = case
    counted = loss_mask.numpy() > 0
    other = np.where(counted, targets, (targets + 1) % VOCABULARY).astype(np.int32)
    nats, d_states, d_embedding = loss_gradients(states, embedding, other, loss_mask, tf.constant(1.0))
    alone = loss_gradients(states[counted], embedding, targets[counted], loss_mask[counted], tf.constant(1.0))
    assert_close([nats, d_states[counted], d_embedding], alone)
    assert not d_states.numpy()[~counted].any()
    assert_close([summed_loss(states, embedding, other, loss_mask)], [alone.nats])


def test_taking_the_mean_row_off_changes_neither_loss_nor_gradients(case):
    states, embedding, targets, loss_mask = case
    centred = embedding - tf.reduce_mean(embedding, axis=0)
    scale = tf.constant(1.0)
    assert_close(
        loss_gradients(states, centred, targets, loss_mask, scale),
        loss_gradients(states, embedding, targets, loss_mask, scale),
    )


def test_in_16_bits_the_mean_row_is_taken_off_and_costs_digits_where_it_is_not(case):
    """With logits around -100, as GPT-2's are, 8 bits leave steps of 0.5; without the offset the loss is near."""
    states, embedding, targets, loss_mask = case
    states = tf.concat([states[:, 1:], tf.ones([ROWS, 1])], axis=1)
    embedding = tf.concat([embedding[:, 1:], -100.0 + embedding[:, :1]], axis=1)
    exact = float(summed_loss(states, embedding, targets, loss_mask))
    small = tf.cast(states, tf.bfloat16)
    matrix = head_matrix(embedding, tf.bfloat16)
    centred = float(summed_loss(small, matrix, targets, loss_mask, vocabulary=VOCABULARY))
    plainly_cast = float(summed_loss(small, tf.cast(embedding, tf.bfloat16), targets, loss_mask))
    assert abs(centred - exact) / exact < 0.005
    assert abs(plainly_cast - exact) > 3 * abs(centred - exact)


def test_in_float32_the_matrix_is_the_embedding_itself(case):
    np.testing.assert_array_equal(head_matrix(case[1], tf.float32), case[1])


def test_huge_scores_do_not_overflow():
    states, embedding = tf.constant([[1000.0]]), tf.constant([[1.0], [2.0]])
    nats, d_states, _ = loss_gradients(states, embedding, tf.constant([0]), tf.ones([1]), tf.constant(1.0))
    assert float(nats) == pytest.approx(1000.0)
    assert float(d_states[0, 0]) == pytest.approx(1.0)


def in_parts_of(tokens, monkeypatch):
    monkeypatch.setattr(loss, "_PART_BYTES", 4 * max(ROWS, WIDTH) * tokens)
    monkeypatch.setattr(loss, "_FEWEST_TOKENS", 1)


@pytest.mark.parametrize("at_once", [1, 100, VOCABULARY])
def test_some_tokens_at_a_time_equal_the_plain_loss(case, monkeypatch, at_once):
    """With an embedding in 16 bits, converted in parts."""
    states, embedding, *others = case
    in_parts_of(at_once, monkeypatch)
    assert len(loss._token_ranges(states, embedding)) == -(-VOCABULARY // at_once)
    half = tf.cast(embedding, tf.bfloat16)
    expected = plain(states, tf.cast(half, tf.float32), *others, 0.25)
    assert_close([loss.summed_loss_by_tokens(states, half, *others)], expected[:1])
    nats, d_states, of_embedding = loss.loss_gradients_by_tokens(states, half, *others, tf.constant(0.25))
    assert of_embedding is None
    assert_close([nats, d_states], expected[:2])
    near = loss.loss_gradients_by_tokens(tf.cast(states, tf.bfloat16), half, *others, tf.constant(0.25))
    assert float(near.nats) == pytest.approx(float(nats), rel=1e-2)
    assert near.states.dtype == tf.bfloat16
