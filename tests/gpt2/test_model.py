"""Building TFGPT2LMHeadModel, naming its variables, filling and reading it."""

import gc
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from transformers import TFGPT2LMHeadModel

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model, container_of, model_config, named_variables
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.names import canonical_shapes
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.testing import SMALL_CONFIG, small_model
from tests.helpers.models import assign_weights, load_model
from tests.helpers.small_runs import write_small_model
from tests.helpers.weight_layouts import (
    PARITY_CONFIG,
    PARITY_IDS,
    canonical_weights,
    random_weights,
    write_pytorch,
)


def without_scope(variables):
    return [(v.name.split("/", 1)[1], tuple(v.shape)) for v in variables]


def test_the_model_has_the_variables_that_transformers_itself_builds():
    model = small_model()
    reference = TFGPT2LMHeadModel(model.config)
    reference.build_in_name_scope()
    assert without_scope(model.weights) == without_scope(reference.weights)
    for ours, theirs in zip(named_variables(model).values(), named_variables(reference).values(), strict=True):
        theirs.assign(ours)
    np.testing.assert_array_equal(model(PARITY_IDS).logits, reference(PARITY_IDS).logits)


def test_variables_are_named_in_canonical_order_and_counted_once():
    model = small_model()
    variables = named_variables(model)
    assert list(variables) == list(canonical_shapes(SMALL_CONFIG))
    assert {id(v) for v in variables.values()} == {id(v) for v in model.trainable_variables}
    assert sum(int(tf.size(v)) for v in variables.values()) == SMALL_CONFIG.parameters
    assert model_config(model) == SMALL_CONFIG


def test_a_seed_gives_the_same_weights_and_none_gives_others():
    first, again, other = (canonical_weights(build_model(SMALL_CONFIG, seed=seed)) for seed in (0, 0, 1))
    fresh, fresh_again = (canonical_weights(build_model(SMALL_CONFIG)) for _ in range(2))
    for name in ("wte.weight", "h.1.mlp.c_fc.weight"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
        assert not np.array_equal(fresh[name], fresh_again[name])
    assert not np.array_equal(first["h.0.mlp.c_fc.weight"], first["h.1.mlp.c_fc.weight"])


def test_random_weights_spread_as_gpt2s_do():
    """Standard errors are about 1 % here: each matrix has over 4,000 numbers."""
    config = SMALL_CONFIG.__class__(n_vocab=100, n_ctx=64, n_embd=64, n_head=2, n_layer=8)
    for name, value in canonical_weights(build_model(config, seed=0, initializer_range=0.02)).items():
        if name.endswith(".bias"):
            assert not value.any()
        elif value.ndim == 1:
            assert (value == 1).all()
        else:
            expected = 0.02 / 4 if "c_proj" in name else 0.02  # sqrt(2 * 8 layers) = 4
            assert value.std() == pytest.approx(expected, rel=0.06)


def test_building_leaves_random_state_and_keras_policy_alone():
    before = tf_keras.mixed_precision.global_policy()
    tf.random.set_seed(5)
    expected = tf.random.uniform([4]).numpy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        tf.random.set_seed(5)
        model = small_model()
        assert tf_keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    np.testing.assert_array_equal(tf.random.uniform([4]).numpy(), expected)
    assert {v.dtype for v in model.weights} == {tf.float32}
    assert model(PARITY_IDS).logits.dtype == tf.float32


def test_the_models_own_dropout_is_off():
    model = small_model()
    np.testing.assert_array_equal(model(PARITY_IDS, training=True).logits, model(PARITY_IDS, training=False).logits)


GROWTH_PROGRAM = """
import sys
from pathlib import Path
import psutil
from gpt2simple.gpt2.container import build_model
from tests.helpers.models import load_model
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.testing import small_model
small_model()  # what a process needs for any model
before = psutil.Process().memory_info().rss
config = ModelConfig(**eval(sys.argv[1]))
model = build_model(config, seed=0) if sys.argv[2] == "random" else load_model(Path(sys.argv[2]))
print((psutil.Process().memory_info().rss - before) / (4 * config.parameters))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "stored"])
def test_building_leaves_little_beside_the_weights(tmp_path, kind):
    """The allocator keeps what it held once. Weights of 179 MB, 103 of them in one matrix, as with GPT-2 itself: each
    array that is made beside it would show."""
    sizes = {"n_vocab": 50257, "n_ctx": 256, "n_embd": 512, "n_head": 4, "n_layer": 6}
    if kind == "stored":
        config = ModelConfig(**sizes)
        write_pytorch(tmp_path, random_weights(config), config)
    program = [sys.executable, "-c", GROWTH_PROGRAM, repr(sizes), "random" if kind == "random" else str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert 0.95 < float(done.stdout) < 1.3


def test_a_model_lets_go_of_the_checkpoint_it_was_made_from(tmp_path, monkeypatch):
    write_pytorch(tmp_path, random_weights())
    sources = [open_checkpoint(tmp_path)]
    source = weakref.ref(sources[0])
    monkeypatch.setattr("tests.helpers.models.open_checkpoint", lambda folder: sources.pop())
    model = load_model(tmp_path)
    gc.collect()
    assert source() is None, "what it holds of its files would stay in memory"
    assert model_config(model) == PARITY_CONFIG


def test_assigned_weights_are_read_back_in_canonical_shape():
    model = small_model()
    weights = random_weights()
    assign_weights(model, weights)
    found = canonical_weights(model)
    assert list(found) == list(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)


def test_an_open_checkpoint_can_be_assigned(tmp_path):
    write_pytorch(tmp_path, random_weights(seed=3))
    model = small_model()
    with open_checkpoint(tmp_path) as source:
        assign_weights(model, source)
    np.testing.assert_array_equal(model(PARITY_IDS).logits, load_model(tmp_path)(PARITY_IDS).logits)


def test_a_weight_that_is_missing_or_of_another_shape_is_named():
    model = small_model()
    weights = random_weights()
    with pytest.raises(CheckpointError, match=r"ln_f\.bias is not among the 27 given\. Give every weight"):
        assign_weights(model, {name: value for name, value in weights.items() if name != "ln_f.bias"})
    weights["wpe.weight"] = weights["wpe.weight"].T  # as many numbers, in the wrong order
    with pytest.raises(CheckpointError, match=r"wpe\.weight has shape \[16, 32\]; this model has \[32, 16\]\. Load it"):
        assign_weights(model, weights)


def test_layer_norm_epsilon_comes_from_the_configuration(tmp_path):
    config = PARITY_CONFIG.__class__(**{**PARITY_CONFIG.__dict__, "layer_norm_epsilon": 0.5})
    write_pytorch(tmp_path, random_weights(), config)
    model = load_model(tmp_path)
    assert model.transformer.ln_f.epsilon == model.transformer.h[0].ln_1.epsilon == 0.5


@pytest.mark.parametrize("padding", [0, 1, 6])
def test_new_tokens_get_rows_that_begin_as_the_mean_of_their_spelling(tmp_path, padding):
    """Padding rows of the checkpoint are used first."""
    folder = write_small_model(tmp_path / "small", config=replace(SMALL_CONFIG, n_vocab=257 + padding))
    before, grown = LoadedModel.load(folder), LoadedModel.load(folder, ["<a>", "zoë"])
    assert grown.tokenizer.added == {"<|endoftext|>": 256, "<a>": 257, "zoë": 258}
    assert grown.config.n_vocab == max(259, 257 + padding) == model_config(container_of(grown)).n_vocab
    old, new = (each.read("wte.weight") for each in (before, grown))
    np.testing.assert_array_equal(new[:257], old[:257])
    for index, name in ((257, "<a>"), (258, "zoë")):
        np.testing.assert_allclose(new[index], old[list(name.encode())].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(new[259:], old[259:])
    np.testing.assert_array_equal(before.read("h.0.mlp.c_fc.weight"), grown.read("h.0.mlp.c_fc.weight"))
    logits = container_of(grown)(np.array([[72, 105, 32]])).logits.numpy()[0]
    np.testing.assert_allclose(
        logits[:, :257], container_of(before)(np.array([[72, 105, 32]])).logits[0, :, :257], atol=1e-6
    )
    np.testing.assert_allclose(logits[:, 257], logits[:, list(b"<a>")].mean(axis=-1), atol=1e-5)


def test_tokens_without_a_row_are_named(tmp_path):
    folder = write_small_model(tmp_path / "small")
    LoadedModel.load(folder).tokenizer.with_added(["<pad>"]).save(folder)
    with pytest.raises(CheckpointError, match=r"has ids up to 257, .* only 257 rows: none for '<pad>'\. .* or remove"):
        LoadedModel.load(folder)
