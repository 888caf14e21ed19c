"""Texts inside lists and objects: exports of chats in JSON, and conversations in JSON Lines and Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.data.readers.nested import expand, names_inside
from gpt2simple.errors import DataError
from tests.helpers.texts import documents_in, write

CHANNEL = {
    "channel": "general",
    "messages": [
        {"author": {"name": "Al"}, "content": "hello"},
        {"author": {"name": "Bo"}},
        {"author": {"name": "Cy"}, "content": None},
        {"author": {"name": "Di"}, "content": ["see ", {"type": "link", "text": "this"}, "!"]},
        {
            "author": {"name": "Ed"},
            "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}],
        },
    ],
}
CHATGPT = [
    {
        "title": "A chat",
        "mapping": {
            "u1": {"id": "u1", "message": None, "children": ["u2"]},
            "u2": {
                "id": "u2",
                "message": {"author": {"role": "user"}, "content": {"parts": ["Hello?"]}},
                "children": [],
            },
        },
    }
]
TELEGRAM = {
    "name": "T",
    "id": 1,
    "messages": [
        {"id": 1, "type": "message", "date": "d", "from": "A", "text": "hi"},
        {"id": 2, "type": "service", "date": "d", "action": "call"},
        {"id": 3, "type": "message", "date": "d", "from": "B", "text": ["a ", {"type": "bold", "text": "b"}]},
    ],
}


def read(tmp_path: Path, value: Any, name: str = "a.json", **how: Any) -> list[str]:
    content = "".join(json.dumps(line) + "\n" for line in value) if name.endswith(".jsonl") else json.dumps(value)
    return documents_in(write(tmp_path / name, content), tmp_path / "cache", **how)


@pytest.mark.parametrize(
    ("value", "how", "expected"),
    [
        (CHANNEL, {"column": "messages.content"}, ["hello", "see this!", "look"]),
        (
            CHANNEL,
            {"template": "{channel}, {messages.author.name}: {messages.content}"},
            ["general, Al: hello", "general, Di: see this!", "general, Ed: look"],
        ),
        (CHANNEL, {"column": "channel"}, ["general"]),
        (CHATGPT, {"column": "mapping.*.message.content.parts"}, ["Hello?"]),
        (TELEGRAM, {"column": "messages.text"}, ["hi", "a b"]),
        (TELEGRAM["messages"], {"column": "text"}, ["hi", "a b"]),
        ({"rows": [[{"t": "a"}, {"t": "b"}], [{"t": "c"}]], "n": 1}, {"column": "rows.t"}, ["a", "b", "c"]),
        ([[{"text": "a"}, {"text": "b"}], [{"text": "c"}]], {}, ["a", "b", "c"]),
        ({"data": [{"body": "x"}]}, {"column": "data.body"}, ["x"]),
        ({"data": [{"body": "x"}]}, {"column": "body"}, ["x"]),
        ({"data": [{"body": "x"}]}, {}, ["x"]),
        ({"name": "n", "lines": ["a", "b"]}, {"column": "lines"}, ["a", "b"]),
        ([{"lines": ["a", "b"]}], {"column": "lines"}, ["a\nb"]),
        ({"1": {"text": "a"}, "2": {"text": "b"}}, {"column": "*.text"}, ["a", "b"]),
        ([{"a.b": "x", "a": {"b": "y"}}], {"column": "a.b"}, ["x"]),
        ([{"text": "a", "comments": [{"body": "b"}]}], {}, ["a"]),
        ({"text": "a", "tags": ["b"]}, {}, ["a"]),
    ],
)
def test_names_lead_through_objects_and_lists(
    tmp_path: Path, value: Any, how: dict[str, Any], expected: list[str]
) -> None:
    assert read(tmp_path, value, **how) == expected


def test_each_message_of_a_conversation_on_a_line(tmp_path: Path, messages: list[str]) -> None:
    lines = [{"messages": [{"role": "user", "content": "Q"}, {"role": "model", "content": "A"}]}, {"id": 1}]
    assert read(tmp_path, lines, "a.jsonl", template="{messages.role}: {messages.content}") == ["user: Q", "model: A"]
    left_out = "left out 1 record without 'messages.role' and 'messages.content'."
    assert messages == [f"{tmp_path / 'a.jsonl'}: {left_out}"]


def test_conversations_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    from pyarrow import parquet

    rows = [{"id": "a", "messages": [{"role": "user", "content": "Q"}]}, {"id": "b", "messages": []}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    cache = tmp_path / "cache"
    assert documents_in(tmp_path / "a.parquet", cache, column="messages.content") == ["Q"]
    with pytest.raises(
        DataError, match=r"a\.parquet, row 0, holds its texts in lists: 'messages.content', 'messages.r"
    ):
        documents_in(tmp_path / "a.parquet", cache)


IN_LISTS = r"holds its texts in lists: "


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        (
            CHANNEL,
            "a.json",
            r"a\.json holds its texts in lists: 'messages.content', 'messages.author.name'\. Name one "
            r"\(column='messages.content', --column messages.content\), or build a text of several "
            r"\(template='\{messages.author.name\}: \{messages.content\}'\)\.$",
        ),
        (CHATGPT, "a.json", r"entry 0, holds its texts in lists: 'mapping\.\*\.message\.content\.parts', "),
        (TELEGRAM, "a.json", IN_LISTS + "'messages.text'"),
        ([TELEGRAM], "a.jsonl", r"line 1, holds its texts in lists: 'messages.text'"),
        ({"title": "T", "data": {"items": [{"body": "x"}]}}, "a.json", IN_LISTS + "'data.items.body'"),
        ({"channel": "general", "lines": ["a", "b"]}, "a.json", IN_LISTS + r"'lines'\. Name one \(column='lines', "),
        ({"title": "T", "data": []}, "a.json", IN_LISTS + r"'data'\. Name one "),
        ({"1": {"text": "a"}, "2": {"text": "b"}}, "a.json", IN_LISTS + r"'\*\.text'"),
        ({"name": "a", "version": "1", "scripts": {"x": "y"}}, "a.json", r"has several columns.*\(format='text', --f"),
        ([{"text": "a"}, {"id": 1}], "a.json", r"has a record without 'text'.*\(column='text'\) to leave such records"),
    ],
)
def test_what_lies_beside_lists_of_texts_is_not_taken_for_the_text(
    tmp_path: Path, value: Any, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, value, name)


@pytest.mark.parametrize(
    ("value", "how", "message"),
    [
        (CHANNEL, {"column": "messages.body"}, r"has no column 'messages.body'. It has: .*'messages.content'"),
        (CHANNEL, {"column": "content"}, r"has no column 'content'. It has: .*'messages.content'"),
        (CHANNEL, {"column": "messages"}, r"'messages' holds a list; expected text.*such as 'messages.content'"),
        ([{"content": {"parts": ["a"]}}], {"column": "content"}, r"'content' holds a dict; .*such as 'content.parts'"),
        (
            [{"ids": [1, 2]}],
            {"column": "ids"},
            r"'ids' holds a list; expected text\. Name another field \(column=\.\.\.",
        ),
        (
            {"a": [{"t": "1"}, {"t": "2"}], "b": [{"t": "3"}, {"t": "4"}]},
            {"template": "{a.t} {b.t}"},
            r"the template leads through two lists, .*Name texts of one list\.$",
        ),
    ],
)
def test_names_that_lead_to_no_text_are_explained(
    tmp_path: Path, value: Any, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, value, **how)


def test_a_name_that_no_record_has_is_said_before_the_end_of_a_long_file(tmp_path: Path) -> None:
    lines = '{"a": "x"}\n' * 1000 + "no JSON\n"
    with pytest.raises(DataError, match=r"line 1, has no column 'b'"):
        documents_in(write(tmp_path / "a.jsonl", lines), tmp_path / "cache", column="b")


def test_records_are_matched_and_names_are_listed() -> None:
    record = {"a": [{"b": 1, "c": 2}, {"b": 3}, {"b": 4, "c": None}]}
    assert expand(record, [("a", "b"), ("a", "c")]) == [
        {("a", "b"): 1, ("a", "c"): 2},
        {("a", "b"): 4, ("a", "c"): None},
    ]
    assert names_inside({"x": "flat", "y": {"z": "deep"}}) == []
