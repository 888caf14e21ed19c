"""Adapters beside Hugging Face's peft on PyTorch, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2simple.gpt2.config import PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.container import container_of
from gpt2simple.gpt2.model import LoadedModel, NewAdapter
from gpt2simple.settings import FinetuneSettings
from tests.helpers.adapters import changed, write_adapter
from tests.helpers.paths import SCRIPT
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import write_small_model
from tests.helpers.training import losses_of_steps

pytestmark = pytest.mark.reference

CONFIG = ModelConfig(n_vocab=257, n_ctx=64, n_embd=48, n_head=4, n_layer=3)
LORA = Lora(rank=4, alpha=8.0, targets=tuple(PROJECTIONS))
IDS = np.random.default_rng(0).integers(0, 257, (2, 40))
STEPS, RATE, DECAY = 100, 1e-4, 0.01


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_small_model(tmp_path / "base", config=CONFIG)


def logits_by_peft(what: str, base: Path, adapter: Path, *more: str) -> np.ndarray:
    ids, out = base.parent / "ids.npy", base.parent / "logits.npy"
    np.save(ids, IDS)
    printed_by("reference/peft_lora.py", what, base, adapter, ids, out, *more)
    return np.asarray(np.load(out))


def test_peft_computes_the_same_with_an_adapter_of_ours(base: Path, tmp_path: Path) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    theirs = logits_by_peft("logits", base, write_adapter(tmp_path / "adapter", loaded, base))
    np.testing.assert_allclose(container_of(loaded)(IDS).logits, theirs, atol=1e-4)
    plain = container_of(LoadedModel.load(base))(IDS).logits
    assert np.abs(plain - theirs).max() > 0.1, "an adapter that changes nothing compares nothing"


@pytest.mark.parametrize("rslora", ["plain", "rslora"])
@pytest.mark.parametrize("targets", [("c_attn",), ("attn.c_proj", "c_fc"), ("c_attn", "c_proj", "c_fc")])
def test_we_compute_the_same_with_an_adapter_of_pefts(
    base: Path, tmp_path: Path, rslora: str, targets: tuple[str, ...]
) -> None:
    theirs = logits_by_peft("make", base, tmp_path / "adapter", rslora, *targets)
    loaded = LoadedModel.load(tmp_path / "adapter")
    np.testing.assert_allclose(container_of(loaded)(IDS).logits, theirs, atol=1e-4)
    assert np.abs(container_of(LoadedModel.load(base))(IDS).logits - theirs).max() > 0.01


def test_the_loss_of_each_of_100_steps_is_that_of_peft(base: Path, tmp_path: Path) -> None:
    loaded = LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3))
    ids = np.array(loaded.tokenizer.encode(SCRIPT.read_text(encoding="utf-8")), np.int32)
    starts = np.random.default_rng(0).integers(0, len(ids) - CONFIG.n_ctx - 1, (STEPS, 4, 1))
    windows = ids[starts + np.arange(CONFIG.n_ctx + 1)]  # (steps, B, T + 1)
    inputs, targets = windows[..., :-1], windows[..., 1:]
    np.savez(tmp_path / "batches.npz", inputs=inputs, targets=targets)
    files = base, write_adapter(tmp_path / "adapter", loaded, base), tmp_path / "batches.npz", tmp_path / "losses.npy"
    printed_by("reference/peft_lora.py", "curve", *files, str(RATE), str(DECAY))
    theirs = np.load(tmp_path / "losses.npy")

    settings = FinetuneSettings(lora_rank=4, learning_rate=RATE, weight_decay=DECAY, warmup_steps=0)
    difference = np.abs(losses_of_steps(loaded, settings, inputs, targets) - theirs).max()
    print(f"loss {theirs[0]:.4f} to {theirs[-1]:.4f}; largest difference {difference:.1e}")
    assert difference < 1e-3
