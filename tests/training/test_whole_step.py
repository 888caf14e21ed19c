"""The step as a GPU takes it, compiled by XLA as one: the same figures as in pieces, and memory saved all the same."""

import pytest

from gpt2simple.backend.tensorflow import in_xla, tf
from gpt2simple.settings import FinetuneSettings
from tests.helpers.training import batch_of, small_trainer, stacked

FAST = {"learning_rate": 1e-3, "warmup_steps": 0}  # so that losses tell whether the updates were right


def losses_of(trainer):
    """Losses of four steps on two micro-batches through Keras `fit`, as a run takes them."""
    dataset = tf.data.Dataset.from_tensors(stacked([batch_of(0), batch_of(1)])).repeat()
    return trainer.fit(dataset, steps_per_epoch=1, epochs=4, verbose=0).history["loss"]


# XLA adds in another order than TensorFlow's kernels; in float16 that moves a loss by some of its steps of 1e-3.
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(tf.float32, 2e-5), pytest.param(tf.float16, 2e-3, marks=pytest.mark.slow)]
)
def test_losses_are_those_of_the_step_in_pieces(dtype, tolerance):
    """With all that a step can have: dropout, accumulation, blocks computed twice."""
    settings = FinetuneSettings(**FAST, dropout=0.1, accumulate_gradients=2)
    in_pieces, as_one = (
        small_trainer(settings, dtype=dtype, gradient_checkpointing=True, compile_whole_step=whole)[0]
        for whole in (False, True)
    )
    assert as_one.jit_compile
    assert not in_pieces.jit_compile
    expected = losses_of(in_pieces)
    assert expected[-1] < expected[0] - 0.03
    assert losses_of(as_one) == pytest.approx(expected, rel=tolerance)


def test_the_look_at_held_out_text_is_compiled_too_and_equal():
    in_pieces, as_one = (small_trainer(compile_whole_step=whole)[0] for whole in (False, True))
    batch = batch_of(7)
    assert as_one.evaluate_batches([batch]).loss == pytest.approx(in_pieces.evaluate_batches([batch]).loss, rel=2e-5)


def compiled_products(gradient_checkpointing):
    trainer, _ = small_trainer(gradient_checkpointing=gradient_checkpointing, compile_whole_step=True)
    of_step = tf.function(lambda *arguments: trainer._step.gradients(*arguments), jit_compile=True)
    arguments = stacked([batch_of(0)]), tf.constant(0), tf.constant(1.0)
    return of_step.experimental_get_compiler_ir(*arguments)(stage="optimized_hlo").count(" dot(")


def test_what_saves_memory_by_computing_twice_still_does_under_xla():
    """XLA merges equal expressions: without a barrier the second computation, and the memory saved, would be gone.

    A layer has 4 products and 2 of attention forward, 8 and 5 backward (attention computes its scores again), the head
    has 3. Checkpointing computes a block's products again, but for the last, which nothing needs."""
    plain, twice = compiled_products(False), compiled_products(True)
    assert plain >= 2 * (4 + 2 + 8 + 5) + 3
    assert twice - plain >= 2 * 3


def test_whether_a_graph_is_compiled_as_a_whole_is_known_while_it_is_made():
    seen = {}

    def note(name):
        def trace(x):
            seen[name] = in_xla()
            return x

        return trace

    tf.function(note("plain"))(tf.constant(0.0))
    tf.function(note("whole"), jit_compile=True)(tf.constant(0.0))
    assert seen == {"plain": False, "whole": True}
    assert not in_xla()


def test_no_counter_is_a_32_bit_integer():
    """TensorFlow places variables of that kind on the host, where XLA cannot use them on a GPU."""
    trainer, _ = small_trainer()
    counters = [trainer.good_steps, trainer.loss_scale, trainer.optimizer.iterations]
    assert tf.int32 not in {variable.dtype for variable in counters}
