"""Copied passages: planted ones are found exactly, unplanted text is not accused, answers equal a plain search."""

import json
import random
import unicodedata

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
    assert report.written.copied == length - 7
    assert report.written.grams == len(sample) - 7


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_unplanted_text_is_not_accused(seed):
    """The same 500 words in all: 8 words in the same order by chance have odds of 1 in 10^16."""
    source, unseen, sample = (" ".join(made_up(300, seed + number, "w")) for number in range(3))
    report = TrainingText([source], held_out=[unseen]).find_copies([sample])
    assert report.passages == ()
    assert report.share == 0.0
    assert report.is_memorised is False


def log_lines(count, seed):
    draw = random.Random(seed)
    return "\n".join(
        f"2024 INFO worker {draw.randrange(4)} finished job in less than {draw.randrange(4)} seconds without any errors"
        for _ in range(count)
    )


def test_a_text_that_always_repeats_itself_is_not_memorised():
    """Each line stands in the training text, also those that the model never saw."""
    samples = [log_lines(10, seed) for seed in range(3)]
    alone = TrainingText([log_lines(2000, 7)]).find_copies(samples)
    assert alone.share > 0.5
    assert alone.is_memorised is None
    assert alone.conclusion() == (
        "Whether the model has memorised the text cannot be said: there is no held-out text to compare with, and "
        "unseen text may repeat the training text just as much. Hold out text: validation_split=0.1, or a "
        "validation_file."
    )
    assert json.loads(json.dumps(alone.to_json()))["is_memorised"] is None
    assert "cannot be said: there is no held-out text" in alone.summary()
    beside = TrainingText([log_lines(2000, 7)], held_out=[log_lines(200, 8)]).find_copies(samples)
    assert beside.is_memorised is False
    assert beside.conclusion() == "The samples do not repeat the training text clearly more than unseen text does."


@pytest.mark.parametrize(
    ("sample_words", "held_out_words", "copied", "memorised"),
    [
        (14, 1000, 0, None),  # 7 sequences
        (50, 1000, 50, None),  # 43
        (129, 1000, 129, None),
        (130, 130, 0, False),  # 123 of each
        (130, 129, 0, None),
        (300, 8, 300, None),  # one sequence of held-out text is no baseline, however much the samples copy
        (300, 1000, 300, True),
        (300, 1000, 16, False),
    ],
)
def test_a_judgement_needs_enough_sequences_on_both_sides(sample_words, held_out_words, copied, memorised):
    source = made_up(2000, 0, "s")
    sample = [*source[:copied], *made_up(sample_words - copied, 1, "a")]
    training = TrainingText([" ".join(source)], held_out=[" ".join(made_up(held_out_words, 2, "h"))])
    report = training.find_copies([" ".join(sample)])
    assert report.is_memorised is memorised
    assert report.to_json()["is_memorised"] is memorised
    if memorised is None:
        assert (
            "Whether the model has memorised the text cannot be said: that takes 123 sequences of 8 words in the "
            f"samples, which have {sample_words - 7:,}, and in the held-out text, which has {held_out_words - 7:,}. "
            "Write more or longer samples (sample_every, sample_length), or hold out more text."
        ) in report.summary()


def test_several_copied_passages_are_more_evidence_than_one_as_long():
    source = made_up(2000, 0, "s")
    training = TrainingText([" ".join(source)], held_out=[" ".join(made_up(131, 2, "h"))])
    one = [" ".join(source[:300])]
    many = [" ".join(source[100 * number :][:100]) for number in range(0, 9, 3)]
    assert training.find_copies(one).is_memorised is None
    assert (
        "100.0% of the samples and 0.0% of the held-out text are copied, in so few passages that the difference may be "
        "chance. Write more" in training.find_copies(one).conclusion()
    )
    assert training.find_copies(many).is_memorised is True


# A sentence of 15 words, and the same with other vowels, points or tones: another text to anyone who reads it.
OTHER_TEXTS = {
    "Hindi": ("राम की बात सुनी और सीता ने पानी से भरी मटकी को घर में रख दिया", str.maketrans("ािीेो", "ीुोाे")),
    "Tamil": ("அவன் பாடி முடித்து விட்டு வீடு சென்று தூங்கி காலை எழுந்து மீண்டும் பாடினான்", str.maketrans("ாிீுூ", "ூாுிீ")),
    "Arabic": ("كَتَبَ دَرَسَ جَلَسَ ذَهَبَ فَتَحَ شَرَحَ رَسَمَ نَظَرَ سَمَعَ وَقَفَ", str.maketrans("\u064e", "\u0650")),
    "Hebrew": ("שָׁלוֹם דָּבָר מָקוֹם גָּדוֹל זָהָב חָכָם נָבִיא כָּבוֹד עָפָר קָטָן", str.maketrans("\u05b8", "\u05b7")),
    "Thai": ("ที่นี่มีสีดีที่สี่ปีนี้มีทีวีดี", str.maketrans("\u0e35", "\u0e36")),
    "accents": (unicodedata.normalize("NFD", "été déjà côte âge rêve écho père mère ré"),
                str.maketrans("\u0301\u0300\u0302", "\u0300\u0302\u0301")),
}  # fmt: skip


@pytest.mark.parametrize("language", OTHER_TEXTS)
def test_other_vowel_signs_points_and_accents_are_another_text(language):
    text, exchanged = OTHER_TEXTS[language]
    training = TrainingText([text])
    assert training.find_copies([text.translate(exchanged)]).share == 0.0
    assert training.find_copies([text]).share == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("राम की बात", ["राम", "की", "बात"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("كَتَبَ الدَّرْسَ", ["كَتَبَ", "الدَّرْسَ"]),
        ("می\u200cروم خانه", ["می\u200cروم", "خانه"]),
        ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ("สวัสดีครับ", ["ส", "วั", "ส", "ดี", "ค", "รั", "บ"]),
        ("ສະບາຍ", ["ສ", "ະ", "ບ", "າ", "ຍ"]),
        ("ភាសា", ["ភា", "សា"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("我愛GPT2模型。好", ["我", "愛", "GPT2", "模", "型", "好"]),
        ("日本のカメラ", ["日", "本", "の", "カ", "メ", "ラ"]),
        ("か\u3099き", ["か\u3099", "き"]),
        ("안녕 세계", ["안녕", "세계"]),
        ("cafe\u0301, snake_case's", ["cafe\u0301", "snake", "case", "s"]),
        ("❤\ufe0f x² Ünï 👩\u200d💻", ["x²", "Ünï"]),
    ],
)
def test_words_are_those_of_the_script(text, words):
    assert ngrams.WORD.findall(text) == words


def test_words_are_the_same_however_their_accents_and_syllables_are_encoded():
    for text in ("Ångström éÉ naïve", "안녕 세계", "がぎ", "שָׁלוֹם"):
        numbers = Vocabulary()
        assert numbers.numbers(unicodedata.normalize("NFD", text)) == numbers.numbers(text.upper())


@pytest.mark.parametrize("unit", ["漢字", "कीबोर्ड ", "wo\u0301rd ", "ไทย", "\u0301\u0301"])
def test_a_long_text_is_cut_between_words(unit, monkeypatch):
    monkeypatch.setattr(ngrams, "_SLICE_CHARACTERS", 7)
    text, numbers = unit * 30, Vocabulary()
    sequence = WordSequence([text], numbers)
    assert sequence.words[:-1].tolist() == numbers.numbers(text)
    found = [text[start:end] for _, start, end in (sequence.place(i, 1) for i in range(len(sequence.words) - 1))]
    assert found == ngrams.WORD.findall(text)


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
    assert (report.held_out.copied, report.held_out.grams) == (2, 5)
    assert report.natural_share == 0.4
    assert report.share == pytest.approx(2 / 3)
    assert "66.7% of the samples' sequences of 8 words occur in the training text" in report.summary()
    assert "held-out text: 40.0%" in report.summary()
    assert "9 words, in document 1 at line 1" in report.summary()
    values = json.loads(json.dumps(report.to_json()))
    assert values["passages"][0]["words"] == 9
    assert values["conclusion"] == report.conclusion()
    assert (values["held_out_copied_grams"], values["held_out_grams"]) == (2, 5)
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
    training = TrainingText([text], held_out=[" ".join(made_up(1000, 9, "h"))])
    report = training.find_copies([*early, *late], judged=3)
    assert report.share < 0.05 < report.judged_share == pytest.approx(53 / 153)
    assert report.is_memorised
    assert "In the last 3 samples: 34.6%." in report.summary()
    assert report.conclusion() == "The last 3 samples repeat the training text: the model has memorised it."
    assert (report.to_json()["judged_samples"], report.to_json()["judged_share"]) == (3, report.judged_share)
    assert training.find_copies([*late, *early], judged=3).is_memorised is False
    assert training.find_copies(["short"] * 3 + early, judged=3).conclusion() == (
        "The last 3 samples do not repeat the training text clearly more than unseen text does."
    )
    assert (
        training.find_copies([*early, *["short"] * 3], judged=3)
        .conclusion()
        .startswith("The last 3 samples have fewer")
    )
    assert "last" not in training.find_copies(late, judged=5).summary()


def test_words_are_compared_without_their_case_as_in_the_search_for_copies() -> None:
    assert len(set(Vocabulary().numbers("Straße STRASSE strasse"))) == 1
