"""Names of weights in every layout lead to the canonical ones."""

import math

import pytest

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.names import canonical_shapes, from_keras, from_pytorch, from_tf1, to_pytorch
from tests.helpers.weight_layouts import PARITY_CONFIG, pytorch_names, random_weights, tf1_names


def test_canonical_shapes_hold_exactly_the_parameters_of_the_shape():
    config = ModelConfig(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12)
    shapes = canonical_shapes(config)
    assert len(shapes) == 148  # the count in OpenAI's own 124M checkpoint
    assert sum(math.prod(dims) for dims in shapes.values()) == config.parameters == 124_439_808


def test_every_pytorch_name_leads_back_with_and_without_prefix():
    weights = random_weights()
    for prefix in ("", "transformer."):
        named = pytorch_names(weights, prefix=prefix, masks=True)
        found = [from_pytorch(name) for name in named]
        assert [name for name in found if name is not None] == list(weights)
        assert found.count(None) == 2 * PARITY_CONFIG.n_layer  # the masks
    assert [from_pytorch(to_pytorch(name)) for name in weights] == list(weights)


def test_every_tf1_name_leads_back():
    weights = random_weights()
    assert [from_tf1(name) for name in tf1_names(weights)] == list(weights)


@pytest.mark.parametrize(
    ("stored", "canonical"),
    [
        ("tfgpt2lm_head_model/transformer/wte/embeddings:0", "wte.weight"),
        ("transformer/tfgp_t2lm_head_model/transformer/wte/weight:0", "wte.weight"),  # transformers 2 to 4.20
        ("transformer/tfgpt2lm_head_model/transformer/h_._11/attn/c_attn/bias:0", "h.11.attn.c_attn.bias"),
        ("transformer/h_._0/ln_1/gamma:0", "h.0.ln_1.weight"),
        ("ln_f/beta:0", "ln_f.bias"),
        ("transformer/h_._0/attn/c_attn/momentum:0", None),
        ("classifier/kernel:0", None),
    ],
)
def test_keras_names_of_old_and_new_transformers(stored, canonical):
    assert from_keras(stored) == canonical
