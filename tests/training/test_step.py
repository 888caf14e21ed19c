"""One optimizer step: accumulation, precision, dropout's position, what is trained and what is left alone."""

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.data.batches import Batch
from gpt2simple.errors import SettingsError
from gpt2simple.settings import FinetuneSettings
from gpt2simple.testing import SMALL_CONFIG
from gpt2simple.training.trainer import trained_names
from tests.helpers.network import largest_relative_difference
from tests.helpers.training import assert_equal, batch_of, small_trainer, stacked, values_of


def step_of(trainer, batches, step=0, loss_scale=1.0):
    """Mean loss and gradients as float32 arrays; not compiled, which would take longer than the test."""
    of_step = trainer._step.gradients
    nats, tokens, found = of_step(stacked(batches), tf.constant(step), tf.constant(loss_scale))
    return float(nats / tokens), {name: tf.cast(g, tf.float32).numpy() for name, g in found.items()}


def one_batch(parts):
    """Several micro-batches as a single one with all of their rows."""
    return Batch(*(np.concatenate(arrays) for arrays in zip(*(part.arrays for part in parts), strict=True)))


def with_padding(batch, rows_of_padding):
    weights = batch.loss_mask.copy()
    weights[:, :rows_of_padding] = 0.0
    return batch._replace(loss_mask=weights)


def test_accumulated_micro_batches_equal_one_large_batch():
    """Also where they have different numbers of targets: a mean of means would be another loss."""
    parts = [with_padding(batch_of(number), 3 * number) for number in range(3)]
    trainer, _ = small_trainer()
    loss, together = step_of(trainer, [one_batch(parts)])
    accumulated_loss, accumulated = step_of(trainer, parts)
    assert accumulated_loss == pytest.approx(loss, rel=1e-6)
    assert largest_relative_difference(accumulated, together) < 1e-5


def test_each_micro_batch_of_a_run_has_masks_of_its_own():
    """Micro-batch number n of the run is (step, place in the step) -> n, whatever the accumulation."""
    settings = FinetuneSettings(dropout=0.2)
    trainer, _ = small_trainer(settings)
    batch = batch_of(0)
    losses = [step_of(trainer, [batch], step)[0] for step in range(4)]
    assert len(set(losses)) == 4
    assert step_of(trainer, [batch], 2)[0] == losses[2]
    pair, _ = step_of(trainer, [batch, batch], 1)
    assert pair == pytest.approx((losses[2] + losses[3]) / 2, rel=1e-6)
    other, _ = small_trainer(settings, seed=2)
    assert step_of(other, [batch], 0)[0] not in losses


def test_accumulated_checkpointed_gradients_with_dropout_equal_plain_ones():
    settings, parts = FinetuneSettings(dropout=0.1), [batch_of(0), batch_of(1)]
    (loss, plain), (same, again) = (
        step_of(small_trainer(settings, gradient_checkpointing=checkpointing)[0], parts, 3)
        for checkpointing in (False, True)
    )
    assert same == pytest.approx(loss, rel=1e-6)
    assert largest_relative_difference(again, plain) < 1e-6


def test_the_loss_scale_multiplies_the_gradients_alone():
    trainer, _ = small_trainer()
    loss, plain = step_of(trainer, [batch_of(0)])
    same, scaled = step_of(trainer, [batch_of(0)], loss_scale=1024.0)
    assert same == loss
    assert largest_relative_difference({k: g / 1024 for k, g in scaled.items()}, plain) < 1e-6


LEFT_ALONE = {
    "only_train_transformer_layers": (
        FinetuneSettings(only_train_transformer_layers=True),
        lambda name: name in ("wte.weight", "wpe.weight"),
    ),
    "train_last_n_layers": (
        FinetuneSettings(train_last_n_layers=1),
        lambda name: not name.startswith(("h.1.", "ln_f.")),
    ),
    "everything": (FinetuneSettings(), lambda name: False),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_exactly_the_weights_asked_for_change(case):
    settings, left_alone = LEFT_ALONE[case]
    trainer, variables = small_trainer(settings)
    before = values_of(variables)
    for number in range(2):
        trainer.train_step(stacked([batch_of(number)]))
    after = values_of(variables)
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if left_alone(name)}
    assert not any(left_alone(name.partition("/")[2]) for name in trainer.optimizer.state()), "moments for nothing"


def test_a_part_has_the_gradients_that_it_has_in_the_whole():
    for settings, left_alone in LEFT_ALONE.values():
        _, part = step_of(small_trainer(settings)[0], [batch_of(0)])
        _, whole = step_of(small_trainer()[0], [batch_of(0)])
        assert largest_relative_difference(part, {k: g for k, g in whole.items() if not left_alone(k)}) < 1e-6


def products_in_step(settings):
    trainer, _ = small_trainer(settings)
    example = stacked([batch_of(0)])
    graph = tf.function(trainer._step.gradients).get_concrete_function(example, tf.constant(0), tf.constant(1.0))
    return sum(operation.type in ("MatMul", "BatchMatMulV2") for operation in graph.graph.get_operations())


def test_layers_below_the_first_trained_one_cost_no_backward_pass():
    """A layer has 4 products and 2 of attention forward; backward 8 and 5."""
    whole = products_in_step(FinetuneSettings())
    last = products_in_step(FinetuneSettings(train_last_n_layers=1))
    assert whole - last >= 13


def test_more_layers_than_there_are():
    names = dict.fromkeys(["wte.weight"])
    with pytest.raises(SettingsError, match=r"train_last_n_layers is 3; this model has 2 layers\. Give at most 2\."):
        trained_names(names, SMALL_CONFIG, FinetuneSettings(train_last_n_layers=3))


def test_one_batch_can_be_learned_by_heart():
    trainer, _ = small_trainer(FinetuneSettings(learning_rate=1e-2, weight_decay=0.0))
    step, batch = tf.function(trainer.train_step), stacked([batch_of(0)])
    losses = [float(step(batch)["loss"]) for _ in range(150)]
    assert losses[0] > 4.0
    assert losses[-1] < 0.05


def test_weights_stay_float32_and_the_global_policy_untouched():
    from gpt2simple.backend.keras import keras

    trainer, variables = small_trainer(dtype=tf.bfloat16)
    trainer.train_step(stacked([batch_of(0)]))
    assert {variable.dtype for variable in variables.values()} == {tf.float32}
    assert {variable.dtype for variable in trainer.optimizer.state().values()} == {tf.float32}
    assert keras.mixed_precision.global_policy().name == "float32"


def test_two_steps_from_the_same_state_are_equal_bit_for_bit():
    results = []
    for _ in range(2):
        trainer, variables = small_trainer(FinetuneSettings(dropout=0.1), dtype=tf.bfloat16)
        step = tf.function(trainer.train_step)
        for number in range(3):
            step(stacked([batch_of(number, rows=3)]))
        results.append({**values_of(variables), **values_of(trainer.optimizer.state())})
    assert_equal(*results)
