"""The README says what is true: every setting with its default, every path in its tree, every name it calls."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex

import pytest
from click.core import ParameterSource

import gpt2simple
from gpt2simple.cli.group import cli
from gpt2simple.settings import CompareSettings, EvaluateSettings, FinetuneSettings, GenerateSettings, TextSettings
from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def setting_row(field: dataclasses.Field) -> str:
    """The line of the README's tables for a setting; paste it there when this test asks for it."""
    choices = field.metadata["choices"]
    values = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return f"| `{field.name}` | `{field.default!r}` | {field.metadata['help']}{values} |"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "settings", [FinetuneSettings, TextSettings, GenerateSettings, EvaluateSettings, CompareSettings]
)
def test_every_setting_stands_in_a_table_with_its_default_and_meaning(settings: type) -> None:
    lines = README.splitlines()
    missing = [row for field in dataclasses.fields(settings) if (row := setting_row(field)) not in lines]
    assert not missing, "\n".join(["rows that the README lacks:", *missing])


def test_every_path_in_the_file_tree_exists() -> None:
    (tree,) = blocks("tree")
    folder, paths = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        paths.append(ROOT / (name if not line.startswith(" ") else folder + name))
    assert len(paths) > 20
    assert [str(path.relative_to(ROOT)) for path in paths if not path.exists()] == []


def test_every_module_of_the_package_stands_in_the_file_tree() -> None:
    (tree,) = blocks("tree")
    package = tree.split("gpt2simple/\n")[1].split("\ntests/")[0]
    named = {line.split()[0].rstrip("/") for line in package.splitlines() if line.strip()}
    parts = {path.name for path in (ROOT / "gpt2simple").iterdir() if path.suffix == ".py" or path.is_dir()}
    hidden = {"__init__.py", "__main__.py", "__pycache__", "_version.py"}
    assert sorted(parts - hidden - named) == []


@pytest.mark.parametrize("program", blocks("python"))
def test_python_examples_use_names_that_exist(program: str) -> None:
    tree = ast.parse(program)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gpt2simple"
    }
    assert sorted(used - set(gpt2simple.__all__) - {"compat"}) == []


def commands() -> list[list[str]]:
    """The words of every gpt2simple command that the README shows."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("gpt2simple ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood_as_they_stand(words: list[str]) -> None:
    name, *given = words
    group = cli.make_context("gpt2simple", ["--help"], resilient_parsing=True)
    context = cli.commands[name].make_context(name, given[:], parent=group)  # it uses the list up
    sources = map(context.get_parameter_source, context.params)
    assert (ParameterSource.COMMANDLINE in sources) == bool(given)


def test_every_command_of_the_command_line_is_shown_or_told_of() -> None:
    told = set(re.findall(r"`?gpt2simple (\w+)", README))
    assert sorted(set(cli.commands) - told) == []
