"""Generation beside PyTorch, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpt2simple.generation.generator import Generator
from gpt2simple.generation.sampling import (
    apply_min_p,
    apply_repetition_penalty,
    apply_temperature,
    apply_top_k,
    apply_top_p,
    forbid,
    forbid_repeated_ngrams,
)
from gpt2simple.generation.text import BadWords
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.settings import GenerateSettings
from tests.helpers.reference import printed_by
from tests.helpers.weight_layouts import CONFIG_124M, canonical_weights, write_pytorch

pytestmark = pytest.mark.reference

PROMPT = [15496, 11, 995, 0]


class IdTokenizer:
    """A tokenizer whose texts are ids in words, and whose end of text is drawn by no model."""

    vocab_size = CONFIG_124M.n_vocab
    end_of_text = -1

    def without_token(self, rows: int) -> np.ndarray:
        return np.arange(self.vocab_size, rows)

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode_bytes(self, ids: list[int]) -> bytes:
        return b"".join(b"%d " % token for token in ids)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_greedy_ids_of_a_model_of_124m_are_pytorchs_for_200_tokens(tmp_path: Path) -> None:
    """Weights spread over 0.1: with the usual 0.02 a random model repeats a handful of tokens and proves nothing."""
    model = build_model(CONFIG_124M, seed=0, initializer_range=0.1)
    write_pytorch(tmp_path, canonical_weights(model), CONFIG_124M)
    printed = printed_by("reference/pytorch_generation.py", tmp_path, 200, *PROMPT)
    theirs = [int(token) for token in printed.strip("[]\n").split(",")]
    assert len(theirs) == 200
    assert len(set(theirs)) >= 50
    generator = Generator(named_variables(model), CONFIG_124M, IdTokenizer())  # type: ignore[arg-type]
    for batch_size in (1, 2):
        settings = GenerateSettings(temperature=0.0, length=200, nsamples=batch_size, batch_size=batch_size)
        for sample in generator.generate([" ".join(map(str, PROMPT))], settings):
            assert list(sample.tokens) == theirs


@pytest.mark.parametrize("seed", range(5))
def test_filters_equal_those_of_pytorchs_transformers(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    logits = (draw.standard_normal(256) * 3).astype(np.float32)
    tokens = np.array([*draw.integers(0, 6, 40), 1])
    np.savez(tmp_path / "in.npz", logits=logits, tokens=tokens)
    printed_by("reference/pytorch_filters.py", tmp_path / "in.npz", tmp_path / "out.npz")
    theirs = np.load(tmp_path / "out.npz")
    spelled = BadWords(["ab", "\x01\x02", "\x05"], [bytes([value]) for value in range(256)])
    ours = {
        "temperature": apply_temperature(logits, 0.7),
        "top_k": apply_top_k(logits, 17),
        "top_p": apply_top_p(logits, 0.83),
        "min_p": apply_min_p(logits, 0.07),
        "repetition_penalty": apply_repetition_penalty(logits, 1.3, tokens.tolist()),
        "no_repeat_ngram": forbid_repeated_ngrams(logits, 3, tokens.tolist()),
        "bad_words": forbid(logits, spelled(tokens.tolist())),
    }
    assert set(ours) == set(theirs.files)
    for name, filtered in ours.items():
        np.testing.assert_allclose(filtered, theirs[name], rtol=1e-6, err_msg=name)
