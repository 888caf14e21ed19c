"""What is shown or written of the contents of files."""

from __future__ import annotations

import pytest

from gpt2simple.storage.contents import counted, json_digest, json_text, parse_json, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext, caf\u00e9, \u05e9\u05dc\u05d5\u05dd, \U0001f468\u200d\U0001f469", None),
        ("a\0b\x1b[31m\r\x9b", r"a\x00b\x1b[31m\r\x9b"),
        ("\u202egnirts\u2066\u200e\u061c", r"\u202egnirts\u2066\u200e\u061c"),
        ("line\u2028paragraph\u2029\x0b\x0c\x85", r"line\u2028paragraph\u2029\x0b\x0c\x85"),
        ("half \ud83d, byte \udce9", r"half \ud83d, byte \udce9"),
    ],
)
def test_what_does_not_show_is_written_as_in_python_source(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)
    visible(text).encode("utf-8")


def test_json_is_utf_8_whatever_a_file_is_called() -> None:
    assert json_text({"a": "caf\udce9 \U0001f600"}) == '{"a": "caf? \U0001f600"}'
    assert parse_json(json_text({"a": "caf\udce9 \U0001f600"}, ascii_only=True)) == {"a": "caf\udce9 \U0001f600"}


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "copy", "copies") for n in (0, 1, 2000)] == ["0 copies", "1 copy", "2,000 copies"]
    assert [counted(n, "step") for n in (0, 1, 2000)] == ["0 steps", "1 step", "2,000 steps"]


def test_the_digest_of_an_object_does_not_depend_on_the_order_of_its_keys() -> None:
    assert json_digest({"a": 1, "b": [2]}) == json_digest({"b": [2], "a": 1}) != json_digest({"a": 1, "b": [3]})
