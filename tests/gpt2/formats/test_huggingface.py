"""The folder we write: this package reads it back, and its files say what other tools look for."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.huggingface import config_files, write_model_folder
from gpt2simple.testing import byte_tokenizer
from tests.helpers.weight_layouts import PARITY_CONFIG, random_weights


@pytest.mark.parametrize(("dtype", "bits"), [("F32", 23), ("F16", 10), ("BF16", 7)])
def test_what_is_written_is_read_back(tmp_path, dtype, bits):
    weights = random_weights()
    write_model_folder(tmp_path / "new", PARITY_CONFIG, weights.__getitem__, byte_tokenizer(), dtype=dtype)
    with open_checkpoint(tmp_path / "new") as source:
        assert source.layout == "PyTorch safetensors"
        assert source.config == PARITY_CONFIG
        for name, value in weights.items():
            np.testing.assert_allclose(source.read(name), value, rtol=2.0 ** -(bits + 1), atol=2.0**-24)


def test_the_folder_holds_pytorchs_names_and_the_files_that_transformers_looks_for(tmp_path):
    weights = random_weights()
    write_model_folder(tmp_path, PARITY_CONFIG, weights.__getitem__, byte_tokenizer())
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == {f"transformer.{name}" for name in weights}
    expected = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert expected | {"vocab.json", "merges.txt"} == {path.name for path in tmp_path.iterdir()}


def test_the_configurations_name_the_end_of_text_and_the_stored_type():
    files = {name: json.loads(data) for name, data in config_files(PARITY_CONFIG, 256, dtype="BF16").items()}
    assert files["config.json"]["torch_dtype"] == "bfloat16"
    for values in files.values():
        assert values["bos_token_id"] == values["eos_token_id"] == 256


def test_a_vocabulary_larger_than_the_model_is_refused_before_anything_is_written(tmp_path):
    small = ModelConfig(n_vocab=100, n_ctx=8, n_embd=4, n_head=1, n_layer=1)
    with pytest.raises(CheckpointError, match="The vocabulary has 257 entries and the model 100: they do not belong"):
        write_model_folder(tmp_path / "new", small, random_weights(small).__getitem__, byte_tokenizer())
    assert not (tmp_path / "new").exists()


def test_reading_and_writing_safetensors_loads_no_tensorflow(tmp_path):
    write_model_folder(tmp_path, PARITY_CONFIG, random_weights().__getitem__, byte_tokenizer())
    program = (
        "import sys; from pathlib import Path; from gpt2simple.gpt2.formats.detect import open_checkpoint\n"
        "import gpt2simple.gpt2.formats.huggingface\n"
        "open_checkpoint(Path(sys.argv[1])).read('wte.weight')\n"
        "print(sorted({'tensorflow', 'h5py', 'transformers', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
