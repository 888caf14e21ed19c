"""Pieces of text: whole characters, stop strings across tokens."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpt2simple.generation.text import TextStream

HOSTILE = st.one_of(st.text(), st.text(alphabet="aäß€😀\u200d\u0301\ufeff\x00"), st.just("👩‍👩‍👧‍👦🇩🇪"))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Bytes as tokens that end at some places, which may lie within characters."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def feed(stream: TextStream, tokens: list[bytes]) -> list[str]:
    pieces = []
    for number, token in enumerate(tokens):
        pieces.append(stream.add(token, last=number == len(tokens) - 1))
        if stream.stopped:
            break
    return pieces


@settings(deadline=None)
@given(HOSTILE, st.lists(st.integers(0, 1000), max_size=20))
@example("😀", [1, 2, 3])
def test_pieces_join_to_the_text_however_it_is_cut(text: str, places: list[int]) -> None:
    assert "".join(feed(TextStream(), cut(text.encode(), places))) == text


@settings(deadline=None)
@given(st.binary(max_size=40), st.lists(st.integers(0, 1000), max_size=20))
@example(b"\xf0\x9f\x98", [1])
@example(b"\xed\xa0\x80", [1, 2])
def test_bytes_that_are_no_text_join_to_what_decoding_all_at_once_gives(data: bytes, places: list[int]) -> None:
    assert "".join(feed(TextStream(), cut(data, places))) == data.decode("utf-8", errors="replace")


@settings(deadline=None)
@given(HOSTILE, st.lists(st.integers(0, 1000), max_size=20))
def test_no_piece_ends_within_a_character(text: str, places: list[int]) -> None:
    stream, sent, got = TextStream(), b"", ""
    for token in cut(text.encode(), places):
        sent += token
        got += stream.add(token)
        assert got == sent.decode("utf-8", errors="ignore")


@settings(deadline=None)
@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 99)),
)
def test_a_stop_string_ends_the_text_at_a_place_that_the_cut_does_not_change(
    text: str, stops: list[str], places: list[int]
) -> None:
    """Fed byte by byte, the first stop string to be complete counts; what came before it is the text."""
    stream = TextStream(stops)
    joined = "".join(feed(stream, cut(text.encode(), places)))
    first = min((text.find(stop) for stop in stops if stop in text), default=None)
    assert stream.stopped == (first is not None)
    assert not any(stop in joined for stop in stops)
    if len(stops) <= 1:
        assert joined == (text if first is None else text[:first])


@pytest.mark.parametrize("tokens", [[b"one#", b"##", b"#two"], [b"one", b"####two"], [b"one###", b"#", b"two"]])
def test_a_stop_string_is_found_across_tokens_and_is_not_part_of_the_text(tokens: list[bytes]) -> None:
    stream = TextStream(["####"])
    assert "".join(feed(stream, tokens)) == "one"
    assert stream.stopped


def test_what_only_resembled_a_stop_string_is_returned() -> None:
    stream = TextStream(["###"])
    assert stream.add(b"a##") == "a"
    assert stream.add(b"b") == "##b"
    assert stream.add(b"##", last=True) == "##"
    assert not stream.stopped


def test_a_stop_string_counts_only_once_it_may() -> None:
    stream = TextStream(["\n"])
    assert stream.add(b"a\n", may_stop=False) == "a\n"
    assert stream.add(b"b\nc") == "b"
    assert stream.stopped


def test_a_character_in_three_tokens_comes_whole() -> None:
    stream = TextStream()
    assert [stream.add(part) for part in (b"\xe2", b"\x82", b"\xac")] == ["", "", "€"]
