"""Three parts of pairs: the same prompts and the turns of a conversation together, and the user's own kept apart."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2simple.data.pair_split import PairData, PairSplit, open_pairs
from gpt2simple.errors import DataError
from gpt2simple.settings.pairs import PairTextSettings
from tests.helpers.texts import write


def opened(dataset: Any, **how: Any) -> PairData:
    return open_pairs(dataset, PairTextSettings(**how))


def pairs(count: int, begin: int = 0) -> list[tuple[str, str]]:
    return [(f"question {number}", f"answer {number}") for number in range(begin, begin + count)]


def conversation(number: int, turns: int) -> dict[str, Any]:
    messages = []
    for turn in range(turns):
        messages.append({"role": "user", "content": f"question {number}, {turn}"})
        messages.append({"role": "assistant", "content": "answer"})
    return {"messages": messages}


def sizes(split: PairSplit) -> list[int | None]:
    return [None if part is None else len(part) for part in (split.train, split.validation, split.test)]


def prompts(part: Any) -> set[str]:
    return {pair.messages[0].content for pair in part or ()}


def lines(records: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"prompt": prompt, "completion": other}) + "\n" for prompt, other in records)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, [80, 10, 10]),
        ({"validation_split": 0.2, "test_split": 0}, [80, 20, None]),
        ({"validation_split": 0, "test_split": 0.5}, [50, None, 50]),
        ({"validation_split": 0, "test_split": 0}, [100, None, None]),
    ],
)
def test_each_part_has_its_share(how: dict[str, Any], expected: list[int | None]) -> None:
    data = opened(pairs(100), **how)
    split = data.split(0)
    assert sizes(split) == expected
    assert prompts(split.train) | prompts(split.validation) | prompts(split.test) == {p for p, _ in pairs(100)}
    assert prompts(data.split(0).test) == prompts(split.test)
    assert not split.test or prompts(data.split(1).test) != prompts(split.test)
    assert open_pairs(data, PairTextSettings()) is data


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=3, max_size=30), st.integers(0, 2**32))
def test_pairs_with_the_same_prompt_are_in_one_part(repeats: list[int], seed: int) -> None:
    dataset = [
        (f"Question{' ' * (1 + copy)}{number}", f"answer {copy}")  # white space makes no difference
        for number, copies in enumerate(repeats)
        for copy in range(copies)
    ]
    split = opened(dataset).split(seed)
    parts = [
        {" ".join(prompt.split()) for prompt in prompts(part)} for part in (split.train, split.validation, split.test)
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(repeats)
    assert "no held-out prompt is in training" in split.check()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_completions_to_one_prompt_are_in_one_part(seed: int) -> None:
    one_a_line = [(f"question {number}", f"answer {copy}") for number in range(12) for copy in range(4)]
    lists = [
        {"prompt": f"question {number}", "references": [f"answer {copy}" for copy in range(4)]} for number in range(12)
    ]
    for dataset in (one_a_line, lists):
        split = opened(dataset).split(seed)
        parts = [prompts(part) for part in (split.train, split.validation, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 12
        assert sum(number or 0 for number in sizes(split)) == 48
        assert split.check() == "Copies: no pair occurs twice; no held-out prompt is in training."


def test_the_turns_of_a_conversation_are_in_one_part() -> None:
    split = opened([conversation(number, 3) for number in range(30)]).split(0)
    assert sizes(split) == [72, 9, 9]
    parts = [prompts(part) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 30


def test_conversations_that_begin_alike_are_in_one_part() -> None:
    begun = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    alike = [{"messages": begun + conversation(number, 1)["messages"]} for number in range(5)]
    split = opened(alike + [conversation(number, 1) for number in range(20)]).split(3)
    assert sum("Hi" in prompts(part) for part in (split.train, split.validation, split.test)) == 1


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(
        DataError,
        match=r"^The dataset has 2 prompts \(copies count once\), and 3 are needed: one to train on, one to validate, "
        r"one to test\. Give more pairs, or set validation_split=0 and test_split=0\.$",
    ):
        opened([*pairs(2), *pairs(1)]).split(0)
    assert sizes(opened(pairs(1), validation_split=0, test_split=0).split(0)) == [1, None, None]


def test_copies_are_counted() -> None:
    data = opened([*pairs(3), *pairs(2), ("Question\n1", "other")], validation_split=0, test_split=0)
    assert data.split(0).check() == "Copies: 2 pairs repeat another."
    assert opened(pairs(9)).split(0).check() == ("Copies: no pair occurs twice; no held-out prompt is in training.")


def test_files_of_ones_own(tmp_path: Path) -> None:
    train = write(tmp_path / "a.jsonl", lines(pairs(20)))
    validation = write(tmp_path / "v.csv", "prompt,completion\nquestion 3,answer\nquestion 99,answer\n")
    test = write(tmp_path / "t.json", json.dumps([{"prompt": "question 1", "completion": "answer 1"}]))
    data = opened(train, validation_file=validation, test_file=test)
    split = data.split(0)
    assert sizes(split) == [20, 2, 1]
    assert split.check() == (
        "Copies: 1 pair repeats another; 1 of 2 validation prompts is in training too; 1 of 1 test prompt is in "
        "training too."
    )
    assert data.validation is not None
    assert data.validation_fingerprint == data.validation.fingerprint
    assert data.fingerprint != data.pairs.fingerprint == opened(train).fingerprint
    assert sizes(opened(train, test_file=test).split(0)) == [18, 2, 1]


def test_a_folder_of_three_parts(tmp_path: Path) -> None:
    for name, content in (("train", pairs(10)), ("valid", pairs(2, 10)), ("test", pairs(3, 20)), ("other", pairs(1))):
        write(tmp_path / f"{name}.jsonl", lines(content))
    data = opened(tmp_path)
    assert sizes(data.split(0)) == [10, 2, 3]
    assert data.sources == (str(tmp_path),)
    assert data.messages == ("Parts from train.jsonl, valid.jsonl, test.jsonl; not read: other.jsonl.",)
    own = opened(tmp_path, test_file=str(tmp_path / "other.jsonl"))
    assert sizes(own.split(0)) == [10, 2, 1]
    assert own.messages == ("Parts from train.jsonl, valid.jsonl; not read: other.jsonl, test.jsonl.",)
    (tmp_path / "valid.jsonl").unlink()
    assert sizes(opened(tmp_path).split(0)) == [9, 1, 3]


def test_the_users_own_pairs_are_written_as_those_of_training(tmp_path: Path) -> None:
    chat = write(tmp_path / "t.jsonl", json.dumps(conversation(0, 1)))
    data = opened(pairs(9), test_file=chat)
    assert data.test is not None
    assert (data.test.format, data.test.template) == ("messages", data.pairs.template)
    assert data.messages == (
        "The test pairs have the format messages, those to train on prompt-completion; all are written by the template "
        "of these, plain.",
    )
    longer = write(tmp_path / "v.jsonl", json.dumps(conversation(0, 2)))
    with pytest.raises(
        DataError, match=r"v\.jsonl, line 1, message 3: the template of the model has no marks for roles"
    ):
        opened(pairs(9), validation_file=longer)


def test_pairs_before_the_first_question_do_not_join_all_conversations() -> None:
    greeting = {"role": "assistant", "content": "Hello"}
    chats = [{"messages": [greeting, *conversation(number, 2)["messages"]]} for number in range(20)]
    split = opened(chats).split(0)
    answers = [{pair.messages[1].content for pair in part or () if pair.messages} for part in (split.train, split.test)]
    assert all(answers)
    assert not answers[0] & answers[1]


def test_numbered_and_packed_files_are_parts_too(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"train-0000{number}-of-00002.jsonl", lines(pairs(5, 5 * number)))
    (tmp_path / "Test.jsonl.gz").write_bytes(gzip.compress(lines(pairs(3, 20)).encode()))
    data = opened([str(tmp_path)], validation_split=0)
    assert sizes(data.split(0)) == [10, None, 3]
    assert (data.sources, data.pairs.files) == ((str(tmp_path),), 2)
    assert data.messages[0].startswith(
        "Parts from train-00000-of-00002.jsonl, train-00001-of-00002.jsonl, Test.jsonl.gz"
    )
