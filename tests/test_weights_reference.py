"""Live comparisons with PyTorch's transformers and with gpt-2-simple, each in an environment of its own."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from weight_layouts import PARITY_IDS, PARITY_SHAPE, random_weights, write_pytorch, write_tf1

from gpt2simple.model import build_model, load_model, read_weights
from gpt2simple.shape import ModelShape
from gpt2simple.testing import byte_tokenizer
from gpt2simple.weights.detect import open_checkpoint
from gpt2simple.weights.huggingface import write_model_folder

pytestmark = pytest.mark.reference

SCRIPTS = Path(__file__).with_name("reference")
TOLERANCE = 1e-4
TEXT = "The zoë-café cat paints £5 of salt.\n\n  Twice!"


def interpreter(variable):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set")
    return path


def pytorch_logits(folder, ids, work, *, text=None):
    """PyTorch's logits, and what it says of the folder's tokenizer."""
    np.save(work / "ids.npy", ids)
    command = [interpreter("GPT2SIMPLE_REFERENCE_PYTHON"), SCRIPTS / "pytorch_logits.py", folder]
    command += [work / "ids.npy", work / "logits.npy", *([text] if text else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(work / "logits.npy"), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_plain_transformers_opens_what_we_write(tmp_path, dtype):
    """Point the variable at transformers 4 and at 5: both must pass. Of BF16 both sides read the same rounded weights."""
    tokenizer = byte_tokenizer()
    write_model_folder(tmp_path / "run", PARITY_SHAPE, random_weights().__getitem__, tokenizer, dtype=dtype)
    theirs, said = pytorch_logits(tmp_path / "run", PARITY_IDS, tmp_path, text=TEXT)
    assert np.abs(load_model(tmp_path / "run")(PARITY_IDS).logits - theirs).max() <= TOLERANCE
    assert said == {"end_of_text": 256, "ids": list(TEXT.encode()), "length": PARITY_SHAPE.n_ctx}
    assert tokenizer.encode(TEXT) == said["ids"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_model_of_124m_has_pytorchs_logits_in_safetensors_and_tf1(tmp_path):
    """Random weights spread over 0.1, so that the outputs differ from place to place; 512 positions of the 1,024."""
    shape = ModelShape(n_vocab=50257, n_ctx=1024, n_embd=768, n_head=12, n_layer=12)
    model = build_model(shape, seed=0, initializer_range=0.1)
    weights = dict(read_weights(model))
    del model
    ids = np.random.RandomState(0).randint(0, 50257, (1, 512))
    write_pytorch(tmp_path / "torch", weights, shape)
    theirs, _ = pytorch_logits(tmp_path / "torch", ids, tmp_path)
    assert len(np.unique(theirs.argmax(-1))) > 50  # else equality would prove little
    write_tf1(tmp_path / "tf1", weights, shape)
    del weights
    for layout in ("torch", "tf1"):
        difference = np.abs(load_model(tmp_path / layout)(ids).logits.numpy() - theirs).max()
        print(f"{layout}: largest difference {difference:.2e}, logits spread over {theirs.std():.2f}")
        assert difference <= TOLERANCE


def test_a_run_that_gpt_2_simple_writes_now_gives_its_logits(tmp_path):
    command = [interpreter("GPT2SIMPLE_ORIGINAL_PYTHON"), SCRIPTS / "original_run.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    published = np.load(tmp_path / "logits.npz")
    with open_checkpoint(tmp_path / "checkpoint" / "run1") as source:
        assert source.layout == "TensorFlow 1 checkpoint model-2"
    for folder in ("checkpoint/run1", "models/small"):
        difference = np.abs(load_model(tmp_path / folder)(published["ids"]).logits - published["logits"]).max()
        # the base model is the control: two training steps have changed the logits
        assert (difference <= TOLERANCE) == (folder == "checkpoint/run1")
