"""Checkpoints and answers that others published; found through GPT2SIMPLE_TEST_DATA."""

import base64
import json
import shutil

import numpy as np
import pytest

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import model_config
from gpt2simple.gpt2.formats.detect import open_checkpoint
from tests.helpers.models import load_model
from tests.helpers.paths import outside_data
from tests.helpers.weight_layouts import write_tf1_arrays


@pytest.fixture(scope="module")
def sorter(tmp_path_factory):
    """The trained three-layer model as a TensorFlow 1 checkpoint, loaded, and its head, which is not tied."""
    published = outside_data("checkpoints", "mingpt-sort-tf-names")
    arrays = dict(np.load(published / "tf_variables.npz"))
    head = arrays.pop("lm_head/w")
    folder = tmp_path_factory.mktemp("sorter")
    shutil.copyfile(published / "hparams.json", folder / "hparams.json")
    write_tf1_arrays(folder, arrays)
    return load_model(folder), head


@pytest.fixture(scope="module")
def activations():
    """By name, float32."""
    published = outside_data("checkpoints", "mingpt-sort-tf-names", "gpt-nano-sort-t0-partials.json")
    partials = json.loads(published.read_text())
    return {
        name: np.frombuffer(base64.b64decode(value["data"]), np.float32).reshape(value["shape"])
        for name, value in partials.items()
        if name != "config"
    }


def test_a_trained_models_published_activations_are_reproduced(sorter, activations):
    model, head = sorter
    ids = activations["idx"].astype(np.int32)
    body = model.transformer(ids, output_hidden_states=True, output_attentions=True)
    ours = {
        "x": body.hidden_states[0],
        "block0": body.hidden_states[1],
        "block1": body.hidden_states[2],
        "attSm": body.attentions[0],  # partials are of the first block
        "ln_f": body.last_hidden_state,
        "lm_head": body.last_hidden_state.numpy() @ head,
    }
    for name, value in ours.items():
        # float32 sums in another order; the logits reach 17
        np.testing.assert_allclose(value, activations[name], rtol=1e-5, atol=1e-4, err_msg=name)


def test_a_hub_folder_of_another_author_loads():
    model = load_model(outside_data("checkpoints", "fake-gpt2-hf"))
    assert model_config(model) == ModelConfig(n_vocab=50257, n_ctx=1024, n_embd=2, n_head=1, n_layer=1)
    assert np.isfinite(model(np.array([[15496, 995, 50256]])).logits).all()


def test_openais_own_layout_without_its_data_names_the_file():
    folder = outside_data("checkpoints", "openai-124M-layout")
    with pytest.raises(CheckpointError, match=r"model\.ckpt\.data-00000-of-00001 is missing: without it the weights"):
        open_checkpoint(folder)


def test_a_real_run_cloned_without_git_lfs_says_so(tmp_path):
    for path in outside_data("checkpoints", "gpt2-simple-run-layout").iterdir():
        shutil.copyfile(path, tmp_path / path.name.removesuffix(".lfs-pointer"))
    with pytest.raises(CheckpointError, match=r"model-156\.data-00000-of-00001 is a Git LFS pointer, not the data"):
        open_checkpoint(tmp_path)
