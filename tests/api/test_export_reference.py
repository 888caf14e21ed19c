"""Exported models open in other programs, each in an environment of its own, and give the same logits there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.gpt2.container import container_of
from gpt2simple.gpt2.model import LoadedModel
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in, write_text

pytestmark = [pytest.mark.slow, pytest.mark.reference]
IDS = np.arange(3, 43).reshape(2, 20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a run of all weights, and one of an adapter, both exported."""
    folder = tmp_path_factory.mktemp("export-reference")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        write_text(Path("text.txt"))
        gpt2simple.make_tokenizer("text.txt", "small", vocab_size=300, n_layer=2, n_head=2, n_embd=32, n_ctx=64)
        how: dict[str, Any] = {"model_name": "small", "learning_rate": 1e-2, "seed": 5, "window": 32, "sample_every": 0}
        gpt2simple.finetune("text.txt", run_name="whole", steps=8, **how)
        gpt2simple.finetune("text.txt", run_name="lora", steps=8, lora_rank=4, **how)
        for run in ("whole", "lora"):
            gpt2simple.export(run, format="huggingface", path=run)
        np.save("ids.npy", IDS)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def ours(run: str) -> np.ndarray:
    """The logits of a run by this package, float32 [B, T, V]."""
    return container_of(LoadedModel.load(Path("checkpoint") / run, merges=True))(IDS).logits.numpy()


@pytest.mark.parametrize("run", ["whole", "lora"])
@pytest.mark.parametrize("python", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_transformers_with_pytorch(run: str, python: str, tmp_path: Path) -> None:
    logits = tmp_path / "logits.npz"
    said = printed_by("reference/pytorch_logits.py", run, "ids.npy", logits, "The baker mends", python=python)
    np.testing.assert_allclose(np.load(logits)["logits"], ours(run), atol=1e-4)
    answer = json.loads(said.splitlines()[-1])
    with gpt2simple.start_session(run_name=run) as session:
        assert answer["ids"] == session.tokenizer.encode("The baker mends")
    assert answer["length"] == 64


@pytest.mark.parametrize("run", ["whole", "lora"])
def test_the_converter_of_ctranslate2(run: str, tmp_path: Path) -> None:
    logits = tmp_path / "logits.npy"
    printed_by(
        "reference/ctranslate2_logits.py", run, tmp_path / "converted", "ids.npy", logits,
        python="GPT2SIMPLE_CT2_PYTHON",
    )  # fmt: skip
    np.testing.assert_allclose(np.load(logits), ours(run), atol=1e-4)


def test_peft_opens_the_adapter_of_the_run_itself(tmp_path: Path) -> None:
    logits = tmp_path / "logits.npy"
    printed_by("reference/peft_lora.py", "logits", "small", "checkpoint/lora", "ids.npy", logits)
    np.testing.assert_allclose(np.load(logits), ours("lora"), atol=1e-4)
