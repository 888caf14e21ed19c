"""README, CONTRIBUTING and the pages of docs/: links lead somewhere, commands and names are those that exist."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gpt2simple
import gpt2simple.compat
from gpt2simple.cli.group import cli
from gpt2simple.compat import command as old_command
from tests.helpers.documents import (
    DOCS,
    DOCUMENTS,
    PAGES,
    anchors,
    blocks,
    check_command,
    command_lines,
    inline_commands,
    links,
    name_of,
    text_of,
    words_of,
)
from tests.helpers.paths import GOLDEN, ROOT

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
NOT_OURS = {"cat", "cd", "echo", "git", "tensorboard"}  # what a shell line may begin with besides


@each_document
def test_links_lead_to_files_and_headings(document: Path) -> None:
    wrong = []
    for link in links(text_of(document)):
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (heading and (target.suffix != ".md" or heading not in anchors(text_of(target)))):
            wrong.append(link)
    assert wrong == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = "\n".join(blocks(r"\{toctree\}", text_of(DOCS / "index.md"))).split()
    assert sorted({page.stem for page in PAGES} - {"index"} - set(listed)) == []


def shown_commands() -> list[Any]:
    return [
        pytest.param(line, id=f"{name_of(document)}: {line}")
        for document in DOCUMENTS
        for line in command_lines(text_of(document))
    ]


@pytest.mark.parametrize("line", shown_commands())
def test_commands_are_understood_as_they_are_written(line: str) -> None:
    program, *words = words_of(line)
    if program == "gpt2simple":
        check_command(words)
    elif program == "make":
        assert {word for word in words if "=" not in word} <= make_targets()
    elif "pip" in (program, *words[:2]):
        assert set(re.findall(r"\[([\w,-]+)\]", line)) <= extras()
    elif words[:2] == ["-m", "gpt2simple.compat"]:
        old_command._parser().parse_args(words[2:])
    elif program in ("python", ".venv/bin/python"):
        names = [word for word in words if word.endswith(".py") or word.startswith("tests/")]
        assert names or words[0] == "-m"
        assert [name for name in names if not (ROOT / name.partition("::")[0]).exists()] == []
    else:
        assert program in NOT_OURS


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))


def extras() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(config["options.extras_require"])


@each_document
def test_commands_in_sentences_have_names_and_options_that_exist(document: Path) -> None:
    for _, name, *words in inline_commands(text_of(document)):
        if not name.isupper() and name != "--help":  # gpt2simple COMMAND --help
            options = {option for each in cli.commands[name].params for option in (*each.opts, *each.secondary_opts)}
            assert {word for word in words if word.startswith("-")} <= options | {"--help"}


def shown_programs() -> list[Any]:
    return [
        pytest.param(program, id=f"{name_of(document)}-{number}")
        for document in DOCUMENTS
        for number, program in enumerate(blocks("python", text_of(document)))
    ]


@pytest.mark.parametrize("program", shown_programs())
def test_programs_use_names_and_arguments_that_exist(program: str) -> None:
    assert [problem for node in ast.walk(ast.parse(program)) for problem in problems(node)] == []


def problems(node: ast.AST) -> Iterator[str]:
    """The names of the package in a part of a program that do not exist, and arguments that a call does not take."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in PLACES:
        if not hasattr(PLACES[node.value.id], node.attr):
            yield f"{node.value.id}.{node.attr}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        place = PLACES.get(node.func.value.id)
        called = getattr(place, node.func.attr, None)
        if callable(called):
            takes = inspect.signature(called).parameters
            yield from (
                f"{node.func.attr}({word.arg}=)" for word in node.keywords if word.arg and word.arg not in takes
            )


# The names under which programs have the package: where each is looked up.
PLACES: dict[str, Any] = {
    "gpt2simple": gpt2simple,
    "gpt2": gpt2simple.compat,
    "session": gpt2simple.Session,
}


def settings_and_arguments() -> set[str]:
    """Every name that a call of the package takes."""
    functions = [getattr(gpt2simple, name) for name in gpt2simple.__all__]
    return {name for each in functions if callable(each) for name in inspect.signature(each).parameters}


def test_the_tables_on_moving_name_arguments_and_options_that_exist() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \| ", text_of(DOCS / "moving.md"), re.MULTILINE)
    cells = [here for _, here in rows]
    named = {name for cell in cells for name in re.findall(r"[`(]\(?(\w+)=", cell)}
    assert len(named) > 20
    assert sorted(named - settings_and_arguments()) == []
    typed = {option for cell in cells for option in re.findall(r"--[a-z][\w-]+", cell)}
    every = {option for command in cli.commands.values() for each in command.params for option in each.opts}
    assert len(typed) > 20
    assert sorted(typed - every) == []


def test_the_tables_on_moving_name_every_argument_of_gpt_2_simple_with_its_default() -> None:
    (section,) = re.findall(r"^## gpt-2-simple\n(.*?)^## ", text_of(DOCS / "moving.md"), re.DOTALL | re.MULTILINE)
    of_finetune, of_generate = section.split("What `generate` takes:")
    signatures = json.loads(text_of(GOLDEN / "gpt2_simple_signatures.json"))
    for table, name in ((of_finetune, "finetune"), (of_generate, "generate")):
        written = dict(
            re.findall(r"`(\w+)(?:=([^`]+))?`", "\n".join(re.findall(r"^\| (.*?) \| ", table, re.MULTILINE)))
        )
        assert sorted(set(signatures[name]) - set(written)) == []
        defaults = {given: ast.literal_eval(shown) for given, shown in written.items() if shown}
        assert len(defaults) > 8
        assert defaults == {given: signatures[name][given] for given in defaults}


def test_every_public_name_is_in_the_reference() -> None:
    page = text_of(DOCS / "api.md")
    lacking = [
        name
        for name in gpt2simple.__all__
        if not re.search(rf":: (gpt2simple\.)?{name}$", page, re.MULTILINE)
        and getattr(getattr(gpt2simple, name), "__module__", "") != "gpt2simple.errors"
    ]
    assert lacking == ["__version__"]
