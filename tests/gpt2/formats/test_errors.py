"""Every folder that cannot be used is refused with what is wrong, what was expected and what to do."""

import json
import re

import numpy as np
import pytest

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.formats.detect import open_checkpoint
from tests.helpers.models import load_model
from tests.helpers.weight_layouts import (
    PARITY_CONFIG,
    random_weights,
    write_config,
    write_hparams,
    write_keras,
    write_pytorch,
    write_tf1,
)

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:400d\nsize 497759232\n"


def refusal(folder):
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    return str(caught.value)


def assert_refused(folder, pattern):
    message = refusal(folder)
    assert re.search(pattern, message), message


def test_a_folder_that_does_not_exist(tmp_path):
    assert_refused(
        tmp_path / "nowhere",
        r"nowhere does not exist, where a model's folder was expected: config\.json with.*Check the path",
    )


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "model").write_text("x")
    assert "model is a file, where a model's folder was expected" in refusal(tmp_path / "model")


def test_an_empty_folder_lists_the_layouts(tmp_path):
    message = refusal(tmp_path)
    for part in (
        "it is empty",
        "model.safetensors",
        "tf_model.h5",
        "hparams.json",
        "model-<step>.*",
        "gpt2simple download",
    ):
        assert part in message


def test_a_folder_of_other_things_says_what_it_holds(tmp_path):
    for name in ("notes.txt", *(f"picture-{n}.png" for n in range(9))):
        (tmp_path / name).touch()
    assert "holds no GPT-2 weights; it holds notes.txt, picture-0.png" in refusal(tmp_path)
    assert ", ...." in refusal(tmp_path)


def test_a_pickle_is_refused_with_a_way_out(tmp_path):
    write_config(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    message = refusal(tmp_path)
    assert "pytorch_model.bin, which executes code when it is opened: refused" in message
    assert "save_pretrained(new_folder, safe_serialization=True)" in message


def test_a_head_that_is_not_tied(tmp_path):
    weights = random_weights()
    write_pytorch(tmp_path, weights | {"lm_head.weight": weights["wte.weight"] + 1}, prefix="")
    assert_refused(tmp_path, r"The head of .* is not tied: its lm_head\.weight differs.*Choose a checkpoint")


def test_a_configuration_that_unties_the_head(tmp_path):
    write_pytorch(tmp_path, random_weights())
    write_config(tmp_path, tie_word_embeddings=False)
    assert "sets tie_word_embeddings to False" in refusal(tmp_path)


@pytest.mark.parametrize("write", [write_pytorch, write_tf1], ids=["safetensors", "tf1"])
def test_missing_weights_are_counted_and_named(tmp_path, write):
    weights = random_weights()
    for name in ("h.1.ln_2.bias", "ln_f.weight"):
        del weights[name]
    write(tmp_path, weights)
    assert_refused(
        tmp_path, r"lacks 2 of the 28 weights that its (config|hparams)\.json implies: h\.1\.ln_2\.bias, ln_f\.weight\."
    )


def test_weights_of_another_shape(tmp_path):
    write_pytorch(tmp_path, random_weights() | {"wpe.weight": np.zeros((16, 16), np.float32)})
    message = refusal(tmp_path)
    assert "wpe.weight has shape [16, 16] where its config.json implies [32, 16]. Restore the config.json" in message


def test_layers_beyond_the_configuration_are_not_dropped_in_silence(tmp_path):
    weights = random_weights()
    extra = {name.replace("h.1.", "h.2."): value for name, value in weights.items() if name.startswith("h.1.")}
    write_pytorch(tmp_path, weights | extra)
    assert_refused(tmp_path, r"holds 12 tensors that a plain GPT-2 of its config\.json does not have, such as h\.2\.")


def test_quantised_weights(tmp_path):
    write_pytorch(tmp_path, random_weights(), dtype="int32")
    assert_refused(tmp_path, r"wte\.weight is stored as I32, perhaps quantised; expected F32, F16 or BF16")


def test_no_configuration(tmp_path):
    write_pytorch(tmp_path, random_weights())
    (tmp_path / "config.json").unlink()
    assert_refused(
        tmp_path, r"config\.json is missing: without it the shapes of the weights are unknown\. Copy the one"
    )


def classifier(names):
    """A config.json of a classifier whose classes have these names."""
    return json.dumps({"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"], "id2label": names})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"config\.json is not a valid JSON object"),
        ("[1]", r"config\.json is not a valid JSON object \(it is a list where an object was expected\)"),
        (
            '{"model_type": "gpt2", "n_embd": null}',
            r"config\.json: This is no valid GPT-2 config: n_embd is None; expected a whole number .* Check config",
        ),
        ('{"model_type": "llama"}', r"model_type 'llama'; this package loads GPT-2"),
        (
            '{"model_type": "gpt2", "n_embd": 8, "n_inner": 16}',
            r"sets n_inner to 16; plain GPT-2 has 4 x n_embd\. Choose a plain GPT-2 checkpoint\.",
        ),
        (classifier({"0": "a", "2": "b"}), r"id2label is {'0': 'a', '2': 'b'}; expected a name for each number from 0"),
        (classifier({"0": "a", "1": "a"}), r"id2label is {'0': 'a', '1': 'a'}; expected names that differ"),
        (classifier({"0": "a", "1": 1}), r"id2label is {'0': 'a', '1': 1}; expected names that differ"),
        (classifier({"0": "a"}), r"id2label has 1 entries; expected 2 to [\d,]+"),
        ("", r"config\.json is empty"),
    ],
)
def test_an_invalid_configuration(tmp_path, text, message):
    write_pytorch(tmp_path, random_weights())
    (tmp_path / "config.json").write_text(text)
    assert_refused(tmp_path, message)


def test_a_torn_file(tmp_path):
    write_pytorch(tmp_path, random_weights())
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:-1])
    message = refusal(tmp_path)
    assert f"model.safetensors is cut short: {len(data) - 1:,} bytes of at least {len(data):,}" in message


def test_a_missing_shard(tmp_path):
    write_pytorch(tmp_path, random_weights(), shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors is missing: without it the weights are incomplete" in refusal(tmp_path)


@pytest.mark.parametrize("index", ['{"weight_map": {"wte.weight": "../other.safetensors"}}', "{}"])
def test_an_index_that_leads_nowhere_or_out_of_the_folder(tmp_path, index):
    write_config(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert "has no weight_map of file names in its own folder" in refusal(tmp_path)


def test_a_damaged_h5_file(tmp_path):
    write_keras(tmp_path, random_weights(), safetensors=False)
    data = (tmp_path / "tf_model.h5").read_bytes()
    (tmp_path / "tf_model.h5").write_bytes(data[:5000])
    assert_refused(tmp_path, r"tf_model\.h5 cannot be read as HDF5 \(.*\): it is damaged or cut short\. Copy")


def test_no_hparams(tmp_path):
    write_tf1(tmp_path, random_weights())
    (tmp_path / "hparams.json").unlink()
    assert_refused(tmp_path, r"hparams\.json is missing: .*or write n_vocab, n_ctx, n_embd, n_head and n_layer")


def test_hparams_without_a_number(tmp_path):
    write_tf1(tmp_path, random_weights())
    (tmp_path / "hparams.json").write_text('{"n_vocab": 257}')
    assert "hparams.json has no 'n_ctx'" in refusal(tmp_path)


def test_a_tf1_checkpoint_without_its_data(tmp_path):
    write_tf1(tmp_path, random_weights())
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    assert "model.ckpt.data-00000-of-00001 is missing" in refusal(tmp_path)


def test_a_tf1_checkpoint_whose_data_is_a_pointer(tmp_path):
    write_tf1(tmp_path, random_weights(), name="model-156")
    (tmp_path / "model-156.data-00000-of-00001").write_text(LFS_POINTER)
    assert_refused(tmp_path, r"model-156\.data-00000-of-00001 is a Git LFS pointer, not the data.*git lfs pull")


def test_a_tf1_checkpoint_cut_short(tmp_path):
    write_tf1(tmp_path, random_weights())
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    assert f"is cut short: 1,000 bytes of at least {4 * PARITY_CONFIG.parameters:,}" in refusal(tmp_path)


def test_a_tf1_index_that_is_damaged(tmp_path):
    write_tf1(tmp_path, random_weights())
    (tmp_path / "model.ckpt.index").write_bytes(b"\0" * 200)
    assert_refused(tmp_path, r"model\.ckpt\.\* cannot be read \(.*\): it is damaged\. Copy or download")


def test_a_tf1_checkpoint_with_a_flipped_bit(tmp_path):
    """TensorFlow's checksum of each tensor catches it when that tensor is read."""
    write_tf1(tmp_path, random_weights())
    path = tmp_path / "model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.ckpt\.\* cannot be read \(.*\): it is damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize("state", ['model_checkpoint_path: "model-200"\n', "nonsense"])
def test_a_checkpoint_file_that_names_files_which_are_not_there(tmp_path, state):
    write_tf1(tmp_path, random_weights(), name="model-100")
    (tmp_path / "checkpoint").write_text(state)
    assert_refused(
        tmp_path, r"checkpoint names (model-200|no checkpoint), whose \.index file is missing; present are: model-100"
    )


def test_a_folder_with_only_the_file_named_checkpoint(tmp_path):
    write_hparams(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-1"\n')
    assert "present are: none" in refusal(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", ["safetensors", "bfloat16", "shards", "keras", "h5", "tf1"])
def test_weights_that_are_not_finite_are_named(tmp_path, layout, bad):
    weights = random_weights()
    weights["ln_f.bias"][3] = weights["h.1.attn.c_attn.weight"][2, 5] = bad
    {
        "safetensors": lambda: write_pytorch(tmp_path, weights),
        "bfloat16": lambda: write_pytorch(tmp_path, weights, dtype="bfloat16"),
        "shards": lambda: write_pytorch(tmp_path, weights, shards=2),
        "keras": lambda: write_keras(tmp_path, weights, safetensors=True),
        "h5": lambda: write_keras(tmp_path, weights, safetensors=False),
        "tf1": lambda: write_tf1(tmp_path, weights),
    }[layout]()
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert re.search(
        r"(h\.1\.attn\.c_attn\.weight|ln_f\.bias) contains NaN or infinity in 1 of [\d,]+ values, so the model can "
        r"compute nothing\. Copy or download the checkpoint again, or use one from before the training that damaged it",
        str(caught.value),
    ), str(caught.value)


def test_a_head_that_is_tied_but_not_finite_is_said_to_be_not_finite(tmp_path):
    weights = random_weights()
    weights["wte.weight"][0, 0] = np.nan
    write_pytorch(tmp_path, weights | {"lm_head.weight": weights["wte.weight"]}, prefix="")
    assert_refused(tmp_path, r"wte\.weight contains NaN or infinity in 1 of")
