"""Pairs: from every kind of source the same prompts and completions, and a clear message where something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.data.documents import END_MARK
from gpt2simple.data.pairs import Pairs, read_pairs, recognise
from gpt2simple.data.prompt_template import alpaca_message, chat_template, plain_template
from gpt2simple.errors import DataError
from gpt2simple.settings.pairs import PairTextSettings
from gpt2simple.settings.text import ReadingSettings, TextSettings
from tests.helpers.texts import write

PAIRS = [("Capital of France?", "Paris"), ("Zoë says,\n“hi”", "hello, you"), ("2 + 2 =", "4")]
PROMPTS, COMPLETIONS = map(list, zip(*PAIRS, strict=True))
ALPACA = [
    {"instruction": "Correct it.", "input": "He go.", "output": "He goes."},
    {"instruction": "Say hi.", "input": "", "output": "Hi."},
]
CHAT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]
}


def read(dataset: Any, **how: Any) -> Pairs:
    return read_pairs(dataset, PairTextSettings(**how))


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def plain(pairs: Pairs) -> list[tuple[str, str]]:
    """Prompt and completion of each pair, of which the prompt is one message."""
    assert all(len(pair.messages) == 1 for pair in pairs.pairs)
    return [(pair.messages[0].content, pair.completion) for pair in pairs.pairs]


def records(prompt: str = "prompt", completion: str = "completion") -> list[dict[str, str]]:
    return [{prompt: one, completion: other} for one, other in PAIRS]


class Frame:
    """What looks like a data frame of pandas."""

    def __init__(self, columns: dict[Any, list[Any]]) -> None:
        self.columns, self._columns = list(columns), columns

    def __getitem__(self, name: Any) -> np.ndarray:
        return np.array(self._columns[name], object)


def table(separator: str, header: tuple[str, str] = ("prompt", "completion")) -> str:
    rows = [header, *PAIRS]
    return "".join(separator.join('"' + cell + '"' for cell in row) + "\n" for row in rows)


# --- files ---

FILES = {
    "a.jsonl": lines(records()),
    "upper.jsonl": lines(records("Prompt", "COMPLETION")),
    "more.jsonl": lines([record | {"id": 1, "input": "?"} for record in records()]),
    "blank-lines.jsonl": "\n" + lines(records()).replace("\n", "\n\n"),
    "a.json": json.dumps(records()),
    "nested.json": json.dumps({"data": records()}),
    "a.csv": table(","),
    "semicolon.csv": table(";"),
    "a.tsv": table("\t"),
}


@pytest.mark.parametrize("name", FILES)
def test_prompts_and_completions_in_files(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, FILES[name])
    assert recognise(path, TextSettings()) == recognise([path], PairTextSettings()) == "prompt-completion"
    found = read(path)
    assert plain(found) == PAIRS
    assert (found.format, found.template, found.sources, found.files) == (
        "prompt-completion", plain_template(), (str(path),), 1,
    )  # fmt: skip
    assert found.hints() == []


def test_a_parquet_file(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, rows in (("pairs", records()), ("chat", [CHAT]), ("alpaca", ALPACA)):
        parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    assert plain(read(tmp_path / "pairs.parquet")) == PAIRS
    assert recognise(tmp_path / "chat.parquet", TextSettings()) == "messages"
    assert [pair.completion for pair in read(tmp_path / "chat.parquet").pairs] == ["1", "2"]
    found = read(tmp_path / "alpaca.parquet")
    assert found.format == "alpaca"
    assert found.pairs[1].where == f"{tmp_path / 'alpaca.parquet'}, row 1"


@pytest.mark.parametrize(
    ("name", "content", "how"),
    [
        ("a.jsonl", lines(records("q", "a")), {"prompt_column": "q", "completion_column": "a"}),
        ("both.jsonl", lines([record | CHAT | {"text": "x"} for record in records()]),
         {"prompt_column": "prompt", "completion_column": "completion"}),
        ("both.jsonl", lines([record | CHAT | {"text": "x"} for record in records()]),
         {"pair_format": "prompt-completion"}),
        ("a.csv", table(",", ("question", "answer")), {"prompt_column": "question", "completion_column": "answer"}),
        ("a.csv", table(",").split("\n", 1)[1], {"prompt_column": 0, "completion_column": 1, "header": False}),
        ("one.json", json.dumps({"rows": records("q", "a")}), {"prompt_column": "q", "completion_column": "a"}),
        ("a.txt", lines(records()), {"format": "jsonl"}),
        ("a.jsonl", lines(records()).encode("utf-16"), {"encoding": "utf-16"}),
    ],
)  # fmt: skip
def test_what_the_settings_name(tmp_path: Path, name: str, content: Any, how: dict[str, Any]) -> None:
    path = write(tmp_path / name, content)
    assert plain(read(path, **how)) == PAIRS
    assert recognise(path, PairTextSettings(**how)) in ("columns", "prompt-completion")


def test_alpaca(tmp_path: Path) -> None:
    path = write(tmp_path / "alpaca.json", json.dumps(ALPACA))
    found = read(path)
    assert recognise(path, TextSettings()) == found.format == found.template.name == "alpaca"
    assert [pair.messages for pair in found.pairs] == [
        (alpaca_message("Correct it.", "He go."),),
        (alpaca_message("Say hi."),),
    ]
    assert [pair.completion for pair in found.pairs] == ["He goes.", "Hi."]
    assert "### Input:\nHe go.\n\n### Response:\n" in found.template.prompt_of(found.pairs[0].messages)


@pytest.mark.parametrize("name", ["chat.jsonl", "chat.json"])
def test_each_turn_of_the_assistant_is_a_completion(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, lines([CHAT]))
    found = read(path)
    assert recognise(path, TextSettings()) == found.format == "messages"
    turns = [(turn["role"], turn["content"]) for turn in CHAT["messages"]]
    assert [(pair.messages, pair.completion) for pair in found.pairs] == [
        (tuple(turns[:2]), "1"),
        (tuple(turns[:4]), "2"),
    ]
    place = "line 1" if name == "chat.jsonl" else "entry 0"
    assert [pair.where for pair in found.pairs] == [f"{path}, {place}, message {number}" for number in (2, 4)]
    assert found.template.prompt_of(found.pairs[0].messages).endswith("### User:\nOne?\n\n### Assistant:\n")


def test_messages_that_are_read_but_not_learned(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": "On"}, {"type": "text", "text": "e?"}]},
        {"role": "assistant", "content": f"wrong{END_MARK}", "weight": 0},
        {"role": "user", "content": "Again", "name": "Zoë", "weight": None},
        {"role": "assistant", "content": f"1{END_MARK}\n", "weight": 1},
        {"role": "user", "content": "Thanks"},
    ]
    found = read(write(tmp_path / "a.jsonl", lines([{"messages": turns}])))
    ((messages, completion, _),) = found.pairs
    assert messages == (("user", "One?"), ("assistant", "wrong"), ("user", "Again"))
    assert (completion, found.ended, found.unanswered) == ("1", 1, 1)
    assert [hint[:45] for hint in found.hints()] == [
        "1 conversation ends in messages without an an", "'<|endoftext|>' was removed from the end of 1",
    ]  # fmt: skip


SHAREGPT = {
    "id": 7,
    "conversations": [
        {"from": {"user": "human", "assistant": "gpt"}.get(turn["role"], "system"), "value": turn["content"]}
        for turn in CHAT["messages"]
    ],
}


def test_shared_conversations_are_read_as_messages(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines([SHAREGPT]))
    assert recognise(path, TextSettings()) == "messages"
    found, expected = read(path), read([CHAT])
    assert [pair[:2] for pair in found.pairs] == [pair[:2] for pair in expected.pairs]
    assert (found.format, found.template) == ("messages", expected.template)
    assert [pair[:2] for pair in read([SHAREGPT | CHAT]).pairs] == [pair[:2] for pair in expected.pairs]
    begun = read([{"conversations": [{"from": "gpt", "value": "Hello"}]}])
    assert [pair[:2] for pair in begun.pairs] == [((), "Hello")]


def test_conversations_in_two_keys(tmp_path: Path) -> None:
    turns = CHAT["messages"]
    record = {"prompt": turns[:4], "completion": turns[4:]}
    path = write(tmp_path / "a.jsonl", lines([record, record | {"completion": "2"}]))
    assert recognise(path, TextSettings()) == "messages"
    found = read(path)
    whole = read([CHAT]).pairs[1]  # the first answer is in the prompt, and is not learned
    assert [pair[:2] for pair in found.pairs] == [whole[:2]] * 2
    assert found.pairs[0].where == f"{path}, line 1, message 4"
    assert (found.format, found.template) == ("messages", read([CHAT]).template)
    assert read(path, pair_format="prompt-completion").fingerprint == found.fingerprint
    longer = read([{"prompt": turns[:2], "completion": turns[2:]}])
    assert [pair[:2] for pair in longer.pairs] == [pair[:2] for pair in read([CHAT]).pairs]


@pytest.mark.parametrize("key", ["completion", "references"])
def test_several_completions_make_a_pair_each(tmp_path: Path, key: str) -> None:
    expected = [("a", "b"), ("a", "c"), ("d", "e")]
    path = write(tmp_path / "a.jsonl", lines([{"prompt": "a", key: ["b", "c"]}, {"prompt": "d", key: "e"}]))
    assert recognise(path, TextSettings()) == "prompt-completion"
    found = read(path)
    assert plain(found) == expected
    assert [pair.where for pair in found.pairs] == [
        f"{path}, line 1, {key} 0", f"{path}, line 1, {key} 1", f"{path}, line 2",
    ]  # fmt: skip
    for dataset in (
        {"prompt": ["a", "d"], key: [("b", "c"), "e"]},
        Frame({"prompt": ["a", "d"], key: [["b", "c"], "e"]}),
    ):
        assert plain(read(dataset)) == expected
    assert plain(read(path, prompt_column="prompt", completion_column=key)) == expected
    turns = [{"role": "user", "content": "a"}]
    chat = read([{"prompt": turns, key: ["b", "c"]}])
    assert [pair.completion for pair in chat.pairs] == ["b", "c"]
    assert chat.format == "messages"


def test_references_beside_a_completion_are_something_else() -> None:
    assert plain(read([{"prompt": "a", "completion": "b", "references": ["book"]}])) == [("a", "b")]


def test_what_is_left_out_and_hinted_at() -> None:
    found = read([("a ", "b"), (" ", "\n"), {"prompt": None, "completion": float("nan")}], separator="")
    assert (plain(found), found.blank) == ([("a ", "b")], 2)
    assert found.hints() == [
        "Left out: 2 records of nothing but white space.",
        "1 prompt ends in a blank, the first at pairs of the program, entry 0. GPT-2 reads a blank as part of the next "
        "word: better begin the completions with it.",
    ]


def test_line_ends_and_numbers_become_text() -> None:
    found = read([{"prompt": "a\r\nb", "completion": 4}, {"prompt": 2.5, "completion": b"c\r\n"}])
    assert plain(found) == [("a\nb", "4"), ("2.5", "c\n")]


def test_an_end_of_ones_own_is_not_written_twice() -> None:
    found = read([("a", "b END"), ("c", "d")], end=" END\\n")
    assert (plain(found), found.ended, found.template.end) == ([("a", "b"), ("c", "d")], 1, " END\n")


@pytest.mark.parametrize(
    ("end", "completion", "kept"),
    [
        (".", "wait...", "wait.."), (".", "so. ", "so"), (".", "so", "so"), ("\n", "b\n", "b"), ("\n", "b\n\n", "b\n"),
        ("\n", "b  ", "b  "), (" END\n", "b END\n", "b"), (" END\n", "b END", "b"),
        (END_MARK, f"b {END_MARK}\n{END_MARK}", "b"),
    ],
)  # fmt: skip
def test_an_end_is_removed_once_and_the_end_of_text_always(end: str, completion: str, kept: str) -> None:
    (pair,) = read([("a", completion)], end=end).pairs
    assert pair.completion == kept


def test_ends_inside_completions_are_hinted_at() -> None:
    found = read([("a", "no."), ("b", "one. two"), ("c", "d... ")], end=".")
    assert found.hints()[1:] == [
        "2 completions hold '.' before the end, the first at pairs of the program, entry 1: what the model writes "
        "stops there. Better choose an end that is in no completion."
    ]
    found = read([("a", f"b {END_MARK} c"), (f"{END_MARK}x", "d"), ("e", "f")])
    assert found.hints() == [
        "2 pairs spell '<|endoftext|>' inside a text, the first at pairs of the program, entry 0. It is learned as "
        "ordinary text, and other programs read it as the token that ends a text. Better remove it."
    ]


def test_the_fingerprint_is_of_the_pairs_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", table(","))
    assert read(path).fingerprint == read(PAIRS, separator="->").fingerprint
    assert read(path).fingerprint != read([*PAIRS[1:], PAIRS[0]]).fingerprint


def test_a_template_that_is_given_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.jsonl", lines([{"messages": CHAT["messages"][1:3]}]))
    assert read_pairs(path, PairTextSettings(), template=plain_template("=>")).template == plain_template("=>")
    with pytest.raises(
        DataError,
        match=r"entry 0, message 2: the template of the model has no marks for roles, so that it writes one message of "
        r"the user, and this is a conversation\. Give pairs as those that the model is trained on\.$",
    ):
        read_pairs([CHAT], PairTextSettings(), template=plain_template())
    assert read_pairs(records(), PairTextSettings(), template=chat_template()).template == chat_template()


# --- folders ---


def test_a_folder_with_parts_is_recognised_by_that_to_train_on(tmp_path: Path) -> None:
    for name in ("valid.jsonl", "test.json", "README.md", "other.txt"):
        write(tmp_path / name, lines([{"text": "a"}]))
    assert recognise(tmp_path, TextSettings()) is None
    write(tmp_path / "train.csv", table(","))
    assert recognise(tmp_path, TextSettings()) == recognise([str(tmp_path)], TextSettings()) == "prompt-completion"


def test_a_folder_of_files_is_one_dataset(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, lines(records()))
    assert plain(read(tmp_path)) == PAIRS * 2
    write(tmp_path / "README.md", "All about pairs")
    with pytest.raises(
        DataError, match=r"README\.md is plain text, in which nothing says where a prompt ends\. Give a"
    ):
        read(tmp_path)


# --- values of a program ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: records(),
        lambda: dict(zip(("prompt", "completion"), (PROMPTS, COMPLETIONS), strict=True)),
        lambda: Frame({"id": [1, 2, 3], "prompt": PROMPTS, "completion": COMPLETIONS}),
        lambda: tuple(records()),
    ],
)
def test_values_of_a_program(make: Callable[[], Any]) -> None:
    assert recognise(make(), TextSettings()) == "prompt-completion"
    found = read(make())
    assert plain(found) == PAIRS
    assert (found.sources, found.files) == (("pairs of the program",), 0)


def test_conversations_of_a_program() -> None:
    for dataset in ([CHAT], {"messages": [CHAT["messages"]]}, Frame({"messages": [CHAT["messages"]]})):
        assert recognise(dataset, TextSettings()) == read(dataset).format == "messages"


def test_tuples_are_pairs_where_that_is_said() -> None:
    with pytest.raises(DataError, match=r"first entry is a tuple of two strings, which may be a prompt with its compl"):
        recognise(PAIRS, TextSettings())
    for how in ({"prompt_column": 0, "completion_column": 1}, {"pair_format": "prompt-completion"}):
        assert recognise(PAIRS, PairTextSettings(**how)) is not None
        assert plain(read(PAIRS, **how)) == PAIRS
    assert plain(read(PAIRS)) == plain(read(iter(PAIRS))) == PAIRS
    assert plain(read(PAIRS, prompt_column=1, completion_column=0)) == [(b, a) for a, b in PAIRS]


def test_tuples_stand_for_the_columns_that_a_run_was_trained_with() -> None:
    assert plain(read(PAIRS, prompt_column="question", completion_column="answer")) == PAIRS


def test_tables_of_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    table_of_pairs = arrow.Table.from_pylist(records())
    assert recognise(table_of_pairs, TextSettings()) == "prompt-completion"
    assert plain(read(table_of_pairs)) == PAIRS
    chats = arrow.Table.from_pylist([CHAT])
    assert recognise(chats, TextSettings()) == "messages"
    assert [pair.completion for pair in read(chats).pairs] == ["1", "2"]
    assert recognise(arrow.Table.from_pylist([{"text": "a"}]), TextSettings()) is None


def test_what_can_be_read_once_is_not_looked_at() -> None:
    once = iter(records())
    assert recognise(once, TextSettings()) is None
    assert plain(read(once)) == PAIRS


def test_a_tf_data_dataset() -> None:
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices({"prompt": PROMPTS, "completion": COMPLETIONS})
    assert recognise(dataset, TextSettings()) == "prompt-completion"
    assert plain(read(dataset)) == PAIRS


# --- what is not of pairs ---


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", lines(records())),
        ("a.csv", 'text\n"Prose, and more"\n'),
        ("b.csv", "Prose, and more of it\nand more\n"),
        ("a.jsonl", lines([{"text": "a"}])),
        ("b.jsonl", lines([{"text": "a", "prompt": "b"}])),
        ("c.jsonl", lines(["a"])),
        ("d.jsonl", lines([{"messages": [{"author": "a", "words": "b"}]}])),
        ("e.jsonl", lines([{"messages": "words"}])),
        ("f.jsonl", ""),
        ("g.jsonl", lines([{"messages": [], "text": "a"}])),
        ("a.json", json.dumps({"chats": [CHAT], "people": []})),
    ],
)
def test_other_datasets_are_not_recognised(tmp_path: Path, name: str, content: str) -> None:
    assert recognise(write(tmp_path / name, content), TextSettings()) is None


@pytest.mark.parametrize(
    ("dataset", "settings"),
    [
        (["a text", "another"], TextSettings()),
        ([], TextSettings()),
        (3, TextSettings()),
        (None, TextSettings()),
        (b"x", TextSettings()),
        ("-", TextSettings()),
        ("tfds:no-such", TextSettings()),
        (records(), TextSettings(column="prompt")),
        (records(), TextSettings(template="{prompt}")),
        (records(), TextSettings(format="lines")),
    ],
)
def test_other_values_are_not_recognised(dataset: Any, settings: ReadingSettings) -> None:
    assert recognise(dataset, settings) is None


TWO_FORMATS = {
    "prompt-completion (prompt, completion) and messages (messages)": records()[0] | CHAT,
    "messages (messages) and text (text)": CHAT | {"text": "a"},
    "alpaca (instruction, output) and text (text)": ALPACA[0] | {"text": "a"},
    "prompt-completion (prompt, completion) and alpaca (instruction, output)": records()[0] | ALPACA[0],
}


@pytest.mark.parametrize("formats", TWO_FORMATS)
def test_a_file_that_fits_two_formats_is_refused(tmp_path: Path, formats: str) -> None:
    path = write(tmp_path / "a.jsonl", lines([TWO_FORMATS[formats]]))
    for call in (lambda: recognise(path, TextSettings()), lambda: read(path)):
        with pytest.raises(DataError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith(
            f"{path}, line 1: the keys fit two formats, {formats}. Say which is meant (pair_format="
        )
        assert ("column='text' (--column text)" in message) == ("text" in TWO_FORMATS[formats])
    first = formats.split(" ")[0]
    assert recognise(path, PairTextSettings(pair_format=first)) == read(path, pair_format=first).format == first
