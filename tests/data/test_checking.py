"""Passages that another text has too, whatever tasks the texts come in."""

from __future__ import annotations

import pytest

from gpt2simple.data.checking import Passages, read_words
from gpt2simple.data.documents import TextPart
from gpt2simple.errors import DataError
from gpt2simple.settings.text import TextSettings
from tests.data.test_duplicates import story


def test_passages_are_found_where_they_are() -> None:
    passages = Passages()
    passages.add([TextPart(story(1)), TextPart(story(2), False)])
    passages.add([TextPart("\n" + story(3)), TextPart("too short")])
    passages.look_in([TextPart(story(4)), TextPart(story(3).upper())])
    ((document, share, word),) = passages.found()
    assert document == 1
    assert word == pytest.approx(len(story(2).split()) + 12 * 2, abs=24)  # `it's` is two words, `-` is none
    assert share == pytest.approx(0.5, abs=0.01)


def test_nothing_shared_and_nothing_long_enough() -> None:
    for text in (story(1), "few words"):
        passages = Passages()
        passages.add([TextPart(text)])
        passages.look_in([TextPart(story(2)), TextPart("few words")])
        assert list(passages.found()) == []


def test_beginnings_are_of_documents_not_of_parts() -> None:
    found = read_words(iter(["  One\n two ", "x " * 300_000, "Three"]), TextSettings())
    assert [text[:7] for text in found.beginnings] == ["One two", "x x x x", "Three"]
    with pytest.raises(DataError, match=r"holds no text, or nothing but white space\. Give a text to check"):
        read_words(iter([" ", ""]), TextSettings())
