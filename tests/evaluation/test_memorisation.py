"""Copied passages: planted ones are found exactly, unplanted text is not accused, answers equal a plain search."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.errors import DataError
from gpt2simple.evaluation import ngrams
from gpt2simple.evaluation.memorisation import TrainingText, shortened
from gpt2simple.evaluation.ngrams import BREAK, CopyIndex, Vocabulary, WordSequence


def longest_at(source, words, start):
    """By plain search: the longest passage from ``start`` on that stands in the source, and its places."""
    best, places = 0, []
    for place in range(len(source)):
        length = 0
        while (
            start + length < len(words)
            and place + length < len(source)
            and source[place + length] == words[start + length] != BREAK
        ):
            length += 1
        if length > best:
            best, places = length, [place]
        elif length == best and length:
            places.append(place)
    return best, places


def by_plain_search(source, words, n):
    found, end = [], 0
    for start in range(len(words)):
        length, places = longest_at(source, words, start)
        if length >= n and start + length > end:
            found.append((start, length, places))
            end = start + length
    return found


# Three different words make long and frequent repeats, the hard case.
WORDS = st.lists(st.sampled_from([0, 1, 2, BREAK]), max_size=60)


@given(WORDS, WORDS, st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_every_answer_is_that_of_a_plain_search(source, words, n):
    index = CopyIndex(np.array(source, np.int32), n)
    found = [(m.start, m.words, m.places.tolist()) for m in index.matches(np.array(words, np.int32))]
    assert found == by_plain_search(source, words, n)
    copied = index.copied(np.array(words, np.int32)).tolist()
    assert copied == [longest_at(source, words, i)[0] >= n for i in range(len(words) - n + 1)]


@given(WORDS, WORDS)
@settings(max_examples=100, deadline=None)
def test_answers_stay_exact_where_all_numbers_collide(source, words):
    usual = ngrams.gram_hashes
    try:
        ngrams.gram_hashes = lambda w, n: np.zeros(max(len(w) - n + 1, 0), np.uint64)
        index = CopyIndex(np.array(source, np.int32), 3)
        found = [(m.start, m.words, m.places.tolist()) for m in index.matches(np.array(words, np.int32))]
    finally:
        ngrams.gram_hashes = usual
    assert found == by_plain_search(source, words, 3)


def made_up(count, seed, prefix):
    draw = random.Random(seed)
    return [f"{prefix}{draw.randrange(500)}" for _ in range(count)]


@given(st.integers(8, 40), st.integers(0, 160), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_a_planted_copy_is_found_at_its_place_and_length(length, place, seed):
    source = made_up(200, seed, "s")
    sample = [*made_up(15, seed + 1, "a"), *source[place : place + length], *made_up(15, seed + 2, "b")]
    length = min(length, 200 - place)
    text = "\n".join(source)
    report = TrainingText(["another text", text]).find_copies([" ".join(sample)])
    assert [p.words for p in report.passages] == [length]
    passage = report.passages[0]
    assert passage.text == " ".join(source[place : place + length]) == report.samples[0][passage.start : passage.end]
    assert (passage.document, passage.line) == (2, place + 1)
    assert text[passage.character :].startswith(passage.source)
    assert passage.source == passage.text.replace(" ", "\n")
    assert report.copied_grams == length - 7
    assert report.grams == len(sample) - 7


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_unplanted_text_is_not_accused(seed):
    """The same 500 words in both: 8 words in the same order by chance have odds of 1 in 10^16."""
    report = TrainingText([" ".join(made_up(300, seed, "w"))]).find_copies([" ".join(made_up(100, seed + 1, "w"))])
    assert report.passages == ()
    assert report.share == 0.0
    assert not report.is_memorised


def test_case_and_punctuation_do_not_hide_a_copy_and_texts_do_not_run_together():
    training = TrainingText(["one two three four -- FIVE_six, seven's eight nine!", "ten eleven"])
    report = training.find_copies(
        ['"One, two: three? Four. Five six seven S eight."', "eight nine ten eleven one two three four"]
    )
    assert [(p.sample, p.words, p.text) for p in report.passages] == [
        (0, 9, "One, two: three? Four. Five six seven S eight")
    ]
    assert report.passages[0].source == "one two three four -- FIVE_six, seven's eight"
    assert report.sample_shares == (1.0, 0.0)
    assert (report.copied_spans(0), report.copied_spans(1)) == (((1, 46),), ())
    shown = "&#34;<mark>One, two: three? Four. Five six seven S eight</mark>.&#34;"
    assert f"<blockquote>{shown}</blockquote>" in report._repr_html_()


def test_overlapping_passages_are_marked_once():
    words = made_up(30, 0, "w")
    training = TrainingText([" ".join(words[:20]), " ".join(words[10:])])
    report = training.find_copies([f"<b> {' '.join(words)} \x00"])
    assert [p.words for p in report.passages] == [20, 20]
    assert report.copied_spans(0) == ((4, 4 + len(" ".join(words))),)
    assert f"<blockquote>&lt;b&gt; <mark>{' '.join(words)}</mark> \\x00</blockquote>" in report._repr_html_()


def test_the_held_out_text_says_what_is_natural():
    common = "once upon a time there was a king who"
    training = TrainingText(
        [f"{common} laughed"], held_out=[f"{common} cried", "nothing of this stands there at all, not once"]
    )
    report = training.find_copies([f"{common} slept"])
    assert (report.held_out_copied_grams, report.held_out_grams) == (2, 5)
    assert report.natural_share == 0.4
    assert report.share == pytest.approx(2 / 3)
    assert report.is_memorised
    assert "66.7% of the samples' sequences of 8 words occur in the training text" in report.summary()
    assert "held-out text: 40.0%" in report.summary()
    assert "9 words, in document 1 at line 1" in report.summary()
    assert "the model has memorised it" in report.summary()
    values = json.loads(json.dumps(report.to_json()))
    assert values["passages"][0]["words"] == 9
    assert "<mark>" in report._repr_html_()


def test_short_samples_and_missing_texts_are_reported():
    report = TrainingText(["a b c"]).find_copies(["a b c"])
    assert "fewer than 8 words" in report.conclusion()
    assert "nothing was held out" in report.summary()
    with pytest.raises(DataError, match=r"no training text .* Give the text that the model was trained on"):
        TrainingText([])


def test_words_are_found_again_in_long_texts():
    text = "".join(f"wörd{number}, " for number in range(60_000))
    sequence = WordSequence(["first", text], Vocabulary())
    for number in (0, 31_234, 59_999):
        document, start, end = sequence.place(2 + number, 1)
        assert (document, text[start:end]) == (1, f"wörd{number}")


def test_long_passages_are_shown_short():
    assert shortened("a\n b") == "a b"
    assert len(shortened("word " * 100)) < 130


def test_the_last_samples_are_judged_however_many_early_ones_copied_nothing():
    text = " ".join(made_up(60, 0, "s"))
    early = [" ".join(made_up(300, seed, "a")) for seed in range(10)]
    late = [f"{' '.join(made_up(100, seed, 'b'))} {text}" for seed in range(3)]
    training = TrainingText([text])
    report = training.find_copies([*early, *late], judged=3)
    assert report.share < 0.05 < report.judged_share == pytest.approx(53 / 153)
    assert report.is_memorised
    assert "In the last 3 samples: 34.6%." in report.summary()
    assert report.conclusion() == "The last 3 samples repeat the training text: the model has memorised it."
    assert (report.to_json()["judged_samples"], report.to_json()["judged_share"]) == (3, report.judged_share)
    assert not training.find_copies([*late, *early], judged=3).is_memorised
    assert (
        training.find_copies(["short"] * 3 + early, judged=3)
        .conclusion()
        .startswith("The last 3 samples repeat the tr")
    )
    assert (
        training.find_copies([*early, *["short"] * 3], judged=3)
        .conclusion()
        .startswith("The last 3 samples have fewer")
    )
    assert "last" not in training.find_copies(late, judged=5).summary()
