"""Decoding by the variables of a model with an adapter: what a copy of the merged weights would write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.generation.generator import Generator
from gpt2simple.gpt2.config import PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.formats.adapter import merged_weight
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.lora import adapter_shapes
from gpt2simple.gpt2.network import adapted, cached, kv_cache
from gpt2simple.gpt2.network.adapted import AdaptedWeights
from gpt2simple.gpt2.network.decode_weights import decode_weights
from gpt2simple.gpt2.network.xla import traces
from gpt2simple.gpt2.variables import make_variables
from gpt2simple.settings import GenerateSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer
from tests.helpers.network import as_kept

LORA = Lora(rank=4, alpha=8.0, targets=tuple(PROJECTIONS))
WINDOW = SMALL_CONFIG.n_ctx


def with_lora(**changes: Any) -> tuple[ModelConfig, dict[str, np.ndarray]]:
    """A config, and random weights with an adapter that changes much."""
    config = replace(SMALL_CONFIG, lora=replace(LORA, **changes))
    draw = np.random.default_rng(0)
    shapes = canonical_shapes(config) | adapter_shapes(config)
    return config, {name: draw.normal(0.0, 0.15, shape).astype(np.float32) for name, shape in shapes.items()}


def merged_values(config: ModelConfig, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: merged_weight(config, values.__getitem__, name) for name in canonical_shapes(config)}


@pytest.mark.parametrize("targets", [LORA.targets, ("attn.c_attn",)])
def test_logits_are_those_of_the_merged_weights(targets: tuple[str, ...]) -> None:
    config, values = with_lora(targets=targets)
    ours = AdaptedWeights.of(make_variables(config, values.__getitem__), "float32")
    assert ours is not None
    theirs = decode_weights(merged_values(config, values), config, "float32")
    tokens = tf.constant(np.random.default_rng(1).integers(0, config.n_vocab, 16).astype(np.int32))
    read = [
        network.prompt_reader(config, weights.dtypes, 16)(weights, tokens, tf.constant(11))
        for network, weights in ((adapted, ours), (cached, theirs))
    ]
    np.testing.assert_allclose(read[0][0], read[1][0], rtol=0, atol=1e-4)
    logits = []
    for (network, weights), (_, keys_values) in zip(((adapted, ours), (cached, theirs)), read, strict=True):
        caches = kv_cache.new_caches(config, 2, 128)
        writer = kv_cache.row_writer(config, 2, 128, 16)
        for row in range(2):
            writer(caches, keys_values, tf.constant(row), tf.constant(5))
        step = network.token_step(config, weights.dtypes, 2, 128).bind(weights, caches)
        logits.append([step(tf.constant([7 + n, 9, 11 + n, 11 + n, 16 + n])).numpy() for n in range(3)])
    np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "drawing",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "top_k": 8, "top_p": 0.9, "stop": ("e",), "min_length": 5},
        {"temperature": 2.0, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "bad_words": ("t",)},
    ],
)
def test_texts_are_those_of_the_merged_model(drawing: dict[str, Any]) -> None:
    """Beyond the window, with more samples than rows, alone at the end."""
    config, values = with_lora()
    settings = GenerateSettings(length=WINDOW + 21, seed=3, nsamples=2, batch_size=3, **drawing)
    written = [
        [sample.text for sample in Generator(weights, config, byte_tokenizer()).generate(["The", "", "a"], settings)]
        for weights in (make_variables(config, values.__getitem__), merged_values(config, values))
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.05)])
@pytest.mark.parametrize("base", ["bfloat16", "int8"])
def test_a_base_in_few_bits_is_decoded_as_it_is_kept(base: str, precision: str, tolerance: float) -> None:
    """Later training shows in the logits: nothing was copied."""
    config, values = with_lora(base=base)
    variables = make_variables(config, values.__getitem__)
    ours = AdaptedWeights.of(variables, precision)
    assert ours is not None
    theirs = decode_weights(merged_values(config, as_kept(variables)), config, "float32")
    tokens = tf.constant(np.arange(16, dtype=np.int32))
    reader = adapted.prompt_reader(config, ours.dtypes, 16)
    found = reader(ours, tokens, tf.constant(16))[0].numpy()
    expected = cached.prompt_reader(config, theirs.dtypes, 16)(theirs, tokens, tf.constant(16))[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    for name in adapter_shapes(config):
        variables[name].assign(tf.zeros_like(variables[name]))
    again = reader(ours, tokens, tf.constant(16))[0].numpy()
    assert np.abs(again - found).max() > 0.05


def test_another_model_of_the_same_shape_compiles_nothing() -> None:
    config, values = with_lora()
    settings = GenerateSettings(length=5, seed=1, temperature=0.0)
    Generator(make_variables(config, values.__getitem__), config, byte_tokenizer()).generate(["A"], settings)
    before = dict(traces)
    other = {name: -value for name, value in values.items()}
    Generator(make_variables(config, other.__getitem__), config, byte_tokenizer()).generate(["A"], settings)
    assert dict(traces) == before
