"""Copies and near copies stay on one side; what only looks alike is left apart."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt2simple.data import duplicates as duplicates_module
from gpt2simple.data import sketches as sketches_module
from gpt2simple.data.documents import TextPart, split_long
from gpt2simple.data.duplicates import copies, groups, near_copies
from gpt2simple.data.sketches import Sketches, SketchWriter, part_hashes
from gpt2simple.data.split import Split, split
from gpt2simple.data.texts import texts_of
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings
from gpt2simple.testing import byte_tokenizer
from tests.helpers.texts import encode

WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "tu", "re", "so") for b in ("n", "r", "st", "l") for c in "aeiouy"]


def story(number: int, words: int = 120, sentence: int = 10) -> str:
    """A text of sentences that no other number gives."""
    rng = random.Random(number)
    drawn = [rng.choice(WORDS) for _ in range(words)]
    lines = [drawn[i : i + sentence] for i in range(0, words, sentence)]
    return "\n".join(f'{" ".join(line).capitalize()}, "{line[0]}" - it\'s so.' for line in lines)


def sketched(texts: list[str]) -> Sketches:
    writer = SketchWriter()
    writer.add(part_hashes(texts, [0] * len(texts)), [True] * len(texts))
    return writer.finish()


def grouped(texts: list[str]) -> list[int]:
    found = sketched(texts)
    return groups(copies(found), near_copies(found).pairs).tolist()


def reordered(text: str) -> str:
    lines = text.split("\n")
    random.Random(0).shuffle(lines)
    return "\n".join(lines)


def replaced(text: str, share: float = 0.1) -> str:
    rng = random.Random(0)
    return " ".join(rng.choice(WORDS) if rng.random() < share else word for word in text.split())


EDITS: dict[str, Callable[[str], str]] = {
    "one line end more": lambda text: text + "\n",
    "other case": str.upper,
    "other quotes and dashes": lambda text: text.replace('"', "”").replace("'", "’").replace("-", "—"),
    "blanks": lambda text: text.replace(" ", "  ").replace("\n", "\r\n\r\n"),
    "other order": reordered,
    "a word in ten replaced": replaced,
    "a name changed": lambda text: text.replace(text.split()[3], "Rosalind"),
    "a beginning added": lambda text: "Once upon a time there was something else to be told. " + text,
    "a half inside a longer one": lambda text: text[: len(text) // 2],
    "inside a document of twenty": lambda text: "\n".join([story(i) for i in range(900, 920)] + [text]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edits_are_found(edit: Callable[[str], str]) -> None:
    texts = [story(1), story(2), edit(story(1)), story(3)]
    assert grouped(texts) == [0, 1, 0, 3]


SCRIPTS = {
    "Chinese": "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิต่างมีเหตุผลและมโนธรรม",
    "Russian": "Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью "
    "и должны поступать в отношении друг друга в духе братства во всём мире сегодня и завтра.",
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_other_scripts(text: str) -> None:
    third = len(text) // 3
    assert grouped([text, text[2 * third :] + text[: 2 * third], story(1), text[::-1]]) == [0, 0, 2, 3]


LICENCE = story(800, 60)
APART: dict[str, list[str]] = {
    "a heading": [f"The collected tales of the old town, volume one, with notes\n{story(i)}" for i in range(4)],
    "a licence longer than the text, in many": [f"{LICENCE}\n{story(i, 40)}" for i in range(60)],
    "short jokes of one pattern": [
        f"Why did the {animal} cross the road? Because it wanted {what}."
        for animal, what in (("chicken", "to be alone"), ("fox", "the chicken"), ("farmer", "both of them"))
    ],
    "posts of a few words": ["so true", "so true lol", "lol", "so sad", "good morning all", "good morning everyone"],
    "formulas": ["1 + 1", "1 - 1 = 0", "1 * 1"],
    "nothing but signs": ["!!!", "?", "...", ":-)"],
    "repetitions": ["ha " * 300, "ho " * 300, story(1)],
}


@pytest.mark.parametrize("texts", APART.values(), ids=APART)
def test_what_only_looks_alike_stays_apart(texts: list[str]) -> None:
    assert grouped(texts) == list(range(len(texts)))


def test_copies_of_texts_without_words_are_found() -> None:
    assert grouped(["!!!", "?", "!!! ", "😀", "😡", "😀\n"]) == [0, 1, 0, 3, 4, 3]


def test_shares_are_of_each_of_the_two() -> None:
    whole = story(1, 200)
    found = near_copies(sketched([whole, whole[: len(whole) // 4], story(2)]))
    assert found.pairs.tolist() == [[0, 1]]
    assert found.shares[0, 0] == pytest.approx(0.25, abs=0.03)
    assert found.shares[0, 1] > 0.97


def test_many_versions_of_one_text_are_one_group() -> None:
    versions = [replaced(story(1, 200), 0.02 * i / 100) + f" {WORDS[i]}" for i in range(100)]
    assert grouped([*versions, story(2), story(3)]) == [0] * 100 + [100, 101]


def test_a_document_in_parts_is_the_same_as_in_one() -> None:
    text = story(5, 4000)
    parts = [part.text for part in split_long([TextPart(text)], 500)]
    assert len(parts) > 10
    writer = SketchWriter()
    for part in [*parts, text]:
        writer.add(part_hashes([part], [0]), [part in (parts[-1], text)])
    found = writer.finish()
    assert copies(found).tolist() == [0, 0]
    assert found.counts[0] == pytest.approx(found.counts[1], rel=0.05)


@pytest.mark.parametrize("cuts", [(), (500,), (1000, 1500), (1200, 1300, 2500)])
def test_a_long_document_is_looked_into_at_its_beginning(
    cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it arrives; copies of the whole are copies, and those of the beginning are near copies."""
    monkeypatch.setattr(sketches_module, "LOOKED_INTO", 1000)
    text = story(6, 600)
    texts = [text, text[:2000] + story(7, 100), text, text.upper()]
    writer = SketchWriter()
    for each in texts:
        places = [*(place for place in cuts if each is text), len(each)]
        for begin, end in itertools.pairwise([0, *places]):
            writer.add(part_hashes([each[begin:end]], [begin]), [end == len(each)])
    found = writer.finish()
    assert copies(found).tolist() == [0, 1, 0, 3]
    assert groups(copies(found), near_copies(found).pairs).tolist() == [0, 0, 0, 0]
    assert found.counts.max() < 200


def test_a_long_text_is_sampled_and_near_copies_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches_module, "MOST_GRAMS", 10_000)
    monkeypatch.setattr(duplicates_module, "_AT_ONCE", 500)
    texts = [story(i, 200) for i in range(100)]
    texts += [replaced(text, 0.03) for text in texts[:20]]
    writer = SketchWriter()
    for text in texts:
        writer.add(part_hashes([text[:300]], [0]), [False])  # and one document is open when the sample is thinned out
        writer.add(part_hashes([text[300:]], [300]), [True])
    found = writer.finish()
    assert found.level == 2
    assert len(found.grams) == found.counts.sum() < 10_000
    label = groups(copies(found), near_copies(found).pairs)
    assert label[:100].tolist() == list(range(100))
    assert np.mean(label[100:] == np.arange(20)) >= 0.9
    fine = sketched(texts[:1])
    assert fine.followed_by(found).level == found.followed_by(fine).level == 2


# --- split ---


def parted(tmp_path: Path, texts: list[str], validation: list[str] | None = None, share: float = 0.1) -> Split:
    own = encode(validation, tmp_path / "cache") if validation else None
    return split(encode(texts, tmp_path / "cache"), TextSettings(validation_split=share), 64, validation=own)


def test_no_near_copy_of_a_held_out_text_is_learned(tmp_path: Path) -> None:
    stories = [story(i) for i in range(100)]
    texts = [*stories, *(replaced(text, 0.05) + "\n" for text in stories)]
    found = parted(tmp_path, texts)
    assert found.held_out is not None
    held_out = texts_of(found.held_out, byte_tokenizer())
    assert 15 <= len(held_out) <= 25
    numbers = [texts.index(text) % 100 for text in held_out]
    assert all(numbers.count(number) == 2 for number in numbers)
    assert found.messages == (
        f"{len(held_out)} of the {len(held_out)} held-out documents are copies or near copies of one another, and were "
        "held out together.",
    )


def test_a_text_of_one_pattern_is_parted_and_what_that_means_is_said(tmp_path: Path) -> None:
    pattern = story(1, 60)
    found = parted(tmp_path, [f"{pattern} {number} {story(number, 3)}" for number in range(200)])
    assert found.held_out is not None
    assert found.held_out.documents >= 10
    assert found.messages[0].startswith(
        "Most of the text is near copies of one another, as texts made from a template "
    )
    assert "of the held-out text is in the training part too, in passages of " in found.messages[-1]
    assert found.messages[-1].endswith("so the held-out loss will be lower than on new text.")


def test_repeated_passages_of_one_document_are_told(tmp_path: Path) -> None:
    verses = [story(i, 40) for i in range(60)]
    refrain = story(99, 30)
    (message,) = parted(tmp_path, ["\n".join(f"{verse}\n{refrain}" for verse in verses)]).messages
    assert message.startswith(("35%", "36%", "37%", "38%", "39%", "40%", "41%", "42%"))
    assert parted(tmp_path, ["\n".join(verses)]).messages == ()


def test_near_copies_of_a_validation_file_are_not_learned(tmp_path: Path) -> None:
    texts = [story(i) for i in range(10)]
    own = [story(0).upper(), replaced(story(1), 0.05), reordered(story(2)), story(50)]
    found = parted(tmp_path, texts, own)
    assert found.train.documents == 7
    assert found.messages == (
        "Not trained on: 1 document that is in validation_file too and 2 near copies of documents in validation_file.",
    )
    assert parted(tmp_path, texts, [story(50)]).messages == ()


def test_a_long_document_with_a_short_one_of_the_validation_file_inside_is_learned(tmp_path: Path) -> None:
    book = "\n".join(story(i) for i in range(20))
    found = parted(tmp_path, [book, story(30)], [story(3), story(40)])
    assert found.train.documents == 2
    (message,) = found.messages
    assert "of the held-out text is in the training part too" in message


def test_a_validation_file_of_the_same_pattern_does_not_take_the_text_away(tmp_path: Path) -> None:
    pattern = story(1, 60)
    texts = [f"{pattern} {number} {story(number, 3)}" for number in range(20)]
    found = parted(tmp_path, texts[:15], texts[15:])
    assert found.train.documents == 15
    assert found.messages[0] == (
        "15 near copies of documents in validation_file stay in the training part, which would lose half of its text "
        "or more without them."
    )
    with pytest.raises(DataError, match="is in validation_file too, so nothing would be left to train on"):
        parted(tmp_path, [story(1)], [story(1).upper()])
