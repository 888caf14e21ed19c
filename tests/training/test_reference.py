"""Training beside other arithmetic: PyTorch's step by step, and bfloat16 beside float32."""

import numpy as np
import pytest

import gpt2simple
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.settings import FinetuneSettings
from tests.helpers.paths import SCRIPT, TINY
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import write_small_model
from tests.helpers.training import losses_of_steps

BYTE_CONFIG = ModelConfig(n_vocab=257, n_ctx=64, n_embd=64, n_head=4, n_layer=4)  # spells within a minute
STEPS, BATCH_SIZE, RATE, DECAY = 200, 4, 1e-4, 0.01


def random_folder(folder):
    return write_small_model(folder, config=BYTE_CONFIG)


def tiny_folder(folder):
    if not TINY.is_dir():
        pytest.skip("this checkout has no built-in model")
    return TINY


def batches_of(loaded):
    """Inputs and targets [steps, B, T] of windows of the example text."""
    ids = np.array(loaded.tokenizer.encode(SCRIPT.read_text(encoding="utf-8")), np.int32)
    time = min(loaded.config.n_ctx, 128)
    starts = np.random.default_rng(0).integers(0, len(ids) - time - 1, (STEPS, BATCH_SIZE, 1))
    windows = ids[starts + np.arange(time + 1)]
    return windows[..., :-1], windows[..., 1:]


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("make", [random_folder, tiny_folder])
def test_the_loss_of_each_of_200_steps_is_that_of_pytorch(make, tmp_path):
    folder = make(tmp_path / "model")
    loaded = LoadedModel.load(folder)
    inputs, targets = batches_of(loaded)
    np.savez(tmp_path / "batches.npz", inputs=inputs, targets=targets)
    files = folder, tmp_path / "batches.npz", tmp_path / "losses.npy"
    printed_by("reference/pytorch_curve.py", *files, RATE, DECAY)

    settings = FinetuneSettings(learning_rate=RATE, weight_decay=DECAY, warmup_steps=0, clip_norm=1.0, dropout=0.0)
    theirs = np.load(tmp_path / "losses.npy")
    difference = np.abs(losses_of_steps(loaded, settings, inputs, targets) - theirs).max()
    print(f"{folder.name}: loss {theirs[0]:.4f} to {theirs[-1]:.4f}; largest difference {difference:.1e}")
    assert theirs[-1] < theirs[0] - 0.05, "a curve that does not fall proves little"
    assert difference < 1e-3


@pytest.mark.slow
def test_bfloat16_reaches_the_held_out_loss_of_float32(tmp_path):
    model, losses = str(write_small_model(tmp_path / "model", config=BYTE_CONFIG)), {}
    for precision in ("float32", "bfloat16"):
        result = gpt2simple.finetune(
            SCRIPT, model_name=model, run_name=precision, checkpoint_dir=tmp_path, precision=precision, seed=1,
            steps=300, batch_size=8, learning_rate=1e-3, eval_every=100, sample_every=0,
        )  # fmt: skip
        losses[precision] = result.best_loss
    print(losses)
    assert losses["float32"] < 3.0, "what learned nothing compares nothing"
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.01)
