"""What whole-number weights cost, measured on a model that has learned something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.container import model_config, named_variables
from gpt2simple.gpt2.network.cached import next_token_logits
from gpt2simple.gpt2.network.decode_weights import decode_weights, to_matrix
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.testing import sample_text
from tests.helpers.models import load_model
from tests.helpers.paths import TINY


def loss(model_dir: Path, ids: np.ndarray, precision: str) -> float:
    """Nats per token of windows of ids [N, T], each predicted from those before it, by the decode weights."""
    model = load_model(model_dir)
    weights = decode_weights(named_variables(model), model_config(model), precision)
    nats = []
    for window in ids:
        logits = next_token_logits(weights, model_config(model), tf.constant(window[:-1], tf.int32))
        nats.append(tf.nn.sparse_softmax_cross_entropy_with_logits(window[1:], logits).numpy().mean())
    return float(np.mean(nats))


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Text that the built-in model has not seen, far more predictable to it than to a random one."""
    ids = Tokenizer.load(TINY).encode_array(sample_text(200)).astype(np.int64)
    return ids[: len(ids) // 128 * 128].reshape(-1, 128)[:12]


@pytest.mark.skipif(not (TINY / "model.safetensors").exists(), reason="the built-in model is not there")
@pytest.mark.parametrize(
    ("precision", "share"),
    [
        ("int8", 0.005),
        pytest.param("bfloat16", 0.005, marks=pytest.mark.slow),
        pytest.param("float16", 0.001, marks=pytest.mark.slow),
    ],
)
def test_reduced_precisions_cost_next_to_no_loss(windows: np.ndarray, precision: str, share: float) -> None:
    exact = loss(TINY, windows, "float32")
    assert exact < 0.8 * np.log(windows.max() + 1), "a model that learned nothing loses nothing by rounding"
    assert loss(TINY, windows, precision) == pytest.approx(exact, rel=share)


def test_each_row_is_rounded_by_itself_though_many_are_rounded_at_a_time() -> None:
    rows = np.random.default_rng(0).normal(size=(9000, 5)).astype(np.float32) * np.geomspace(1e-3, 1e3, 9000)[:, None]
    rows[4321] = 0.0
    matrix = to_matrix(tf.constant(rows, tf.float32), "int8")
    expected = np.where(rows.any(axis=1), np.abs(rows).max(axis=1) / 127, 1.0)
    np.testing.assert_allclose(matrix.scale.numpy(), expected, rtol=1e-6)
    error = np.abs(matrix.values.numpy() * matrix.scale.numpy()[:, None] - rows).max(axis=1)
    assert (error <= 0.5001 * expected).all()
