"""A draft proposes tokens; the text is what the exact weights write without one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.generation import generator as generator_module
from gpt2simple.generation.batch import CachedBatch
from gpt2simple.generation.generator import Generator
from gpt2simple.generation.samples import Sample
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.container import build_model, named_variables
from gpt2simple.gpt2.network.decode_weights import (
    DRAFT_TOKENS,
    DecodeWeights,
    Matrix,
    decode_weights,
    draft_of,
    draft_pays,
)
from gpt2simple.settings import GenerateSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, small_model

WINDOW = SMALL_CONFIG.n_ctx
VARIABLES = named_variables(small_model(1))
DRAFTS = {
    "own": draft_of,
    "perfect": lambda weights: weights,
    "wrong": lambda _: decode_weights(named_variables(small_model(2)), SMALL_CONFIG, "float32"),
}


class Watched:
    """Generation with a draft, and how many tokens each verification accepted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, draft: str) -> None:
        self.accepted: list[int] = []
        accept = CachedBatch.accept

        def watched_accept(batch: CachedBatch, count: int) -> None:
            self.accepted.append(count)
            accept(batch, count)

        monkeypatch.setattr(CachedBatch, "accept", watched_accept)
        monkeypatch.setattr(generator_module, "draft_pays", lambda _: True)
        monkeypatch.setattr(generator_module, "draft_of", DRAFTS[draft])
        self._generator = Generator(VARIABLES, SMALL_CONFIG, byte_tokenizer())

    def samples(self, settings: GenerateSettings) -> list[Sample]:
        return written(self._generator, settings)


def written(generator: Generator, settings: GenerateSettings) -> list[Sample]:
    """Samples without their seconds, which differ from call to call."""
    samples = generator.generate(["The", "a long enough beginning", ""], settings)
    return [dataclasses.replace(sample, seconds=0.0, logprobs=None) for sample in samples]


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    "drawing",
    [
        {"temperature": 0.0},
        {"temperature": 1.3},
        {"temperature": 1.0, "top_k": 8, "top_p": 0.9, "stop": ("e",), "min_length": 5},
        {"temperature": 2.0, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "bad_words": ("t",)},
    ],
)
def test_texts_are_the_same_with_and_without(
    monkeypatch: pytest.MonkeyPatch, draft: str, drawing: dict[str, Any]
) -> None:
    """Beyond the window, with more samples than rows, alone from the start and once the others have ended."""
    settings = GenerateSettings(length=WINDOW + 37, seed=3, nsamples=2, batch_size=1, **drawing)
    plain = written(Generator(VARIABLES, SMALL_CONFIG, byte_tokenizer()), settings)
    watched = Watched(monkeypatch, draft)
    assert watched.samples(settings) == plain
    assert watched.accepted, "the draft was used"
    assert watched.samples(dataclasses.replace(settings, batch_size=4)) == plain


def test_a_row_left_alone_in_a_batch_continues_with_the_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ring is turned so that it begins with the first slot; lengths are such that it does not by itself."""
    watched = Watched(monkeypatch, "own")
    wide = dataclasses.replace(SMALL_CONFIG, n_ctx=128)
    variables = named_variables(build_model(wide, seed=4, initializer_range=0.4))
    settings = GenerateSettings(length=120, seed=3, temperature=1.5, stop=("z",), include_prefix=False)
    generator = Generator(variables, wide, byte_tokenizer())
    prefixes = ["abc", "hello", "x", "12345"]
    together = generator.generate(prefixes, dataclasses.replace(settings, batch_size=4))
    used = sum(watched.accepted)
    alone = generator.generate(prefixes, dataclasses.replace(settings, batch_size=1))
    assert [sample.tokens for sample in together] == [sample.tokens for sample in alone]
    assert 10 < used < sum(watched.accepted) - used, "some tokens of the batch were written by the row that was left"


@pytest.mark.parametrize(("draft", "least", "most"), [("perfect", 8, 8), ("own", 4, 8), ("wrong", 1, 1.5)])
def test_what_the_draft_proposes_is_verified_at_once(
    monkeypatch: pytest.MonkeyPatch, draft: str, least: float, most: float
) -> None:
    watched = Watched(monkeypatch, draft)
    watched.samples(GenerateSettings(length=9, min_length=9, temperature=0.0, batch_size=1))
    assert sum(watched.accepted) == 3 * 8, "the first token of each comes from the reading of its prefix"
    assert least <= sum(watched.accepted) / len(watched.accepted) <= most


def test_log_probabilities_are_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = GenerateSettings(length=25, seed=1, logprobs=True, batch_size=1)
    plain = Generator(VARIABLES, SMALL_CONFIG, byte_tokenizer()).generate(["ab"], settings)[0]
    Watched(monkeypatch, "own")
    (sample,) = Generator(VARIABLES, SMALL_CONFIG, byte_tokenizer()).generate(["ab"], settings)
    assert sample.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def weights_of_sizes(n_embd: int, n_layer: int, n_vocab: int) -> DecodeWeights:
    """Weights of which only the sizes matter."""

    def matrix(out: int, width: int) -> Matrix:
        return Matrix(tf.zeros([out, width]), tf.zeros([0]))

    e = n_embd
    layers = [[matrix(3 * e, e), matrix(e, e), matrix(4 * e, e), matrix(e, 4 * e)] for _ in range(n_layer)]
    wte = matrix(n_vocab, e)
    nothing = tf.zeros([0])
    return DecodeWeights(wte=wte, head=wte, wpe=nothing, biases=nothing, final_norm=nothing, matrices=layers)


@pytest.mark.parametrize(("n_layer", "n_embd", "pays"), [(12, 96, True), (24, 128, False), (36, 160, False)])
def test_a_draft_pays_where_all_copies_stay_within_one_of_a_large_model(
    monkeypatch: pytest.MonkeyPatch, n_layer: int, n_embd: int, pays: bool
) -> None:
    """GPT-2 124M, 355M and 774M, an eighth as wide and with an eighth of the tokens."""
    weights = weights_of_sizes(n_embd, n_layer, 50257 // 8)
    assert not draft_pays(weights), "it is small"
    assert draft_pays(weights, smallest=1) is pays
    shared = {id(tensor) for tensor in tf.nest.flatten(weights)}
    own = sum(int(tf.size(x)) * x.dtype.size for x in tf.nest.flatten(draft_of(weights)) if id(x) not in shared)
    layers = sum(int(tf.size(matrix.values)) * 4 for layer in weights.matrices for matrix in layer)
    assert (own + layers <= layers + int(tf.size(weights.wte.values)) * 4) is pays
    monkeypatch.setattr("gpt2simple.gpt2.network.decode_weights.has_gpu", lambda: True)
    assert not draft_pays(weights, smallest=1), "a GPU's memory is fast"


@pytest.mark.parametrize(("precision", "pays"), [("float32", True), ("bfloat16", False), ("int8", False)])
def test_other_precisions_have_no_draft(precision: str, pays: bool) -> None:
    assert draft_pays(decode_weights(VARIABLES, SMALL_CONFIG, precision), smallest=1) is pays


def test_a_closed_generator_holds_no_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_module, "draft_pays", lambda _: True)
    generator = Generator(VARIABLES, SMALL_CONFIG, byte_tokenizer())
    generator.generate(["a"], GenerateSettings(length=3))
    assert generator._draft is not None
    generator.close()
    assert generator._draft is None


def test_nothing_is_compiled_twice_with_a_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2simple.gpt2.network import cached

    config = ModelConfig(n_vocab=257, n_ctx=64, n_embd=24, n_head=3, n_layer=2)
    monkeypatch.setattr(generator_module, "draft_pays", lambda _: True)
    for seed in range(2):
        generator = Generator(named_variables(build_model(config, seed=seed)), config, byte_tokenizer())
        for length in (3, 20, 70):
            generator.generate(["abc"], GenerateSettings(length=length, min_length=length))
    ours = {key: count for key, count in cached.traces.items() if config in key}
    assert set(ours.values()) == {1}
    kinds = [key[0] for key in ours]
    assert kinds.count("text") == 1
    assert kinds.count("step") == 1, "the draft's; the exact weights never take a step by one token"
    assert DRAFT_TOKENS + 1 in next(key for key in ours if key[0] == "text")
