"""A model loaded with an adapter: new, from a folder, merged; what is kept and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpt2simple.errors import CheckpointError
from gpt2simple.gpt2.config import PROJECTIONS, Lora
from gpt2simple.gpt2.formats import peft
from gpt2simple.gpt2.formats.adapter import BASE_FILE
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.safetensors_file import PYTORCH_METADATA, Tensor, write_safetensors
from gpt2simple.gpt2.lora import adapter_shapes
from gpt2simple.gpt2.model import LoadedModel, NewAdapter
from gpt2simple.gpt2.variables import random_weights
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer
from tests.helpers.adapters import changed, write_adapter

LORA = Lora(rank=4, alpha=8.0, targets=tuple(PROJECTIONS))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "base", SMALL_CONFIG, random_weights(SMALL_CONFIG, seed=1), byte_tokenizer())
    return tmp_path / "base"


@pytest.mark.parametrize("kept", ["float32", "bfloat16", "int8"])
def test_what_is_merged_is_the_base_as_its_file_has_it(base: Path, kept: str) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(replace(LORA, base=kept), seed=3)))
    plain = LoadedModel.load(base)
    name = "h.1.mlp.c_proj."
    a, b = (loaded.variables[name + leaf].numpy() for leaf in ("lora_a", "lora_b"))
    np.testing.assert_allclose(loaded.read(name + "weight"), plain.read(name + "weight") + 2.0 * (a @ b), atol=1e-6)
    np.testing.assert_array_equal(loaded.read("wte.weight"), plain.read("wte.weight"))
    assert set(loaded.weights) == set(plain.weights)


def test_an_adapter_comes_back_from_its_folder(base: Path, tmp_path: Path) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    again = LoadedModel.load(folder)
    assert again.config == loaded.config
    for name in loaded.weights:
        np.testing.assert_array_equal(again.read(name), loaded.read(name))
    fresh = LoadedModel.load(base, adapter=NewAdapter(LORA, seed=9))
    fresh.refill(folder)
    for name in adapter_shapes(LORA_CONFIG):
        np.testing.assert_array_equal(fresh.variables[name].numpy(), loaded.variables[name].numpy())


def test_an_adapter_as_peft_writes_it_has_its_models_tokenizer_and_config(base: Path, tmp_path: Path) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    for path in folder.iterdir():
        if path.name not in (peft.CONFIG_FILE, peft.WEIGHTS_FILE):
            path.unlink()
    again = LoadedModel.load(folder)
    assert again.config == loaded.config
    assert again.tokenizer.encode("ab") == [97, 98]
    np.testing.assert_array_equal(again.read("h.0.mlp.c_fc.weight"), loaded.read("h.0.mlp.c_fc.weight"))


LORA_CONFIG = replace(SMALL_CONFIG, lora=LORA)


def test_a_new_adapter_goes_on_top_of_a_merged_one(base: Path, tmp_path: Path) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    on_top = LoadedModel.load(folder, adapter=NewAdapter(replace(LORA, rank=2), seed=1))
    assert on_top.config.lora == replace(LORA, rank=2)
    for name in loaded.weights:
        np.testing.assert_array_equal(on_top.read(name), loaded.read(name))
    second = write_adapter(tmp_path / "second", changed(on_top), folder)
    assert not np.array_equal(
        LoadedModel.load(second).read("h.0.attn.c_attn.weight"), loaded.read("h.0.attn.c_attn.weight")
    )


def test_a_base_that_changed_or_went_is_refused(base: Path, tmp_path: Path) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    write_model_folder(base, SMALL_CONFIG, random_weights(SMALL_CONFIG, seed=2), byte_tokenizer())
    with pytest.raises(
        CheckpointError, match=r"adapter of 'base' in .*, of which model.safetensors has changed: on an"
    ):
        LoadedModel.load(folder)
    (base / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"of which model.safetensors is missing: .*Put the model back as it was"):
        LoadedModel.load(folder)
    base.rename(tmp_path / "moved")
    with pytest.raises(
        CheckpointError, match=r"belongs to the model 'base', which lay in .* and is not there any more"
    ):
        LoadedModel.load(folder)


def test_layers_and_projections_that_an_adapter_leaves_out_are_not_changed(base: Path, tmp_path: Path) -> None:
    """As peft's `layers_to_transform` makes it, with fan_in_fan_out as files in the wild have it."""
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    tensors = peft.adapter_tensors(loaded.config, loaded.read_adapter)
    some = [tensor for tensor in tensors if ".h.1.attn.c_proj." in tensor.name or ".h.0.mlp.c_fc." in tensor.name]
    with (folder / peft.WEIGHTS_FILE).open("wb") as file:
        write_safetensors(file, some, PYTORCH_METADATA)
    values = json.loads((folder / peft.CONFIG_FILE).read_text())
    values.update(fan_in_fan_out=False, use_rslora=True, layers_to_transform=[0, 1])
    (folder / peft.CONFIG_FILE).write_text(json.dumps(values))
    again, plain = LoadedModel.load(folder), LoadedModel.load(base)
    assert again.config.lora == replace(LORA, alpha=16.0, targets=("attn.c_proj", "mlp.c_fc"))  # 8 / sqrt(4) = 16 / 4
    for name in plain.weights:
        same = np.array_equal(again.read(name), plain.read(name))
        assert same == (name not in ("h.1.attn.c_proj.weight", "h.0.mlp.c_fc.weight"))


def as_peft_writes_it(folder: Path, base: str) -> None:
    for path in folder.iterdir():
        if path.name not in (peft.CONFIG_FILE, peft.WEIGHTS_FILE):
            path.unlink()
    values = json.loads((folder / peft.CONFIG_FILE).read_text()) | {"base_model_name_or_path": base}
    (folder / peft.CONFIG_FILE).write_text(json.dumps(values))


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]


def test_a_model_of_peft_that_is_not_there_is_to_be_downloaded(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)), base)
    as_peft_writes_it(folder, "user/gpt2-x")
    message = (
        r"model 'user/gpt2-x', and there is no such folder\. Download that model and write its folder as base_model_"
    )
    with pytest.raises(CheckpointError, match=message):
        LoadedModel.load(folder)


def test_an_adapter_of_itself_is_refused(base: Path, tmp_path: Path) -> None:
    loaded = LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3))
    one, other = (write_adapter(tmp_path / name, loaded, base) for name in ("one", "other"))
    as_peft_writes_it(one, str(one))
    with pytest.raises(
        CheckpointError, match=r"one.adapter_config.json names .*one as the model .* this adapter itself"
    ):
        LoadedModel.load(one)
    as_peft_writes_it(one, str(other))
    as_peft_writes_it(other, str(one))
    with pytest.raises(CheckpointError, match=r"other.adapter_config.json names .*one as the model .*or belongs to it"):
        LoadedModel.load(one)


def test_the_adapter_of_a_classifier_without_its_classes_is_refused_and_closed(base: Path, tmp_path: Path) -> None:
    loaded = LoadedModel.load(base, labels=("x", "y"), adapter=NewAdapter(LORA, seed=3))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    as_peft_writes_it(folder, str(base))
    with pytest.raises(
        CheckpointError, match=r"is the adapter of a classifier, and neither .* names the classes\. Wri"
    ):
        LoadedModel.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        LoadedModel.load(folder)
    assert not open_files(folder)


def test_an_adapters_file_is_closed_once_its_variables_exist(base: Path, tmp_path: Path) -> None:
    """Windows removes no open file, and a run that goes on removes old checkpoints."""
    loaded = changed(LoadedModel.load(base, ["<a>", "<b>"], adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    again = LoadedModel.load(folder)
    assert open_files(folder)
    _ = again.variables
    assert not open_files(folder)
    for name in loaded.weights:
        np.testing.assert_array_equal(again.read(name), loaded.read(name))
    again.close()


REFUSED = {
    "dora": ({"use_dora": True}, r"has use_dora=True, which this package does not compute; it reads plain LoRA"),
    "kind": ({"peft_type": "IA3"}, r"has peft_type='IA3', .*Merge it with peft's merge_and_unload\(\) and save"),
    "bias": ({"bias": "all"}, r"has bias='all'"),
    "ranks": ({"rank_pattern": {"c_attn": 2}}, r"has rank_pattern=\{'c_attn': 2\}"),
    "pissa": ({"init_lora_weights": "pissa"}, r"has init_lora_weights='pissa'"),
    "activated": ({"alora_invocation_tokens": [1]}, r"has alora_invocation_tokens=\[1\], which this package does not"),
    "later": ({"use_something": True}, r"has use_something=True, which this package does not compute"),
    "rank": ({"r": 0}, r"has r=0 and lora_alpha=8.0; expected a whole number from 1 and a number"),
    "no base": ({"base_model_name_or_path": None}, r"has base_model_name_or_path=None; expected the model that"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_adapter_is_refused_by_name(base: Path, tmp_path: Path, change: dict, message: str) -> None:
    loaded = LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    if "base_model_name_or_path" in change:
        (folder / BASE_FILE).unlink()
    values = json.loads((folder / peft.CONFIG_FILE).read_text()) | change
    (folder / peft.CONFIG_FILE).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message):
        LoadedModel.load(folder)


def renamed(tensor: Tensor) -> list[Tensor]:
    return [replace(tensor, name=tensor.name.replace("c_attn", "c_other"))]


def widened(tensor: Tensor) -> list[Tensor]:
    rows, columns = tensor.shape
    return [replace(tensor, shape=(rows, columns + 1), values=lambda: np.zeros((rows, columns + 1), np.float32))]


def ruined(tensor: Tensor) -> list[Tensor]:
    return [replace(tensor, values=lambda: np.full(tensor.shape, np.nan, np.float32))]


DAMAGES = {
    "another projection": (renamed, r"holds 'base_.*c_other.*', which is no matrix of a LoRA adapter of GPT-2's proj"),
    "another shape": (widened, r"c_attn\.lora_A\.weight has shape \[\d+, \d+\], and a model of this shape needs \[\d"),
    "one of a pair": (
        lambda _: [],
        r"h\.0\.attn\.c_attn\.lora_B\.weight without the other matrix of h\.0\.attn\.c_attn\. ",
    ),
    "not finite": (
        ruined,
        r"c_attn\.lora_A\.weight contains NaN or infinity\. Use an adapter from before the training",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_matrix_that_does_not_belong_there_is_named(
    base: Path, tmp_path: Path, damage: Callable[[Tensor], list[Tensor]], message: str
) -> None:
    loaded = changed(LoadedModel.load(base, adapter=NewAdapter(LORA, seed=3)))
    folder = write_adapter(tmp_path / "adapter", loaded, base)
    tensors = peft.adapter_tensors(loaded.config, loaded.read_adapter)
    found = [one for t in tensors for one in (damage(t) if t.name.endswith("h.0.attn.c_attn.lora_A.weight") else [t])]
    with (folder / peft.WEIGHTS_FILE).open("wb") as file:
        write_safetensors(file, found, PYTORCH_METADATA)
    with pytest.raises(CheckpointError, match=message):
        _ = LoadedModel.load(folder).variables
