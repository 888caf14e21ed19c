"""What is known of the published models agrees with itself and with the shapes."""

from __future__ import annotations

import hashlib
import re

import pytest

from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.hub import registry
from gpt2simple.gpt2.hub.registry import KNOWN_MODELS, find, resolve

PUBLISHED = [model for model in KNOWN_MODELS.values() if not model.built_in]


def test_the_names() -> None:
    assert tuple(KNOWN_MODELS) == ("124M", "355M", "774M", "1558M", "tiny")


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("124M", "124M"), ("124m", "124M"), ("117M", "124M"), ("gpt2", "124M"), ("openai-community/gpt2", "124M"),
        ("345M", "355M"), ("gpt2-medium", "355M"), ("762M", "774M"), ("gpt2-large", "774M"),
        ("1542M", "1558M"), ("GPT2-XL", "1558M"), ("openai-community/gpt2-xl", "1558M"), ("tiny", "tiny"),
    ],
)  # fmt: skip
def test_aliases_stand_for_their_model(alias: str, name: str) -> None:
    assert resolve(alias).name == name
    assert find(alias) is resolve(alias)


def test_no_alias_is_given_twice() -> None:
    words = [word.lower() for model in KNOWN_MODELS.values() for word in (model.name, *model.aliases)]
    assert len(words) == len(set(words))


def test_an_unknown_name_is_refused_with_the_nearest_and_the_accepted_ones() -> None:
    message = r"model_name is '335M', which is not a known model\. Did you mean '355M'\? Expected one of 124M, .*tiny"
    with pytest.raises(SettingsError, match=message):
        resolve("335M")
    with pytest.raises(SettingsError, match=r"model_name is 'xyzzy', which is not a known model\. Expected one of"):
        resolve("xyzzy")
    assert find("xyzzy") is None


@pytest.mark.parametrize(
    ("name", "parameters"), [("124M", 124439808), ("355M", 354823168), ("774M", 774030080), ("1558M", 1557611200)]
)
def test_shapes_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    config = resolve(name).config
    assert config is not None
    assert config.parameters == parameters


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_every_published_model_is_described_whole(model: registry.KnownModel) -> None:
    assert re.fullmatch(r"openai-community/gpt2[a-z-]*", model.hub_repo)
    assert re.fullmatch(r"[0-9a-f]{40}", model.hub_revision)
    assert model.openai_folder == model.name
    assert [file.name for file in model.hub_files][-1] == "model.safetensors"
    assert [file.name for file in model.openai_files][-1] == "model.ckpt.data-00000-of-00001"
    assert len(model.hub_files) == len(model.openai_files) == 7
    for file in (*model.hub_files, *model.openai_files):
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256), file
        assert file.n_bytes is None or file.n_bytes > 0, file


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_lengths_of_weights_follow_from_the_shape(model: registry.KnownModel) -> None:
    """OpenAI's file is the variables alone; the hub's has a causal mask of 4 MiB a layer and a short header besides."""
    assert model.openai_files[-1].n_bytes == model.weight_bytes
    hub = model.hub_files[-1].n_bytes
    if hub is not None:
        assert model.config is not None
        header = hub - model.weight_bytes - model.config.n_layer * 4 * 2**20
        assert 0 < header < 40_000


def test_models_for_everyday_use_have_all_their_hub_digests() -> None:
    for name in ("124M", "355M"):
        assert all(file.n_bytes and file.sha256 for file in resolve(name).hub_files)
    assert all(file.n_bytes and file.sha256 for file in resolve("124M").openai_files)


def test_the_rebuilt_small_files_have_the_registered_digests() -> None:
    """OpenAI's hparams.json and checkpoint are so short that their text is known."""
    checkpoint = 'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n'
    hparams = '{\n  "n_vocab": 50257,\n  "n_ctx": 1024,\n  "n_embd": %d,\n  "n_head": %d,\n  "n_layer": %d\n}\n'
    texts = {"124M": hparams % (768, 12, 12), "355M": hparams % (1024, 16, 24)}
    for name, text in texts.items():
        files = {file.name: file for file in resolve(name).openai_files}
        for file, content in (("checkpoint", checkpoint), ("hparams.json", text)):
            assert files[file].n_bytes == len(content)
            assert files[file].sha256 == hashlib.sha256(content.encode()).hexdigest()
