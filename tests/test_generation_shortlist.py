"""A shortlist gives the highest logits exactly, and generation with it writes what generation without it writes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpt2simple._backend import tf
from gpt2simple.generation.generator import Generator
from gpt2simple.generation.sampling import apply_top_k, highest_needed
from gpt2simple.generation.shortlist import Shortlist
from gpt2simple.model import named_variables
from gpt2simple.settings import GenerateSettings
from gpt2simple.testing import SMALL_SHAPE, byte_tokenizer, small_model

VOCAB, WIDTH = 9000, 48  # more rows than are rounded at a time


def rough_logits(shortlist: Shortlist, vector: np.ndarray) -> np.ndarray:
    return tf.linalg.matvec(tf.cast(shortlist.rough.values, tf.float32), vector).numpy() * shortlist.rough.scale.numpy()


def near_ties(seed: int) -> np.ndarray:
    """A head [V, E] whose rows differ from a few others by less than rounding to 16 bits can show."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(30, WIDTH))
    return (base[rng.integers(30, size=VOCAB)] * (1 + 1e-6 * rng.normal(size=(VOCAB, 1)))).astype(np.float32)


@pytest.mark.parametrize("count", [1, 7, 40, 600, VOCAB])
@pytest.mark.parametrize("make", [near_ties, lambda seed: np.random.default_rng(seed).normal(size=(VOCAB, WIDTH))])
def test_the_highest_are_those_of_the_whole_head(make, count: int) -> None:  # type: ignore[no-untyped-def]
    head = make(count).astype(np.float32)
    shortlist = Shortlist(tf.constant(head))
    for seed in range(5):
        vector = np.random.default_rng(seed).normal(scale=30.0, size=WIDTH).astype(np.float32)
        exact = head.astype(np.float64) @ vector.astype(np.float64)
        scores = shortlist.highest(rough_logits(shortlist, vector), vector, count)
        assert scores.tokens is not None
        assert set(np.argsort(-exact, kind="stable")[:count]) <= set(scores.tokens)
        assert (np.diff(scores.tokens) > 0).all(), "a draw lays tokens side by side by their ids"
        np.testing.assert_allclose(scores.logits, exact[scores.tokens], rtol=1e-5, atol=1e-3)


def test_few_others_are_looked_at() -> None:
    head = np.random.default_rng(0).normal(size=(VOCAB, WIDTH)).astype(np.float32)
    shortlist = Shortlist(tf.constant(head))
    vector = np.random.default_rng(1).normal(size=WIDTH).astype(np.float32)
    assert len(shortlist.highest(rough_logits(shortlist, vector), vector, 10).logits) < 30


def test_a_row_of_zeros_and_a_vector_of_zeros_are_no_trouble() -> None:
    shortlist = Shortlist(tf.zeros([600, WIDTH]))
    scores = shortlist.highest(np.zeros(600, np.float32), np.zeros(WIDTH, np.float32), 3)
    assert len(scores.logits) == 600, "all are alike"


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (GenerateSettings(temperature=0.0), 1),
        (GenerateSettings(temperature=0.0, top_k=5), 1),
        (GenerateSettings(top_k=40, top_p=0.9, min_p=0.1), 40),
        (GenerateSettings(), None),
        (GenerateSettings(top_p=0.9), None),
        (GenerateSettings(top_k=40, logprobs=True), None),
        (GenerateSettings(top_k=40, repetition_penalty=1.2), None),
        (GenerateSettings(top_k=40, no_repeat_ngram_size=3), None),
        (GenerateSettings(top_k=40, bad_words=("no",)), None),
        (GenerateSettings(top_k=40, min_length=3), None),
    ],
)
def test_a_shortlist_serves_only_where_the_highest_decide(settings: GenerateSettings, needed: int | None) -> None:
    assert highest_needed(settings) == needed


@pytest.mark.parametrize("drawing", [{"temperature": 0.0}, {"top_k": 8, "temperature": 1.0, "top_p": 0.9}])
def test_texts_are_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch, drawing: dict[str, float]) -> None:
    settings = GenerateSettings(length=SMALL_SHAPE.n_ctx + 10, seed=3, nsamples=3, batch_size=2, **drawing)  # type: ignore[arg-type]
    variables = named_variables(small_model(1))
    used: list[int] = []
    highest = Shortlist.highest
    monkeypatch.setattr(Shortlist, "highest", lambda self, *args: (used.append(1), highest(self, *args))[1])

    def written(pays: bool, **changed: int) -> list[tuple[int, ...]]:
        monkeypatch.setattr(Shortlist, "pays", lambda _: pays)
        generator = Generator(variables, SMALL_SHAPE, byte_tokenizer())
        return [sample.tokens for sample in generator.generate(["The", "x"], dataclasses.replace(settings, **changed))]

    plain = written(False, batch_size=1)
    assert not used
    assert written(True, batch_size=1) == plain
    assert len(used) > len(plain) * 10
    assert written(True) == plain, "a batch of two, which shrinks to one"


def test_top_k_of_logits_that_are_mostly_forbidden_already() -> None:
    logits = np.full(50_000, -np.inf, np.float32)
    logits[[7, 30_000, 49_999]] = [1.0, 3.0, 2.0]
    np.testing.assert_array_equal(apply_top_k(logits, 40), logits)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(apply_top_k(logits, 2))), [30_000, 49_999])
