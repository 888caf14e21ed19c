"""Mistakes in pairs: whatever a file or a program gives ends in pairs or in one clear line that says where."""

from __future__ import annotations

import json
import random
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.data.documents import END_MARK
from gpt2simple.data.pairs import recognise
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings.text import TextSettings
from tests.data.test_pairs import ALPACA, CHAT, COMPLETIONS, PAIRS, PROMPTS, lines, read, records
from tests.helpers.hostile import JSON, VALUES, changed, require_clear
from tests.helpers.texts import write


def turn(role: Any = "assistant", content: Any = "a", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def said(speaker: Any, value: Any = "a") -> dict[str, Any]:
    return {"from": speaker, "value": value}


USER = turn("user", "q")
MISTAKES: list[tuple[Any, str]] = [
    ({"prompt": "", "completion": "b"}, r"line 2: the prompt is empty\. Add it, or leave the pair out\.$"),
    ({"prompt": "a", "completion": " \n"}, r"line 2: the completion is empty\. Add it, or leave"),
    ({"prompt": "a", "completion": END_MARK}, r"line 2: the completion is empty"),
    ({"prompt": "a", "completion": None}, r"line 2: the completion is empty"),
    ({"prompt": "a", "completion": [["b"]]}, r"2, completion 0: 'completion' holds \['b'\]; expected a string\. Corr"),
    ({"prompt": "a", "completion": []}, r"line 2: 'completion' is an empty list\. Add a completion, or leave the pair"),
    ({"prompt": "a", "references": ["b", " "]}, r"line 2, references 1: the completion is empty"),
    ({"prompt": ["a"], "completion": "b"}, r"line 2: 'prompt' holds \['a'\]; expected a string"),
    ({"prompt": "a", "completion": [turn()]}, r"line 2, completion 0: 'completion' holds \{'content'.*\}; expected a"),
    ({"prompt": [USER, turn()], "completion": [USER]}, r"line 2: the conversation has no message of the assistant to"),
    ({"prompt": [turn("bot")], "completion": "a"}, r"line 2, message 0: the role is 'bot'; expected system, user or"),
    ({"prompt": [USER], "completion": " "}, r"line 2, message 1: the completion is empty"),
    ({"prompt": [USER], "completion": []}, r"line 2: 'completion' is an empty list"),
    ({"conversations": [said("human"), said("bot")]}, r"message 1: the role is 'bot'; expected human, gpt or system\."),
    ({"conversations": [said("human"), said(["gpt"])]}, r"message 1: the role is \['gpt'\]; expected human, gpt or"),
    ({"conversations": [said("human")]}, r"line 2: the conversation has no message of the assistant to learn from"),
    ({"conversations": [said("human"), said("gpt", 1.5e300)]}, r"message 1: 'value' holds 1\.5e\+300; expected a str"),
    ({"conversations": [said("human"), {"from": "gpt"}]}, r"message 1: expected an object with role and content; it"),
    ({"prompt": True, "completion": "b"}, r"line 2: 'prompt' holds True; expected a string"),
    ({"prompt": "a", "completion": 10**400}, r"line 2: 'completion' holds a number of 1,329 bits; expected a string"),
    ({"prompt": "a\ud83d", "completion": "b"}, r"line 2: 'prompt' holds half a surrogate pair, such as a cut emoji"),
    ({"prompt": "a", "answer": "b"}, r"line 2: expected the keys prompt and completion, messages, or instruction and "
     r"output; the keys are 'prompt', 'answer'\. Name two \(prompt_column=\.\.\., completion_column=\.\.\.\)\.$"),
    ({"instruction": "a", "input": "b"}, r"line 2: expected the keys .*; the keys are 'instruction', 'input'\."),
    ({"instruction": " ", "input": "b", "output": "c"}, r"line 2: the prompt is empty"),
    ({}, r"line 2: found \{\}; expected a string, or an object"),
    (["a", "b"], r"line 2: found \['a', 'b'\]; expected a string, or an object"),
    ("a", r"line 2: found 'a'; expected an object with the keys prompt and completion, messages, or"),
    (CHAT, r"line 2, message 2: this pair has the format messages, and those before it prompt-completion\. Give all"),
    (ALPACA[0], r"line 2: this pair has the format alpaca, and those before it prompt-completion"),
    ({"messages": [USER]}, r"line 2: the conversation has no message of the assistant to learn from\. Add one"),
    ({"messages": [USER, turn(weight=0)]}, r"line 2: the conversation has no message of the assistant to learn"),
    ({"messages": [USER, turn(weight=2)]}, r"line 2, message 1: the weight is 2; expected 0 or 1\. Correct it\.$"),
    ({"messages": [USER, turn("bot")]}, r"message 1: the role is 'bot'; expected system, user or assistant\. Rename"),
    ({"messages": [USER, turn(["a"])]}, r"message 1: the role is \['a'\]; expected system"),
    ({"messages": [USER, turn(content="")]}, r"line 2, message 1: the completion is empty"),
    ({"messages": [USER, turn(content=None, tool_calls=[])]}, r"line 2, message 1: the completion is empty"),
    ({"messages": [turn("user", " "), turn()]}, r"line 2, message 0: the message holds no text\. Add some, or leave"),
    ({"messages": [turn("user", [{"type": "image_url"}]), turn()]}, r"line 2, message 0: the message holds no text"),
    ({"messages": []}, r"line 2: the conversation is empty\. Add its messages, or leave it out\.$"),
    ({"messages": None}, r"line 2: the conversation is empty"),
    ({"messages": json.dumps([USER])}, r"line 2: 'messages' holds '\[\{.*; expected a list of objects with role"),
    ({"messages": "[]"}, r"line 2: 'messages' holds '\[\]'; expected a list of objects with role and content\. Correc"),
    ({"messages": [USER, {"role": "assistant"}]}, r"message 1: expected an object with role and content; it has: 'rol"),
    ({"messages": [USER, "a"]}, r"line 2, message 1: expected an object with role and content\. Correct it\.$"),
    ({"messages": [USER, turn(content={"a": 1})]}, r"message 1: 'content' holds \{'a': 1\}; expected a string"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "message"), MISTAKES)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, record: Any, message: str) -> None:
    path = write(tmp_path / "a.jsonl", lines([records()[0], record]))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "how", "message"),
    [
        (
            3,
            {},
            r"^The dataset is a int; expected the name of a file or folder, a list of names, a list of dicts or of",
        ),
        ([], {}, r"^pairs of the program holds no pairs\. Give prompts with their completions\.$"),
        ([(" ", "")], {}, r"^pairs of the program holds no pairs"),
        (
            ["a text", "b"],
            {},
            r"^Entry 0 of the dataset is 'a text'; expected a dict or a tuple \(prompt, completion\)",
        ),
        ([["a", "b"]], {}, r"^Entry 0 of the dataset is \['a', 'b'\]; expected a dict or a tuple"),
        (
            (PROMPTS, COMPLETIONS),
            {},
            r"^The dataset is a tuple of two lists; expected pairs\. Give list\(zip\(prompts,",
        ),
        ({"prompt": ["a"], "completion": []}, {}, r"columns of the dataset are not equally long"),
        ([("a", b"\xff")], {}, r"entry 0: 'completion' holds bytes that are not UTF-8 \(.*\)\. Pass strings\.$"),
        (
            records("q", "a"),
            {},
            r"^pairs of the program, entry 0: expected the keys .*; the keys are 'q', 'a'\. Name tw",
        ),
        (
            records("q", "a"),
            {"prompt_column": "q", "completion_column": "b"},
            r"entry 0 has no column 'b'\. It has: 'q', 'a'\. Name two \(prompt_column=",
        ),
        (PAIRS, {"pair_format": "alpaca"}, r"entry 0: expected the keys"),
    ],
)
def test_wrong_values_are_explained(dataset: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(dataset, **how)


def test_an_empty_conversation_at_the_beginning_does_not_make_a_text_of_the_file(tmp_path: Path) -> None:
    for first in ([], None):
        path = write(tmp_path / "a.jsonl", lines([{"messages": first}, CHAT]))
        with pytest.raises(DataError, match=r"line 1: the conversation is empty"):
            recognise(path, TextSettings())
        assert recognise([{"messages": first}, CHAT], TextSettings()) == "messages"


def test_a_separator_for_a_chat_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^separator was given, and the dataset has the format messages, which has"
    ):
        read([CHAT], separator="\n")


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    for call in (lambda: recognise(tmp_path / "a.jsonl", TextSettings()), lambda: read(tmp_path / "a.jsonl")):
        with pytest.raises(DataError, match="There is no file"):
            call()


@pytest.mark.parametrize("content", JSON.values(), ids=JSON)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_hostile_files(tmp_path: Path, name: str, content: bytes) -> None:
    path = write(tmp_path / name, content)
    require_clear(lambda: recognise(path, TextSettings()), tmp_path)
    assert require_clear(lambda: read(path), tmp_path) is not None


@pytest.mark.parametrize(
    "record", [
        records()[0], ALPACA[0], {"messages": [USER, turn(weight=1)]}, {"prompt": [USER], "completion": [turn()]},
        {"conversations": [said("human"), said("gpt")]}, {"prompt": "a", "references": ["b", "c"]},
    ], ids=str,
)  # fmt: skip
def test_hostile_values(tmp_path: Path, record: dict[str, Any]) -> None:
    for number, copy in enumerate(changed(record)):
        path = write(tmp_path / f"{number}.jsonl", lines([copy]))
        require_clear(lambda path=path: read(path), tmp_path)
    for key in ("role", "content", "weight"):
        for copy in changed(turn(weight=1), key):
            require_clear(lambda copy=copy: read([{"messages": [USER, copy]}]), tmp_path)
            require_clear(lambda copy=copy: read([{"prompt": [USER], "completion": [copy]}]), tmp_path)
    for key in ("from", "value"):
        for copy in changed(said("gpt"), key):
            require_clear(lambda copy=copy: read([{"conversations": [said("human"), copy]}]), tmp_path)


SHAREGPT = {"conversations": [said("system"), said("human"), said("gpt"), said("human"), said("gpt")]}
IN_TWO_KEYS = {"prompt": [turn("system"), USER], "completion": [turn()]}
SEVERAL = [{"prompt": "a", "completion": ["b", "c"]}, {"prompt": [USER], "references": ["b", "c"]}]
RECORDS = [
    *records(), *ALPACA, CHAT, {"messages": [USER, turn(weight=0), USER, turn(weight=1)]}, SHAREGPT, IN_TWO_KEYS,
    *SEVERAL,
]  # fmt: skip
DAMAGE = [b"null", b"[]", b"{}", b'""', b'","', b"1e999", b"\\ud800", b"]}", b"\xff", b"\0"]


def damaged_bytes(draw: random.Random) -> bytes:
    line = bytearray(json.dumps(draw.choice(RECORDS)).encode())
    for _ in range(draw.randint(1, 2)):
        place = draw.randrange(len(line))
        line[place : place + draw.randint(0, 6)] = draw.choice([*DAMAGE, draw.randbytes(2), b"a"])
    return bytes(line)


def damaged_values(draw: random.Random) -> bytes:
    record = json.loads(json.dumps(draw.choice(RECORDS)))
    for _ in range(draw.randint(1, 2)):
        place: Any = record
        while isinstance(place, (dict, list)) and place:
            key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if draw.random() < 0.5 or not isinstance(place[key], (dict, list)):
                place[key] = deepcopy(draw.choice([*VALUES, *map(str, VALUES), "user", {"prompt": "a"}]))
                break
            place = place[key]
    return json.dumps(record).encode()


@pytest.mark.slow
def test_ten_thousand_damaged_lines(tmp_path: Path) -> None:
    draw = random.Random(0)
    path = tmp_path / "a.jsonl"
    messages: Counter[str | None] = Counter()
    for number in range(10_000):
        path.write_bytes((damaged_bytes if number % 2 else damaged_values)(draw))
        messages[require_clear(lambda: read(path), tmp_path)] += 1
        require_clear(lambda: recognise(path, TextSettings()), tmp_path)
    assert messages[None] > 1000  # some damage is none
    assert not [message for message in messages if message and ("\n" in message or "a.jsonl" not in message)]
