"""An adapter beside frozen weights: states and gradients of the merged weights, however the base is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.config import PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.lora import A, B, adapter_parameters, adapter_shapes, merged, new_adapter
from gpt2simple.gpt2.network import transformer
from gpt2simple.gpt2.network.layers import frozen_matmul
from gpt2simple.gpt2.network.transformer import flat_weights, hidden_states
from gpt2simple.gpt2.variables import copy_rows, make_variables
from gpt2simple.testing import SMALL_CONFIG
from tests.helpers.network import as_kept, dropout_key, random_tokens

LORA = Lora(rank=4, alpha=8.0, targets=tuple(PROJECTIONS))
TOKENS = random_tokens(2, 16)


def values_of(config: ModelConfig) -> dict[str, np.ndarray]:
    """Random weights with an adapter that changes much."""
    draw = np.random.default_rng(0)
    shapes = canonical_shapes(config) | adapter_shapes(config)
    return {name: draw.normal(0.0, 0.15, shape).astype(np.float32) for name, shape in shapes.items()}


def with_lora(**changes: Any) -> ModelConfig:
    return replace(SMALL_CONFIG, lora=replace(LORA, **changes))


def merged_values(config: ModelConfig) -> dict[str, np.ndarray]:
    values = values_of(config)
    assert config.lora is not None
    found = {name: value for name, value in values.items() if name in canonical_shapes(config)}
    for layer in range(config.n_layer):
        for target in config.lora.targets:
            name = f"h.{layer}.{target}."
            a, b = values[name + A], values[name + B]
            found[name + "weight"] = merged(found[name + "weight"].copy(), a, b, config.lora)
    return found


def states(config: ModelConfig, values: dict[str, np.ndarray], dtype: Any = tf.float32, **how: Any) -> np.ndarray:
    variables = make_variables(config, values.__getitem__)
    found = hidden_states(flat_weights(variables), tf.constant(TOKENS), config, dtype, **how)
    return tf.cast(found, tf.float32).numpy()


@pytest.mark.parametrize("targets", [tuple(PROJECTIONS), ("attn.c_attn",), ("mlp.c_proj", "attn.c_proj")])
def test_the_states_are_those_of_the_merged_weights(targets: tuple[str, ...]) -> None:
    config = with_lora(targets=targets)
    ours = states(config, values_of(config))
    np.testing.assert_allclose(ours, states(SMALL_CONFIG, merged_values(config)), rtol=0, atol=1e-5)
    plain = {name: value for name, value in values_of(config).items() if name in canonical_shapes(SMALL_CONFIG)}
    assert np.abs(ours - states(SMALL_CONFIG, plain)).max() > 0.05


def test_a_new_adapter_changes_nothing_to_the_last_bit() -> None:
    config = with_lora()
    base = values_of(SMALL_CONFIG)
    adapter = new_adapter(config, seed=3)
    fresh = base | {name: adapter(name) for name in adapter_shapes(config)}
    np.testing.assert_array_equal(states(config, fresh), states(SMALL_CONFIG, base))
    width = SMALL_CONFIG.n_embd
    for name, array in fresh.items():
        if name.endswith(A):  # Kaiming's uniform as peft calls it
            assert 0.8 < np.abs(array).max() * array.shape[0] ** 0.5 <= 1.0
    per_layer = 4 * (width + 3 * width + 2 * width + 5 * width + 5 * width)
    assert adapter_parameters(config) == SMALL_CONFIG.n_layer * per_layer
    np.testing.assert_array_equal(adapter("h.0.attn.c_attn.lora_a"), new_adapter(config, 3)("h.0.attn.c_attn.lora_a"))


@pytest.mark.parametrize(("base", "tolerance"), [("bfloat16", 0.05), ("int8", 0.1)])
def test_a_base_in_few_bits_is_kept_in_them_and_computed_with(base: str, tolerance: float) -> None:
    config = with_lora(base=base)
    variables = make_variables(config, values_of(config).__getitem__)
    kept = variables["h.0.mlp.c_fc.weight"]
    assert kept.dtype == tf.as_dtype(base)
    assert variables["wte.weight"].dtype == tf.bfloat16
    assert {variables[name].dtype for name in variables if "ln_" in name or "bias" in name or "lora" in name} == {
        tf.float32
    }
    ours, exact = states(config, values_of(config)), states(with_lora(), as_kept(variables))
    np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    half = states(config, values_of(config), tf.bfloat16)
    assert np.abs(half - exact).max() < tolerance * np.abs(exact).max()


def test_frozen_matrices_are_rounded_as_tensorflow_rounds() -> None:
    config = with_lora(base="bfloat16")
    values = values_of(config)
    variables = make_variables(config, values.__getitem__)
    for name in ("wte.weight", "h.0.mlp.c_fc.weight", "h.1.attn.c_proj.weight"):
        np.testing.assert_array_equal(variables[name].numpy(), tf.cast(values[name], tf.bfloat16).numpy())

    values["h.0.mlp.c_fc.weight"][:, 3] = 0.0
    whole = make_variables(with_lora(base="int8"), values.__getitem__)
    numbers, scale = (whole[f"h.0.mlp.c_fc.{part}"].numpy() for part in ("weight", "scale"))
    largest = np.abs(values["h.0.mlp.c_fc.weight"]).max(axis=0)
    np.testing.assert_allclose(scale, np.where(largest > 0, largest / 127, 1.0), rtol=1e-6)
    assert np.abs(numbers).max() == 127
    assert np.abs(numbers * scale - values["h.0.mlp.c_fc.weight"]).max() <= 0.5001 * scale.max()


def test_rows_of_new_tokens_are_copied_into_the_embedding_alone() -> None:
    config = with_lora(base="bfloat16", rows=2)
    values = values_of(config)
    before = values["wte.weight"].copy()
    variables = make_variables(config, values.__getitem__)
    copy_rows(variables)
    found = tf.cast(variables["wte.weight"], tf.float32).numpy()
    np.testing.assert_allclose(found[-2:], values["wte.rows"], rtol=1e-2)
    np.testing.assert_allclose(found[:-2], before[:-2], rtol=1e-2)
    np.testing.assert_array_equal(values["wte.weight"], before)


def test_whole_numbers_do_not_exceed_float16() -> None:
    """Nor do the gradients through them become too small for it."""
    draw = np.random.default_rng(0)
    x = tf.constant(np.abs(draw.normal(size=(4, 2048))), tf.float16)  # (N, in)
    weight = tf.constant(draw.integers(64, 128, (2048, 8)), tf.int8)  # (in, out)
    scale = tf.constant(np.full(8, 1e-4), tf.float32)  # (out,)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = frozen_matmul(x, weight, scale)
    whole = tf.cast(weight, tf.float32) * scale
    np.testing.assert_allclose(y, tf.matmul(tf.cast(x, tf.float32), whole), rtol=5e-3)
    expected = tf.reduce_sum(whole, axis=1)  # (in,)
    np.testing.assert_allclose(tape.gradient(y, x)[0], expected, rtol=5e-3)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_gradients_are_those_through_the_merged_weights(*, gradient_checkpointing: bool) -> None:
    config = with_lora()
    variables = make_variables(config, values_of(config).__getitem__)
    trained = {name: variables[name] for name in adapter_shapes(config)}
    weights = flat_weights(variables)
    up = tf.constant(np.random.default_rng(1).normal(size=(TOKENS.size, config.n_embd)).astype(np.float32))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        values = {name: weights[name] for name in trained}
        tape.watch(list(values.values()))
        found = hidden_states(weights, tf.constant(TOKENS), config, gradient_checkpointing=gradient_checkpointing)
    ours = tape.gradient(found, values, output_gradients=up)

    plain = {name: tf.constant(value) for name, value in values_of(config).items()}
    with tf.GradientTape() as tape:
        tape.watch([plain[name] for name in trained])
        full = {name: plain[name] for name in canonical_shapes(config)}
        for layer in range(config.n_layer):
            for target in LORA.targets:
                name = f"h.{layer}.{target}."
                full[name + "weight"] += LORA.scale * tf.matmul(plain[name + A], plain[name + B])
        expected = hidden_states(full, tf.constant(TOKENS), SMALL_CONFIG)
    theirs = tape.gradient(expected, {name: plain[name] for name in trained}, output_gradients=up)
    for name in trained:
        scale = np.abs(theirs[name].numpy()).max()
        np.testing.assert_allclose(ours[name].numpy(), theirs[name].numpy(), rtol=0, atol=2e-5 * scale, err_msg=name)


def test_dropout_of_the_adapters_input_leaves_the_base_alone() -> None:
    config = with_lora()
    values = values_of(config)
    key = dropout_key(0.5)
    some, none = states(config, values, adapter_dropout=key), states(config, values, adapter_dropout=dropout_key(0.0))
    np.testing.assert_array_equal(none, states(config, values))
    assert np.abs(some - none).max() > 0.05
    without = values | {name: np.zeros_like(value) for name, value in values.items() if name.endswith(B)}
    np.testing.assert_array_equal(states(config, without, adapter_dropout=key), states(config, without))


def gradients_in_a_graph(config: ModelConfig, *, gradient_checkpointing: bool, **how: Any) -> dict[str, np.ndarray]:
    variables = make_variables(config, values_of(config).__getitem__)

    @tf.function(autograph=False)
    def gradients() -> dict[str, Any]:
        weights = flat_weights(variables)
        values = {name: weights[name] for name in adapter_shapes(config)}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(values.values()))
            found = hidden_states(
                weights, tf.constant(TOKENS), config, gradient_checkpointing=gradient_checkpointing, **how
            )
        return tape.gradient(found, values, output_gradients=found)

    return {name: value.numpy() for name, value in gradients().items()}


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_blocks_that_are_one_function_draw_the_masks_of_their_layers(rate: float) -> None:
    config = replace(with_lora(), n_layer=3)
    how: dict[str, Any] = {"dropout": dropout_key(rate), "adapter_dropout": dropout_key(rate)} if rate else {}
    plain, saving = (gradients_in_a_graph(config, gradient_checkpointing=on, **how) for on in (False, True))
    for name, value in plain.items():
        np.testing.assert_allclose(saving[name], value, rtol=0, atol=1e-5 * np.abs(value).max(), err_msg=name)


def test_with_checkpointing_the_graph_does_not_grow_with_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward and a backward function, and one more for the first block, which has no gradient of its input."""
    calls = []
    real = transformer.Block.__call__
    monkeypatch.setattr(transformer.Block, "__call__", lambda *given: calls.append(given) or real(*given))
    gradients_in_a_graph(replace(with_lora(), n_layer=6), gradient_checkpointing=True)
    assert len(calls) == 3


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_gradients_of_frozen_weights_are_never_computed(
    monkeypatch: pytest.MonkeyPatch, *, gradient_checkpointing: bool
) -> None:
    shapes = []
    real = tf.matmul

    def watched(*factors: Any, **how: Any) -> Any:
        product = real(*factors, **how)
        shapes.append(tuple(product.shape))
        return product

    monkeypatch.setattr(tf, "matmul", watched)
    gradients_in_a_graph(with_lora(), gradient_checkpointing=gradient_checkpointing, dtype=tf.bfloat16)
    width = SMALL_CONFIG.n_embd
    assert (width, 4) in shapes  # of lora_a
    assert not {*shapes} & {(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)}
