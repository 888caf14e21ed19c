"""The sampling chain: worked answers, transformers' own filters, and frequencies."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.generation.sampling import (
    apply_min_p,
    apply_repetition_penalty,
    apply_temperature,
    apply_top_k,
    apply_top_p,
    draw,
    draw_key,
    forbid,
    forbid_repeated_ngrams,
    greedy,
    log_probability,
    sampling_chain,
)
from gpt2simple.generation.text import BadWords
from gpt2simple.settings import GenerateSettings

NEVER = -math.inf
END = 4
# Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625
HALVES = np.log(np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])).astype(np.float32)
BYTES = [bytes([value]) for value in range(256)]


def kept(logits: np.ndarray, tokens: np.ndarray | None = None) -> list[int]:
    places = np.flatnonzero(np.isfinite(logits))
    return (places if tokens is None else tokens[places]).tolist()


def test_temperature_divides() -> None:
    np.testing.assert_allclose(apply_temperature(np.array([2.0, -1.0], np.float32), 0.5), [4.0, -2.0])


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [0]), (2, [0, 1]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_top_k_keeps_exactly_k_and_of_equal_ones_the_lower_ids(k: int, expected: list[int]) -> None:
    assert kept(apply_top_k(HALVES, k)) == expected


def test_top_k_keeps_k_where_the_threshold_is_shared_from_both_sides() -> None:
    assert kept(apply_top_k(np.array([1, 3, 3, 3, 0], np.float32), 2)) == [1, 2]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.01, [0]), (0.49, [0]), (0.6, [0, 1]), (0.74, [0, 1]), (0.8, [0, 1, 2]), (0.99, [0, 1, 2, 3, 4])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(p: float, expected: list[int]) -> None:
    assert kept(apply_top_p(HALVES, p)) == expected


def test_top_p_keeps_many_where_many_are_alike() -> None:
    flat = np.zeros(5000, np.float32)
    assert len(kept(apply_top_p(flat, 0.5))) == 2500


@pytest.mark.parametrize(("share", "expected"), [(0.4, [0, 1]), (0.2, [0, 1, 2]), (0.1, [0, 1, 2, 3, 4]), (1.0, [0])])
def test_min_p_measures_by_the_likeliest(share: float, expected: list[int]) -> None:
    assert kept(apply_min_p(HALVES, share)) == expected


def test_repetition_penalty_makes_both_signs_less_likely() -> None:
    changed = apply_repetition_penalty(np.array([2.0, -2.0, 1.0], np.float32), 2.0, [0, 1, 0])
    assert changed.tolist() == [1.0, -4.0, 1.0]


@pytest.mark.parametrize(
    ("size", "tokens", "forbidden"),
    [
        (1, [0, 2], [0, 2]),  # no token twice
        (2, [0, 1, 2, 0], [1]),  # 0 was followed by 1
        (3, [0, 1, 2, 0, 1], [2]),
        (3, [0, 1], []),  # nothing stands yet that could be repeated
        (4, [0, 1], []),
    ],
)
def test_ngrams_are_not_repeated(size: int, tokens: list[int], forbidden: list[int]) -> None:
    assert kept(forbid_repeated_ngrams(HALVES, size, tokens)) == [i for i in range(5) if i not in forbidden]


def test_bad_words_are_forbidden_in_whatever_pieces_they_are_spelled() -> None:
    tokens = [b"b", b"a", b"d", b"ba", b"ad", b"bad", b"xbady", b"dab"]
    after = BadWords(["bad"], tokens)
    assert sorted(set(after([]))) == [5, 6]
    assert sorted(set(after([0]))) == [4, 5, 6]  # b + ad
    assert sorted(set(after([0, 1]))) == [2, 5, 6, 7]  # b a + d, b a + dab
    assert sorted(set(after([3]))) == [2, 5, 6, 7]


def test_min_length_holds_back_the_end_only_while_too_few_are_new() -> None:
    chain = sampling_chain(GenerateSettings(min_length=2, temperature=1.0), END)
    assert kept(*chain(HALVES, [1, 1, 1], 1)) == [0, 1, 2, 3]
    assert kept(*chain(HALVES, [1, 1, 1], 2)) == [0, 1, 2, 3, 4]


def test_filters_combine_in_the_stated_order() -> None:
    """At temperature 0.5 the odds square: 64 : 16 : 4 : 1 : 1. top_k 3 leaves 84 parts, of which 0.9 needs two."""
    chain = sampling_chain(GenerateSettings(temperature=0.5, top_k=3, top_p=0.9), END)
    assert kept(*chain(HALVES, [], 0)) == [0, 1]
    assert kept(*sampling_chain(GenerateSettings(temperature=1.0, top_p=0.9), END)(HALVES, [], 0)) == [0, 1, 2, 3]


def test_no_filter_changes_what_it_is_given() -> None:
    before = HALVES.copy()
    settings = GenerateSettings(
        temperature=0.5, top_k=3, top_p=0.5, min_p=0.1, repetition_penalty=2.0, no_repeat_ngram_size=2, min_length=1
    )
    sampling_chain(settings, END)(HALVES, [1, 2, 1], 0)
    np.testing.assert_array_equal(HALVES, before)


def test_a_text_with_every_token_forbidden_has_nothing_to_draw() -> None:
    chain = sampling_chain(GenerateSettings(top_k=2, top_p=0.5, min_p=0.1), END, lambda _: np.arange(5))
    nothing = chain(HALVES, [], 0).logits
    assert draw(nothing, 5) is None
    assert greedy(nothing, 5) is None


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=50), st.data())
def test_every_filter_by_probability_keeps_the_likeliest(values: list[float], data: st.DataObject) -> None:
    logits = np.array(values, np.float32)
    share = data.draw(st.floats(0.01, 1.0))
    for filtered in (
        apply_top_k(logits, data.draw(st.integers(1, 60))),
        apply_top_p(logits, share),
        apply_min_p(logits, share),
    ):
        assert np.isfinite(filtered[int(np.argmax(logits))])
        still = np.isfinite(filtered)
        np.testing.assert_array_equal(filtered[still], logits[still])


@pytest.mark.parametrize("seed", range(20))
def test_filters_equal_those_of_transformers(seed: int) -> None:
    from transformers import (
        TFForcedBOSTokenLogitsProcessor,  # noqa: F401 - fails clearly where transformers has no TF processors
        TFMinLengthLogitsProcessor,
        TFNoBadWordsLogitsProcessor,
        TFNoRepeatNGramLogitsProcessor,
        TFRepetitionPenaltyLogitsProcessor,
        TFTemperatureLogitsWarper,
        TFTopKLogitsWarper,
        TFTopPLogitsWarper,
    )

    from gpt2simple.backend.tensorflow import tf

    draw_from = np.random.default_rng(seed)
    logits = (draw_from.standard_normal(256) * 3).astype(np.float32)
    tokens = draw_from.integers(0, 6, 40)
    words = ["ab", "\x01\x02", "\x05"]

    def theirs(processor: object) -> np.ndarray:
        ids = tf.constant(tokens[None], tf.int32)
        return np.asarray(processor(ids, tf.constant(logits[None]), len(tokens)))[0]  # type: ignore[operator]

    pairs = [
        (apply_temperature(logits, 0.7), theirs(TFTemperatureLogitsWarper(0.7))),
        (apply_top_k(logits, 17), theirs(TFTopKLogitsWarper(17))),
        (apply_top_p(logits, 0.83), theirs(TFTopPLogitsWarper(0.83))),
        (apply_repetition_penalty(logits, 1.3, tokens.tolist()), theirs(TFRepetitionPenaltyLogitsProcessor(1.3))),
        (forbid_repeated_ngrams(logits, 3, tokens.tolist()), theirs(TFNoRepeatNGramLogitsProcessor(3))),
        (
            forbid(logits, BadWords(words, BYTES)(tokens.tolist())),  # with one token per byte both mean the same
            theirs(TFNoBadWordsLogitsProcessor([list(word.encode()) for word in words], eos_token_id=200)),
        ),
        (forbid(logits, [200]), theirs(TFMinLengthLogitsProcessor(99, eos_token_id=200))),
    ]
    for ours, other in pairs:
        np.testing.assert_allclose(ours, np.where(other < -1e30, NEVER, other), rtol=1e-6)


def test_min_p_equals_the_formula_of_transformers() -> None:
    """transformers has it for PyTorch only: keep where probability >= share times the highest probability."""
    logits = (np.random.default_rng(0).standard_normal(1000) * 3).astype(np.float32)
    share = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert kept(apply_min_p(logits, 0.05)) == np.flatnonzero(share >= 0.05 * share.max()).tolist()


def test_drawn_frequencies_follow_the_distribution() -> None:
    """Chi-square over 20,000 draws with 4 degrees of freedom; above 33.4 with probability 1e-6 (and seeded)."""
    counts = np.bincount([draw(HALVES, draw_key(1, 0, i)) for i in range(20_000)], minlength=5)
    expected = 20_000 * np.exp(HALVES.astype(np.float64))
    assert ((counts - expected) ** 2 / expected).sum() < 33.4


def test_draws_along_samples_and_seeds_follow_the_distribution_too() -> None:
    """As above; a generator that depends on the position alone, or whose streams overlap, would fail."""
    expected = 20_000 * np.exp(HALVES.astype(np.float64))
    for keys in ([draw_key(1, i, 0) for i in range(20_000)], [draw_key(i, 0, 0) for i in range(20_000)]):
        counts = np.bincount([draw(HALVES, key) for key in keys], minlength=5)
        assert ((counts - expected) ** 2 / expected).sum() < 33.4


def test_draws_from_a_large_vocabulary_follow_the_distribution() -> None:
    """Chi-square over 20,000 draws from 5,000 tokens in 50 groups; above 122 with probability 1e-6 (and seeded)."""
    logits = np.random.default_rng(0).standard_normal(5000).astype(np.float32) * 3
    shares = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    group = np.searchsorted(np.cumsum(shares[np.argsort(logits)]), np.linspace(0, 1, 51)[1:-1])
    of_token = np.empty(5000, int)
    of_token[np.argsort(logits)] = np.searchsorted(group, np.arange(5000), side="right")
    counts = np.bincount([of_token[draw(logits, draw_key(5, 0, i))] for i in range(20_000)], minlength=50)
    expected = 20_000 * np.bincount(of_token, weights=shares, minlength=50)
    kept_groups = expected > 5
    assert ((counts - expected)[kept_groups] ** 2 / expected[kept_groups]).sum() < 122


@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1])
def test_only_tokens_that_are_allowed_are_drawn(key: int) -> None:
    logits = np.array([NEVER, 1.0, NEVER, 1.0, NEVER], np.float32)
    assert draw(logits, key) in (1, 3)
    assert draw(np.array([NEVER, -300.0, NEVER], np.float32), key) == 1


def test_nearly_equal_logits_nearly_always_draw_the_same_token() -> None:
    """What a draft lives from. Tokens laid side by side by their ids would differ in half of these draws."""
    generator = np.random.default_rng(0)
    logits = generator.standard_normal(50_257).astype(np.float32)
    near = logits + 0.01 * generator.standard_normal(50_257).astype(np.float32)
    same = [draw(logits, draw_key(0, 0, i)) == draw(near, draw_key(0, 0, i)) for i in range(300)]
    assert np.mean(same) > 0.97
    other = [draw(logits, draw_key(0, 0, i)) == draw(near, draw_key(0, 1, i)) for i in range(300)]
    assert np.mean(other) < 0.03, "another sample has noise of its own"


@pytest.mark.parametrize("k", [1, 3, 4, 40, 999, 1000])
def test_top_k_of_large_vocabularies_gives_what_sorting_gives(k: int) -> None:
    """1,100 logits are two in each of 512 groups, and some that are in none."""
    logits = np.round(np.random.default_rng(k).standard_normal(1100) * 3, 1).astype(np.float32)  # with ties
    filtered = apply_top_k(logits, k)
    assert kept(filtered) == sorted(np.lexsort((np.arange(1100), -logits))[:k].tolist())


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 1.9])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [1, 40, 999])
def test_filters_that_see_what_top_k_may_keep_leave_what_they_leave_of_all(
    temperature: float, k: int, sign: int
) -> None:
    """Logits so near each other that the temperature makes some equal: of these the lower ids are kept."""
    chain = sampling_chain(GenerateSettings(temperature=temperature, top_k=k, top_p=0.9, min_p=0.5), END)
    for seed in range(20):
        steps = np.random.default_rng(seed).integers(0, 40, 5000).astype(np.float32)
        close = sign * (np.float32(5 + seed / 10) + steps * np.float32(5e-7))
        close[seed::7] = NEVER
        of_all = apply_min_p(apply_top_p(apply_top_k(apply_temperature(close, temperature), k), 0.9), 0.5)
        left = chain(close, [], 0)
        assert kept(*left) == kept(of_all)
        assert [draw(left.logits, key, left.tokens) for key in range(9)] == [draw(of_all, key) for key in range(9)]
        assert greedy(left.logits, 0, left.tokens) == greedy(of_all, 0)


@pytest.mark.parametrize("spread", [0.1, 3.0, 8.0], ids=["nearly all tokens", "thousands", "few"])
@pytest.mark.parametrize("p", [0.001, 0.5, 0.9, 0.999])
def test_top_p_of_large_vocabularies_gives_what_sorting_gives(spread: float, p: float) -> None:
    logits = (np.random.default_rng(5).standard_normal(50_257) * spread).astype(np.float32)
    descending = np.argsort(-logits, kind="stable")
    shares = np.cumsum(np.exp(logits[descending] - logits.max()), dtype=np.float64)
    expected = descending[: int(np.searchsorted(shares, p * shares[-1])) + 1]
    assert kept(apply_top_p(logits, p)) == sorted(expected.tolist())


def test_top_k_of_logits_that_are_mostly_forbidden_already() -> None:
    logits = np.full(50_000, NEVER, np.float32)
    logits[[7, 30_000, 49_999]] = [1.0, 3.0, 2.0]
    np.testing.assert_array_equal(apply_top_k(logits, 40), logits)
    assert kept(apply_top_k(logits, 2)) == [30_000, 49_999]


def test_draws_depend_on_nothing_but_their_place_in_a_fresh_process() -> None:
    code = (
        "import numpy as np; from gpt2simple.generation.sampling import draw, draw_key\n"
        "print([draw(np.zeros(1000, np.float32), draw_key(*place)) for place in [(0, 3, 5), (2**62, 0, 199)]])"
    )
    here = [draw(np.zeros(1000, np.float32), draw_key(*place)) for place in [(0, 3, 5), (2**62, 0, 199)]]
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here)
    assert here == [410, 0], "golden"
    assert draw_key(12, 3, 4) != draw_key(1, 23, 4)


def test_log_probability_is_a_log_softmax() -> None:
    assert log_probability(HALVES + 7, 1) == pytest.approx(math.log(0.25), abs=1e-6)
