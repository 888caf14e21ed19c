"""llama.cpp itself opens the GGUF files: the same ids, the same greedy text, the same logits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.gpt2.formats.gguf import write_gguf
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.testing import sample_text
from tests.helpers.gguf_files import CONFIG, logits_of, read_gguf, tokenizer_with_merges
from tests.helpers.paths import TINY
from tests.helpers.reference import printed_by
from tests.helpers.weight_layouts import random_weights

pytestmark = pytest.mark.reference

NEW_TOKENS = 50
TEXTS = [
    sample_text(20),
    "Hello,   world!\n\n\tIt's 1,234.56; we'll  see...  \r\n",
    "Zoë's naïve café: £5, 漢字とかな, Привет, мир! 🙂👩‍👩‍👧 e\u0301 ½ ² ٣\u00a0x",
    "def f(x):\n    return x ** 2  # <|endoftext|> is no text here\n",
    " ",
    "I'M SURE YOU'LL 'twas",
]


def asked(path: Path, texts: list[str], prompt: np.ndarray) -> dict[str, Any]:
    request = path.with_suffix(".json")
    request.write_text(json.dumps({"texts": texts, "prompt": prompt.tolist(), "new_tokens": NEW_TOKENS}))
    printed = printed_by("reference/gguf_in_llama_cpp.py", path, request, python="GPT2SIMPLE_LLAMA_PYTHON")
    return json.loads(printed.splitlines()[-1])


def greedy_of(loaded: LoadedModel, prompt: np.ndarray) -> list[int]:
    ids = np.pad(prompt, (0, NEW_TOKENS)).astype(np.int64)
    for place in range(len(prompt), len(ids)):  # what comes later changes no logits before it
        ids[place] = logits_of(loaded.weights, loaded.config, ids)[place - 1].argmax()
    return ids[len(prompt) :].tolist()


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    if not (TINY / "model.safetensors").exists():
        pytest.skip("the built-in model is not there")
    return LoadedModel.load(TINY)


@pytest.mark.parametrize(("kind", "atol"), [("f32", 5e-3), ("f16", 5e-3), ("q8_0", 0.25)])
def test_llama_cpp_reads_and_writes_as_this_package_does(
    tiny: LoadedModel, tmp_path: Path, kind: str, atol: float
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, tiny.config, tiny.read, tiny.tokenizer, kind=kind, name="tiny")
    prompt = tiny.tokenizer.encode_array("The old man went down to the sea and")
    found = asked(path, TEXTS, prompt)
    assert found["ids"] == [tiny.tokenizer.encode(text) for text in TEXTS]
    assert found["ids_with_control"] == [tiny.tokenizer.encode(text, allow_end_of_text=True) for text in TEXTS]
    assert found["again"] == TEXTS
    logits = logits_of(tiny.weights, tiny.config, prompt)  # (T, V)
    np.testing.assert_allclose(found["best"], logits.max(axis=-1), rtol=0, atol=atol)
    if kind != "q8_0":
        assert found["greedy"] == greedy_of(tiny, prompt)


def test_added_tokens_have_their_ids_there(tmp_path: Path) -> None:
    plain = tokenizer_with_merges()
    added = {
        **plain.vocabulary.added,
        "<speaker 1>": AddedToken(id=291, special=False),
        "<é>": AddedToken(id=292, special=True),
    }
    tokenizer = Tokenizer(replace(plain.vocabulary, added=added))
    path = tmp_path / "small.gguf"
    write_gguf(path, CONFIG, random_weights(CONFIG).__getitem__, tokenizer, kind="q8_0", name="small")
    texts = ["<speaker 1>the lamp<speaker 1> é<é>\n<é>", " <speaker 1> <speaker 1", "<speaker 1>"]
    found = asked(path, texts, np.array([5, 291, 7]))
    assert found["ids_with_control"] == [tokenizer.encode(text) for text in texts]
    assert found["again"] == texts
    assert found["ids"][1:] == [tokenizer.encode(text) for text in texts[1:]]  # without those marked special
    assert 292 not in found["ids"][0]
    logits = logits_of(read_gguf(path).weights, CONFIG, np.array([5, 291, 7]))
    np.testing.assert_allclose(found["best"], logits.max(axis=-1), rtol=0, atol=0.1)
