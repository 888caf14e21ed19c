"""Documents and their parts: the same texts and the same ids, however a text arrives and is cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.documents import END_MARK, TextPart, documents, split_long
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.testing import sample_text

TRAINED = Tokenizer.train([sample_text(500)], 400)

tricky = st.lists(
    st.sampled_from(
        [
            "word",
            " ",
            "  ",
            "\n",
            "\t",
            "\x1c",
            "\u3000",
            "\xa0",
            "'s",
            "'",
            "!!",
            ".",
            ",",
            "12",
            "½",
            "é",
            "漢",
            "。",
            "_",
        ]
    ),
    max_size=120,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(tricky, st.integers(1, 12))
def test_parts_have_the_ids_of_the_whole(text: str, size: int) -> None:
    parts = [part.text for part in split_long([TextPart(text)], size)]
    assert "".join(parts) == text
    assert [i for part in parts for i in TRAINED.encode(part)] == TRAINED.encode(text)


with_tokens = TRAINED.with_added(["<a b>", "x. y", "b>"])
token_texts = st.lists(st.sampled_from(["<a b>", "x. y", "<a", " b", "b>", " ", "x", ". ", "\n", "the house, "]))


@settings(max_examples=400, deadline=None)
@given(token_texts.map("".join), st.integers(1, 12))
def test_no_cut_within_an_added_token(text: str, size: int) -> None:
    parts = [part.text for part in split_long([TextPart(text)], size, may_cut=with_tokens.may_cut)]
    assert "".join(parts) == text
    assert [i for part in parts for i in with_tokens.encode(part)] == with_tokens.encode(text)


def test_no_cut_before_what_only_python_calls_white_space() -> None:
    """U+001C is white space for str.isspace() but not for the tokenizer, which may join it with what stands before."""
    ids = {**TRAINED._vocabulary.ids, b"!\x1c": 500}
    merges = (*TRAINED._vocabulary.merges, (b"!", b"\x1c"))
    tokenizer = Tokenizer(replace(TRAINED._vocabulary, ids=ids, merges=merges))
    parts = [part.text for part in split_long([TextPart("a b!\x1c c d e f g h")], 6)]
    assert len(parts) > 1
    assert [i for part in parts for i in tokenizer.encode(part)] == tokenizer.encode("".join(parts))


def test_a_text_without_a_place_to_cut_keeps_its_content() -> None:
    parts = list(split_long([TextPart("x" * 70, False), TextPart("x" * 35)], 10, longest=50))
    assert "".join(part.text for part in parts) == "x" * 105
    assert max(len(part.text) for part in parts) <= 50
    assert [part.ends for part in parts] == [False] * (len(parts) - 1) + [True]


marked = st.lists(st.sampled_from(["a", " ", "\r", "\n", "\r\n", END_MARK, END_MARK + "\r\n", END_MARK[:5], "|>", "<"]))


@settings(max_examples=400, deadline=None)
@given(marked.map("".join), st.lists(st.integers(0, 60), max_size=6))
def test_documents_do_not_depend_on_how_the_text_arrives(text: str, cuts: list[int]) -> None:
    def joined(parts: list[TextPart]) -> list[str]:
        found, held = [], ""
        for part, ends in documents(parts):
            held += part
            if ends:
                found.append(held)
                held = ""
        assert not held
        return found

    places = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    arriving = [TextPart(text[a:b], False) for a, b in pairwise(places)]
    expected = [d for d in _split_by_definition(text) if d.strip()]
    assert joined([*arriving, TextPart("")]) == joined([TextPart(text)]) == expected


def _split_by_definition(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace(END_MARK + "\n", END_MARK).split(END_MARK)
