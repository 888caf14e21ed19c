"""What a call of generation may ask for, and what is said of the rest, before any model is loaded."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.api.request import GenerateRequest
from gpt2simple.errors import SettingsError, StorageError
from gpt2simple.settings import GenerateSettings
from gpt2simple.storage import files


@pytest.mark.parametrize(
    ("prefix", "prefixes"),
    [
        (None, ("",)),
        ("", ("",)),
        ("ab", ("ab",)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ((text for text in "ab"), ("a", "b")),
        ([], ()),
    ],
)
def test_a_prefix_is_one_text_or_several_or_none(prefix: Any, prefixes: tuple[str, ...]) -> None:
    request = GenerateRequest.of(prefix, {"nsamples": 3})
    assert (request.prefixes, request.total) == (prefixes, 3 * len(prefixes))


def test_line_ends_are_those_of_training_texts_wherever_a_model_reads_or_writes_them() -> None:
    given = {"stop": ["a\r\nb", "\r\n\r\n"], "truncate": "\r\n", "bad_words": "x\r\n"}
    request = GenerateRequest.of(["AGNES\r\n", "old\rMac", "plain\n"], given)
    assert request.prefixes == ("AGNES\n", "old\rMac", "plain\n")
    settings = request.settings
    assert (settings.stop, settings.truncate, settings.bad_words) == (("a\nb", "\n\n"), "\n", ("x\n",))


@pytest.mark.parametrize("prefix", ["The king ", ["The king", "Once  "], "if x:\n    ", "a\t "])
def test_a_blank_at_the_end_of_a_prefix_is_pointed_out(prefix: Any) -> None:
    assert str(GenerateRequest.of(prefix, {}).message).startswith(
        "The prefix ends in a space. GPT-2's tokens include the"
    )


@pytest.mark.parametrize("prefix", ["", None, "The king", " ", " \n ", "AGNES\n", "a\t", "prix\xa0"])
def test_other_prefixes_are_not_remarked_on(prefix: Any) -> None:
    assert GenerateRequest.of(prefix, {}).message is None


@pytest.mark.parametrize("prefix", [5, b"bytes", [None], ["a", 1], [["a"]], Path("a"), 0.5])
def test_what_is_no_text_is_refused_with_its_value(prefix: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        GenerateRequest.of(prefix, {})
    assert str(refused.value) == f"prefix is {prefix!r}; expected a string or a list of strings."


def test_a_prompt_is_a_text_a_conversation_or_an_instruction() -> None:
    turns = [{"role": "user", "content": "a\r\nb"}]
    prompts = ["a\r\n", turns, {"instruction": "Translate it.", "input": "Oui\r\n"}, {"instruction": "Go."}]
    request = GenerateRequest.of("", {}, prompt=prompts)
    assert request.prefixes == (
        "a\n",
        [{"role": "user", "content": "a\nb"}],
        {"instruction": "Translate it.", "input": "Oui\n"},
        {"instruction": "Go.", "input": ""},
    )
    assert GenerateRequest.of("", {}, prompt=prompts[2]).prefixes == request.prefixes[2:3]
    assert GenerateRequest.of("", {}, prompt=turns[0]).prefixes == request.prefixes[1:2]  # a message alone


@pytest.mark.parametrize(
    "prompt",
    [
        5,
        " ",
        [""],
        {"role": "user"},
        [[{"role": "bot", "content": "a"}]],
        {"input": "a"},
        [{"instruction": " "}],
    ],
)
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(
        SettingsError,
        match=r"^A prompt is .*; expected a text that is not blank, a list of messages such as \{'role': 'user', "
        r"'content': 'What is the capital of France\?'\}, with the roles system, user, assistant, or "
        r"\{'instruction': \.\.\., 'input': \.\.\.\}\.$",
    ):
        GenerateRequest.of("", {}, prompt=prompt)


def test_a_seed_is_drawn_where_none_was_given_and_zero_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    class Generator:
        def generate(self, prefixes: tuple[str, ...], settings: GenerateSettings) -> list[Any]:
            assert settings.seed is not None
            used.append(settings.seed)
            return []

    with gpt2simple.Session("absent", precision="float32") as session:
        monkeypatch.setattr(session, "_generator", Generator)
        monkeypatch.setattr(session, "_next_seed", lambda: 7)
        for given in ({}, {"seed": None}, {"seed": 0}):
            session.samples("", **given)
    assert used == [7, 7, 0]


@pytest.mark.parametrize(
    ("prefix", "settings", "message"),
    [
        ("", {"nsamples": 2}, r"^nsamples is 2; stream\(\) generates one\. Use generate\(nsamples=2\)\.$"),
        (["a", "b"], {}, r"^prefix holds 2 texts; stream\(\) generates one\. Use pieces\(prefix\)\.$"),
        ([], {}, r"^prefix holds 0 texts; stream\(\) generates one\."),
        (5, {}, r"^prefix is 5; expected a list of strings or str\.$"),
        ("", {"logprobs": True}, r"^logprobs is True, but this call returns plain texts\."),
    ],
)
def test_a_stream_is_of_one_text(prefix: Any, settings: dict[str, Any], message: str) -> None:
    GenerateRequest.of(None, {}).require_one_text()
    GenerateRequest.of(["a"], {}).require_one_text()
    with pytest.raises(SettingsError, match=message):
        gpt2simple.Session("absent", precision="float32").stream(prefix, **settings)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gpt2simple.Session:
    """One without any model: whatever is refused in time asks for none."""
    monkeypatch.chdir(tmp_path)
    return gpt2simple.Session("absent", precision="float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_delim": 5}, "sample_delim is 5; expected str."),
        ({"sample_delim": None}, "sample_delim is None; expected str."),
        ({"sample_delim": "\udcff"}, "sample_delim is '\\udcff'; expected a string of valid Unicode."),
        ({"destination_path": ""}, "destination_path is ''; expected the name of a file."),
        (
            {"destination_path": "a\0b"},
            "destination_path is 'a\\x00b'; expected the name of a file or folder, without NUL or half a surrogate "
            "pair.",
        ),
        ({"destination_path": 5}, "destination_path is 5; expected Path or str."),
        (
            {"destination_path": "new.txt", "return_as_list": True},
            "return_as_list and destination_path were both given; give one of the two.",
        ),
        ({"destination_path": "new.txt", "temperature": -1}, "temperature is -1; expected a finite number, at least "),
        ({"prefix": 5}, "prefix is 5; expected a list of strings or str."),
        ({"return_as_list": True, "prefix": 5}, "prefix is 5; expected a list of strings or str."),
    ],
)
def test_a_call_is_refused_before_a_model_is_loaded_or_a_file_left(
    session: gpt2simple.Session, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        gpt2simple.generate(session=session, **arguments)
    assert str(refused.value).startswith(message)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("path", "number", "message"),
    [
        ("file/new.txt", None, r"^Cannot write into file: it is a file, where a folder is needed\. Choose another"),
        ("file/deeper/new.txt", None, r"^Cannot write file.*: a part of the path is a file, where a folder is needed"),
        ("n" * 300, None, r"^Cannot write n+: the name is too long for this disk\. Choose a shorter one\.$"),
        ("new.txt", errno.EACCES, r"^Cannot write new\.txt: there is no permission\. Choose a folder of your own, or"),
        ("new.txt", errno.EROFS, r"^Cannot write new\.txt: it is on a read-only disk\. Choose a folder that can be"),
        ("new.txt", errno.ENOENT, r"^Cannot make new\.txt: no files can be created there\. Choose another folder\.$"),
    ],
)
def test_a_file_that_cannot_be_made_is_said_before_a_model_is_loaded(
    session: gpt2simple.Session, monkeypatch: pytest.MonkeyPatch, path: str, number: int | None, message: str
) -> None:
    """Once a hundred samples were written before it showed that the folder was not there."""
    Path("file").write_text("")
    if number is not None:

        def refuse(self: Path, *_: Any, **__: Any) -> None:
            raise OSError(number, "refused", str(self))

        monkeypatch.setattr(files.Path, "open", refuse)
    with pytest.raises(StorageError, match=message):
        gpt2simple.generate_to_file(path, session=session)


def test_settings_are_checked_before_they_are_used() -> None:
    with pytest.raises(SettingsError, match=r"^logprobs is array\(\[1, 2\]\); expected bool\.$"):
        GenerateRequest.of("", {"logprobs": np.array([1, 2])}, texts_alone=True)
