"""GGUF files as llama.cpp's converter writes them, read back by the gguf package."""

from __future__ import annotations

import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gpt2simple.errors import BackendError, CheckpointError, SettingsError
from gpt2simple.gpt2.config import PROJECTIONS, Lora, ModelConfig
from gpt2simple.gpt2.formats.gguf import KINDS, check_gguf, write_gguf
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.names import canonical_shapes, to_gguf, to_pytorch
from gpt2simple.gpt2.model import LoadedModel, NewAdapter
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.testing import byte_tokenizer, sample_text
from tests.helpers.adapters import changed
from tests.helpers.gguf_files import CONFIG, GgufFile, logits_of, read_gguf, tokenizer_with_merges
from tests.helpers.paths import TINY
from tests.helpers.weight_layouts import random_weights

WEIGHTS = random_weights(CONFIG)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizer_with_merges()


def written(folder: Path, tokenizer: Tokenizer, kind: str = "f32", config: ModelConfig = CONFIG, **about: Any) -> Path:
    path = folder / f"{kind}.gguf"
    write_gguf(path, config, WEIGHTS.__getitem__, tokenizer, kind=kind, name="small", **about)
    return path


BLOCK = {
    "attn_norm.weight": [64], "attn_norm.bias": [64], "attn_qkv.weight": [64, 192], "attn_qkv.bias": [192],
    "attn_output.weight": [64, 64], "attn_output.bias": [64], "ffn_norm.weight": [64], "ffn_norm.bias": [64],
    "ffn_up.weight": [64, 256], "ffn_up.bias": [256], "ffn_down.weight": [256, 64], "ffn_down.bias": [64],
}  # fmt: skip
SHAPES = {  # GGUF's dimensions are the other way round than numpy's: [in, out]
    "token_embd.weight": [64, 300],
    "position_embd.weight": [64, 48],
    **{f"blk.{number}.{name}": shape for number in range(2) for name, shape in BLOCK.items()},
    "output_norm.weight": [64],
    "output_norm.bias": [64],
}


@pytest.mark.parametrize(("kind", "matrices"), [("f32", "F32"), ("f16", "F16"), ("q8_0", "Q8_0")])
def test_tensors_have_the_names_shapes_and_types_of_the_converter(
    tmp_path: Path, tokenizer: Tokenizer, kind: str, matrices: str
) -> None:
    read = read_gguf(written(tmp_path, tokenizer, kind))
    assert read.shapes == SHAPES
    assert list(read.shapes) == list(SHAPES)
    small = {name for name, shape in SHAPES.items() if len(shape) == 1} | {"position_embd.weight"}
    assert read.types == {name: "F32" if name in small else matrices for name in SHAPES}


def test_names_are_those_that_the_package_gives_pytorchs() -> None:
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, CONFIG.n_layer)
    for name in canonical_shapes(CONFIG):
        assert to_gguf(name) == known.get_name(to_pytorch(name), try_suffixes=(".weight", ".bias"))


def test_keys_are_those_of_the_converter(tmp_path: Path, tokenizer: Tokenizer) -> None:
    keys = read_gguf(written(tmp_path, tokenizer)).keys
    vocabulary = {name: keys.pop(f"tokenizer.ggml.{name}") for name in ("tokens", "token_type", "merges")}
    assert keys.pop("gpt2.attention.layer_norm_epsilon") == pytest.approx(3e-5)
    assert keys == {
        "general.architecture": "gpt2",
        "general.type": "model",
        "general.name": "small",
        "general.size_label": "122K",
        "general.file_type": 0,
        "general.quantization_version": 2,
        "gpt2.block_count": 2,
        "gpt2.context_length": 48,
        "gpt2.embedding_length": 64,
        "gpt2.feed_forward_length": 256,
        "gpt2.attention.head_count": 2,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 289,
        "tokenizer.ggml.eos_token_id": 289,
        "tokenizer.ggml.add_bos_token": False,
    }
    tokenizer.save(tmp_path / "folder")
    merges = (tmp_path / "folder" / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert vocabulary["merges"] == merges[1:]
    assert len(vocabulary["tokens"]) == len(vocabulary["token_type"]) == 300
    file_types = [read_gguf(written(tmp_path, tokenizer, kind)).keys["general.file_type"] for kind in KINDS]
    assert file_types == [0, 1, 7]


def test_what_is_said_about_the_model_is_in_the_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    path = written(
        tmp_path, tokenizer, chat_template=template, licence="mit", languages=["fi", "sv"],
        base_model="some-writers/small-gpt2",
    )  # fmt: skip
    keys = read_gguf(path).keys
    assert keys["tokenizer.chat_template"] == template
    about = {name: keys[name] for name in keys if name.startswith(("general.base", "general.l"))}
    assert about == {
        "general.license": "mit",
        "general.languages": ["fi", "sv"],
        "general.base_model.count": 1,
        "general.base_model.0.name": "Small Gpt2",
        "general.base_model.0.organization": "Some Writers",
        "general.base_model.0.repo_url": "https://huggingface.co/some-writers/small-gpt2",
    }


def test_tokens_are_in_order_of_their_ids_with_their_types(tmp_path: Path, messages: list[str]) -> None:
    plain = tokenizer_with_merges()
    added = {
        **plain.vocabulary.added,
        "<speaker 1>": AddedToken(id=291, special=False),  # 290 is a hole
        "<é>": AddedToken(id=292, special=True),
        "<odd>": AddedToken(id=293, in_text=False),
    }
    tokenizer = Tokenizer(replace(plain.vocabulary, added=added))
    keys = read_gguf(written(tmp_path, tokenizer)).keys
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert tokens[:2] == ["!", '"']
    ids = tokenizer.encode("the lamp")
    assert "".join(tokens[index] for index in ids) == "theĠlamp"
    assert all(types[index] == NORMAL for index in range(289))
    assert list(zip(tokens[289:], types[289:], strict=True)) == [
        ("<|endoftext|>", CONTROL),
        ("[PAD290]", UNUSED),
        ("<speaker 1>", USER_DEFINED),
        ("<é>", CONTROL),
        ("<odd>", NORMAL),
        *((f"[PAD{index}]", UNUSED) for index in range(294, 300)),
    ]
    assert messages == []


def test_an_added_token_that_llama_cpp_finds_elsewhere_is_told(
    tmp_path: Path, tokenizer: Tokenizer, messages: list[str]
) -> None:
    added = {**tokenizer.vocabulary.added, "Moon": AddedToken(id=290, single_word=True)}
    written(tmp_path, Tokenizer(replace(tokenizer.vocabulary, added=added)))
    (message,) = messages
    assert message == (
        "The added token 'Moon' is marked single_word, lstrip or rstrip, and GGUF files have no place for that: "
        "llama.cpp finds it inside words too, and keeps the white space beside it."
    )


def test_numbers_come_back_as_near_as_their_type_is(tmp_path: Path, tokenizer: Tokenizer) -> None:
    for kind in KINDS:
        read = read_gguf(written(tmp_path, tokenizer, kind))
        assert read.config == replace(CONFIG, layer_norm_epsilon=read.config.layer_norm_epsilon)
        for name, weight in WEIGHTS.items():
            is_matrix = weight.ndim == 2 and name != "wpe.weight"
            if kind == "f16" and is_matrix:
                np.testing.assert_array_equal(read.weights[name], weight.astype(np.float16).astype(np.float32))
            elif kind == "q8_0" and is_matrix:
                rows = weight if name == "wte.weight" else weight.T  # [out, in]
                blocks = rows.reshape(-1, 32)
                back = (read.weights[name] if name == "wte.weight" else read.weights[name].T).reshape(-1, 32)
                largest = np.abs(blocks).max(axis=1, keepdims=True)
                assert np.all(np.abs(back - blocks) <= largest * (0.5 / 127 + 2.0**-11))
            else:
                np.testing.assert_array_equal(read.weights[name], weight)


@pytest.mark.skipif(not (TINY / "model.safetensors").exists(), reason="the built-in model is not there")
@pytest.mark.parametrize(
    ("kind", "most", "nearly_all"), [("f32", 1e-6, 1e-6), ("f16", 1e-2, 5e-3), ("q8_0", 0.25, 0.1)]
)
def test_logits_of_what_was_read_back_are_the_models(tmp_path: Path, kind: str, most: float, nearly_all: float) -> None:
    """Of 1.4 million logits up to 16, the difference of any, and of 999 in 1,000."""
    loaded, draw = LoadedModel.load(TINY), np.random.default_rng(0)
    weights = {name: loaded.read(name) for name in loaded.weights}
    for weight in weights.values():  # which are halves, so that f16 would keep them
        weight *= 1 + draw.uniform(-(2.0**-9), 2.0**-9, weight.shape).astype(np.float32)
    path = tmp_path / "tiny.gguf"
    write_gguf(path, loaded.config, weights.__getitem__, loaded.tokenizer, kind=kind, name="tiny")
    read = read_gguf(path)
    ids = loaded.tokenizer.encode_array(sample_text(20))[:200]
    logits = logits_of(weights, loaded.config, ids)  # (T, V)
    found = logits_of(read.weights, read.config, ids)
    difference = np.abs(found - logits)
    assert difference.max() <= most
    assert np.quantile(difference, 0.999) <= nearly_all
    assert (difference.max() > 1e-3) == (kind != "f32")
    assert np.mean(found.argmax(axis=-1) == logits.argmax(axis=-1)) >= (0.97 if kind == "q8_0" else 1.0)
    assert np.abs(logits).max() > 5  # so that the tolerance is a small part of them


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_gives_the_same_bytes(tmp_path: Path, tokenizer: Tokenizer, kind: str) -> None:
    first = written(tmp_path, tokenizer, kind).read_bytes()
    again = written(tmp_path, tokenizer_with_merges(), kind)
    assert again.read_bytes() == first
    changed_weights = WEIGHTS | {"h.1.mlp.c_fc.bias": WEIGHTS["h.1.mlp.c_fc.bias"] + 1}
    write_gguf(again, CONFIG, changed_weights.__getitem__, tokenizer, kind=kind, name="small")
    assert again.read_bytes() != first
    assert len(first) % 32 == 0


def test_an_adapter_is_merged(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_model_folder(tmp_path / "base", CONFIG, WEIGHTS.__getitem__, tokenizer)
    lora = Lora(rank=4, alpha=8.0, targets=tuple(PROJECTIONS))
    loaded = changed(LoadedModel.load(tmp_path / "base", ["<speaker1>"], adapter=NewAdapter(lora, seed=3)))
    write_gguf(tmp_path / "merged.gguf", loaded.config, loaded.read, loaded.tokenizer, kind="f32", name="merged")
    read = read_gguf(tmp_path / "merged.gguf")
    assert list(read.shapes) == list(SHAPES)  # none of the adapter's own
    a, b = (loaded.variables[f"h.1.attn.c_attn.lora_{part}"].numpy() for part in "ab")
    expected = WEIGHTS["h.1.attn.c_attn.weight"] + 2.0 * (a @ b)
    np.testing.assert_allclose(read.weights["h.1.attn.c_attn.weight"], expected, rtol=0, atol=1e-5)
    assert (read.keys["tokenizer.ggml.tokens"][290], read.keys["tokenizer.ggml.token_type"][290]) == (
        "<speaker1>",
        USER_DEFINED,
    )
    np.testing.assert_array_equal(read.weights["wte.weight"][290], loaded.read("wte.weight")[290])


def test_one_weight_is_held_at_a_time(tmp_path: Path, tokenizer: Tokenizer) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def read(name: str) -> np.ndarray:
        assert all(one() is None for one in alive), name
        weight = WEIGHTS[name].copy()
        alive.append(weakref.ref(weight))
        return weight

    for kind in KINDS:
        write_gguf(tmp_path / f"{kind}.gguf", CONFIG, read, tokenizer, kind=kind, name="small")
    assert len(alive) == len(KINDS) * len(SHAPES)


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = written(tmp_path, tokenizer)
    before = path.read_bytes()

    def read(name: str) -> np.ndarray:
        if name == "ln_f.weight":
            raise CheckpointError("cut short")
        return WEIGHTS[name]

    for target in (path, tmp_path / "new.gguf"):
        with pytest.raises(CheckpointError, match="cut short"):
            write_gguf(target, CONFIG, read, tokenizer, kind="f16", name="small")
    assert [one.name for one in tmp_path.iterdir()] == ["f32.gguf"]
    assert path.read_bytes() == before


def test_only_an_earlier_file_of_this_package_is_replaced(tmp_path: Path, tokenizer: Tokenizer) -> None:
    ours, theirs = (written(tmp_path, tokenizer, kind) for kind in ("f32", "f16"))
    for path in (ours, theirs):
        path.rename(path.with_suffix(".old"))  # which other processes may have written
    by_quantiser(ours.with_suffix(".old"), theirs)
    ours.with_suffix(".old").rename(ours)
    written(tmp_path, tokenizer, "f32", licence="mit")
    assert read_gguf(ours).keys["general.license"] == "mit"
    assert read_gguf(theirs).config == read_gguf(ours).config
    before = theirs.read_bytes()
    with pytest.raises(SettingsError, match=r"f16\.gguf exists and is not a GGUF file of gpt2simple, so it is not ove"):
        written(tmp_path, tokenizer, "f16")
    assert theirs.read_bytes() == before


def by_quantiser(source: Path, target: Path) -> None:
    """As llama.cpp's quantiser writes files: keys as they are, those that it sets at the end."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "gpt2")
    own = ("general.architecture", "general.quantization_version", "general.file_type")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in own:
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
    writer.add_quantization_version(2)
    writer.add_file_type(15)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_what_llama_cpp_could_not_open_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    twice = {**tokenizer.vocabulary.added, "[PAD295]": AddedToken(id=290)}
    for config, of_model, kind, error, message in (
        (CONFIG, tokenizer, "q4_k", SettingsError, "The kind of GGUF file is 'q4_k'; expected one of f32, f16, q8_0"),
        (replace(CONFIG, labels=("a", "b")), tokenizer, "f32", CheckpointError,
         "This model is a classifier of 2 classes, and GGUF files hold language models: llama.cpp has no GPT-2 that "
         "classifies. Export it in the format huggingface."),
        (replace(CONFIG, n_embd=48), tokenizer, "q8_0", SettingsError,
         "q8_0 stores the rows of matrices in blocks of 32 numbers, and this model is 48 wide, which is no multiple of "
         "that. Take f16."),
        (replace(CONFIG, n_vocab=100), tokenizer, "f16", CheckpointError, "The vocabulary has 290 entries"),
        (CONFIG, byte_tokenizer(), "f16", CheckpointError,
         "The vocabulary has no merges, and llama.cpp opens no GGUF file without any. Use a model whose vocabulary has "
         "some, or export this one in the format huggingface."),
        (CONFIG, Tokenizer(replace(tokenizer.vocabulary, added=twice)), "f16", CheckpointError,
         "The vocabulary has two tokens that GGUF would spell '[PAD295]', and llama.cpp tells tokens apart by their "
         "spellings. Give the added one another, or export the model in the format huggingface."),
    ):  # fmt: skip
        with pytest.raises(error) as raised:
            write_gguf(tmp_path / "new.gguf", config, WEIGHTS.__getitem__, of_model, kind=kind, name="small")
        assert str(raised.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
    check_gguf(replace(CONFIG, n_embd=48), tokenizer, kind="f16")


DAMAGED = "Use a checkpoint from before the training that damaged it."


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("f16", -7e4, "7e+04, and F16 ends at 6.55e+04. Take f32."),
        ("q8_0", 1e7, "1e+07, and Q8_0 ends at 8.319e+06. Take f32."),
        ("f32", np.nan, f"nan, and F32 ends at 3.403e+38. {DAMAGED}"),
        ("f16", np.inf, f"inf, and F16 ends at 6.55e+04. {DAMAGED}"),
    ],
)
def test_values_beyond_the_type_are_refused(
    tmp_path: Path, tokenizer: Tokenizer, kind: str, value: float, message: str
) -> None:
    weight = WEIGHTS["h.0.mlp.c_fc.weight"].copy()
    weight[3, 5] = value
    with pytest.raises(CheckpointError, match=re.escape(f"h.0.mlp.c_fc.weight holds values up to {message}")):
        write_gguf(
            tmp_path / "new.gguf", CONFIG, (WEIGHTS | {"h.0.mlp.c_fc.weight": weight}).__getitem__, tokenizer,
            kind=kind, name="small",
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_error_says_how_to_install_it(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "gguf"]:
        monkeypatch.setitem(sys.modules, name, None)
    message = r"^gguf is not installed, and writing GGUF files needs it\. Install it: `pip install gguf`\.$"
    with pytest.raises(BackendError, match=message):
        written(tmp_path, tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_writing_loads_no_tensorflow_and_importing_no_gguf(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gpt2simple.gpt2.formats.detect import open_checkpoint\n"
        "from gpt2simple.gpt2.formats.gguf import write_gguf; from gpt2simple.gpt2.tokenizer import Tokenizer\n"
        "before = 'gguf' in sys.modules\n"
        "source, tokenizer = open_checkpoint(Path(sys.argv[1])), Tokenizer.load(Path(sys.argv[1]))\n"
        "write_gguf(Path(sys.argv[2]), source.config, source.read, tokenizer, kind='f16', name='small')\n"
        "print(before, 'tensorflow' in sys.modules, 'gguf' in sys.modules)"
    )
    write_model_folder(tmp_path / "model", CONFIG, WEIGHTS.__getitem__, tokenizer_with_merges())
    command = [sys.executable, "-c", program, tmp_path / "model", tmp_path / "new.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False False True", "")
    assert isinstance(read_gguf(tmp_path / "new.gguf"), GgufFile)
