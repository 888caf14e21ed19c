"""Prompts as text: what each template writes, and that its Jinja writes the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from gpt2simple.data.prompt_template import (
    ROLES,
    Message,
    PromptTemplate,
    alpaca_message,
    alpaca_template,
    chat_template,
    plain_template,
    template_from_json,
)
from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer import Tokenizer
from tests.helpers.paths import TINY
from tests.helpers.reference import printed_by

ODD = "\"'\\{{ x }}{% raw %}\t\r\n\x01é🎉<|endoftext|>"
TEMPLATES = [
    plain_template(), chat_template(), alpaca_template(),
    plain_template(separator=f" ->{ODD}", end=f" {ODD}END"), chat_template(end=ODD),
]  # fmt: skip
CONVERSATIONS = [
    [("user", "Say: hi")],
    [("system", "Be kind."), ("user", " one\n"), ("assistant", "two"), ("user", "three")],
    [("assistant", "Welcome"), ("user", ODD), ("assistant", ODD), ("system", "Now"), ("user", "x"), ("user", "y")],
    [("user", alpaca_message("Correct it.", "He go.").content), ("assistant", "He goes.")],
    [("user", alpaca_message("Count.", "  ").content)],
]


def messages_of(conversation: list[tuple[str, str]]) -> list[Message]:
    return [Message(*turn) for turn in conversation]


def dicts_of(conversation: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in conversation]


def rendered(template: PromptTemplate, conversation: list[tuple[str, str]], *, generate: bool = True) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # as transformers has it
    compiled = environment.from_string(template.chat_template())
    return compiled.render(messages=dicts_of(conversation), add_generation_prompt=generate)


@pytest.mark.parametrize(
    ("template", "conversation", "expected"),
    [
        (plain_template(), 0, "Say: hi\n###\n"),
        (plain_template("\n->"), 0, "Say: hi\n->"),
        (chat_template(), 0, "### User:\nSay: hi\n\n### Assistant:\n"),
        (
            chat_template(),
            1,
            "### System:\nBe kind.\n\n### User:\n one\n\n\n### Assistant:\ntwo\n\n### User:\nthree\n\n### Assistant:\n",
        ),
        (
            alpaca_template(),
            0,
            "Below is an instruction that describes a task. Write a response that appropriately completes the request."
            "\n\n### Instruction:\nSay: hi\n\n### Response:\n",
        ),
        (
            alpaca_template(),
            1,
            "Be kind.\n\n### Instruction:\n one\n\n\n### Response:\ntwo\n\n### Instruction:\nthree\n\n### Response:\n",
        ),
    ],
)
def test_prompts(template: PromptTemplate, conversation: int, expected: str) -> None:
    assert template.prompt_of(messages_of(CONVERSATIONS[conversation])) == expected
    assert template.prompt_of(dicts_of(CONVERSATIONS[conversation])) == expected


def test_alpaca_with_an_input() -> None:
    assert alpaca_template().prompt_of([alpaca_message("Correct it.", "He go.")]) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nCorrect it.\n\n### Input:\nHe go.\n\n"
        "### Response:\n"
    )


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(DataError, match=r"^Message 1 has the role 'bot'; expected system, user, assistant\.$"):
        chat_template().prompt_of([Message("user", "a"), Message("bot", "b")])


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_jinja_writes_the_same_prompts(template: PromptTemplate, conversation: list[tuple[str, str]]) -> None:
    assert rendered(template, conversation) == template.prompt_of(messages_of(conversation))


turns = st.lists(st.tuples(st.sampled_from(ROLES), st.text(max_size=8)), min_size=1, max_size=5)


@given(st.sampled_from(TEMPLATES), turns)
def test_jinja_writes_the_same_for_any_conversation(
    template: PromptTemplate, conversation: list[tuple[str, str]]
) -> None:
    assert rendered(template, conversation) == template.prompt_of(messages_of(conversation))


@pytest.mark.parametrize("template", TEMPLATES)
def test_jinja_writes_prompt_completion_and_end_of_a_finished_conversation(template: PromptTemplate) -> None:
    *prompt, (_, completion) = CONVERSATIONS[3]
    whole = template.prompt_of(messages_of(prompt)) + completion + template.end
    assert rendered(template, CONVERSATIONS[3], generate=False) == whole


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_jinja_is_plain_enough_for_other_programs(template: PromptTemplate) -> None:
    """llama.cpp and others have engines of their own, which know loops, conditions, strings and little else."""
    source = template.chat_template()
    known = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Name, nodes.Const, nodes.Compare,
        nodes.Operand, nodes.Getitem, nodes.Getattr, nodes.Add, nodes.And, nodes.Not,
    )  # fmt: skip
    tree = jinja2.Environment().parse(source)
    assert {type(node) for node in tree.find_all(nodes.Node)} <= set(known)
    assert {f"{node.node.name}.{node.attr}" for node in tree.find_all(nodes.Getattr)} == {"loop.first", "loop.last"}
    assert not [data for data in tree.find_all(nodes.TemplateData) if data.data]  # no blanks that an engine may trim
    assert "\n" not in source


@pytest.mark.parametrize("template", TEMPLATES)
def test_json_and_back(template: PromptTemplate) -> None:
    assert template_from_json(json.loads(json.dumps(template.to_json() | {"later": 1}))) == template


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": 3}, "its user is 3, and expected is text"),
        ({"end": None}, "its end is None, and"),
        (None, "it has only unknown names"),
    ],
)
def test_damaged_json_is_explained(changes: dict[str, Any] | None, message: str) -> None:
    values = {} if changes is None else chat_template().to_json() | changes
    with pytest.raises(
        DataError, match=rf"^The prompt template is damaged: {re.escape(message)}.*Restore the file that"
    ):
        template_from_json(values)


@pytest.mark.parametrize("template", TEMPLATES[:3])
@pytest.mark.parametrize("completion", ["Paris.", " Paris.", "\nParis.", "42", "'s"])
def test_the_boundary_lies_where_the_joined_text_has_one(template: PromptTemplate, completion: str) -> None:
    tokenizer = Tokenizer.load(TINY)
    for prompt in ("What is the capital of France?", "A blank ", "A line\n"):
        text = template.prompt_of([Message("user", prompt)])
        assert tokenizer.encode(text) + tokenizer.encode(completion) == tokenizer.encode(text + completion)


@pytest.mark.reference
def test_transformers_writes_the_same_prompts(tmp_path: Path) -> None:
    cases = [(template, conversation) for template in TEMPLATES for conversation in CONVERSATIONS]
    asked = [(template.chat_template(), dicts_of(conversation), True) for template, conversation in cases]
    (tmp_path / "cases.json").write_text(json.dumps(asked), encoding="utf-8")
    theirs = json.loads(printed_by("reference/chat_templates.py", tmp_path / "cases.json"))
    assert theirs == [template.prompt_of(messages_of(conversation)) for template, conversation in cases]
