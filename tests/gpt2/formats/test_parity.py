"""Every layout of the same weights gives PyTorch's logits.

The golden logits come from transformers' PyTorch GPT2LMHeadModel (tests/golden/make_parity_logits.py). The bound of
1e-4 on logits that spread over 0.4 is what different orders of float32 sums may cost; one bias left out costs over
0.01.
"""

import numpy as np
import pytest

from gpt2simple.gpt2.formats.detect import open_checkpoint
from tests.helpers.models import load_model
from tests.helpers.paths import GOLDEN
from tests.helpers.weight_layouts import (
    PARITY_CONFIG,
    PARITY_IDS,
    random_weights,
    write_keras,
    write_pytorch,
    write_tf1,
)

TOLERANCE = 1e-4

LAYOUTS = {
    "PyTorch safetensors": lambda folder, w: write_pytorch(folder, w),
    "PyTorch safetensors without prefix, with masks": lambda folder, w: write_pytorch(folder, w, prefix="", masks=True),
    "PyTorch safetensors with prefix and masks": lambda folder, w: write_pytorch(folder, w, masks=True),
    "PyTorch safetensors in 3 files": lambda folder, w: write_pytorch(folder, w, shards=3),
    "TensorFlow safetensors": lambda folder, w: write_keras(folder, w, safetensors=True),
    "TensorFlow h5": lambda folder, w: write_keras(folder, w, safetensors=False),
    "TensorFlow 1 checkpoint model.ckpt": lambda folder, w: write_tf1(folder, w),
    "TensorFlow 1 checkpoint model-7": lambda folder, w: write_tf1(folder, w, name="model-7"),
}


def logits(folder, ids=PARITY_IDS):
    return load_model(folder)(ids).logits.numpy()


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "parity_logits.npz")["logits"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_equal_pytorchs_in_every_layout(tmp_path, layout, golden):
    weights = random_weights()
    LAYOUTS[layout](tmp_path / "model", weights)
    with open_checkpoint(tmp_path / "model") as source:
        assert layout.startswith(source.layout)
        assert source.config == PARITY_CONFIG
        for name, value in weights.items():
            found = source.read(name)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, value)
    assert np.abs(logits(tmp_path / "model") - golden).max() <= TOLERANCE


@pytest.mark.parametrize(("dtype", "largest"), [("float16", 0.002), ("bfloat16", 0.02)])
def test_sixteen_bit_weights_differ_by_their_rounding_only(tmp_path, dtype, largest, golden):
    weights = random_weights()
    write_pytorch(tmp_path, weights, dtype=dtype)
    bits = {"float16": 10, "bfloat16": 7}[dtype]
    with open_checkpoint(tmp_path) as source:
        for name, value in weights.items():
            # 2**-24: the step of float16's smallest numbers
            np.testing.assert_allclose(source.read(name), value, rtol=2.0 ** -(bits + 1), atol=2.0**-24)
    difference = np.abs(logits(tmp_path) - golden).max()
    assert TOLERANCE / 10 < difference <= largest  # rounded, and no more than that


def test_a_head_stored_beside_the_embedding_is_accepted_when_it_equals_it(tmp_path, golden):
    weights = random_weights()
    write_pytorch(tmp_path, weights | {"lm_head.weight": weights["wte.weight"]}, prefix="")
    assert np.abs(logits(tmp_path) - golden).max() <= TOLERANCE


def test_a_run_written_by_gpt_2_simple_itself_gives_its_logits():
    """The folder was written by gpt-2-simple 0.8.1 (tests/reference/original_run.py), the logits by its graph."""
    run = GOLDEN / "gpt2-simple-run"
    published = np.load(run / "logits.npz")
    assert np.abs(logits(run, published["ids"]) - published["logits"]).max() <= TOLERANCE


def test_the_file_named_checkpoint_chooses_among_steps_and_without_it_the_highest_counts(tmp_path):
    for step in (9, 10):
        write_tf1(tmp_path, random_weights(seed=step), name=f"model-{step}")
    state = tmp_path / "checkpoint"
    state.write_text('model_checkpoint_path: "/content/checkpoint/run1/model-9"\n')  # another machine's path
    with open_checkpoint(tmp_path) as source:
        np.testing.assert_array_equal(source.read("wte.weight"), random_weights(seed=9)["wte.weight"])
    state.unlink()
    with open_checkpoint(tmp_path) as source:
        np.testing.assert_array_equal(source.read("wte.weight"), random_weights(seed=10)["wte.weight"])


def test_safetensors_come_before_the_old_files_beside_them(tmp_path):
    write_tf1(tmp_path, random_weights(seed=1), name="model-5")
    write_pytorch(tmp_path, random_weights(seed=2))
    with open_checkpoint(tmp_path) as source:
        np.testing.assert_array_equal(source.read("wpe.weight"), random_weights(seed=2)["wpe.weight"])
