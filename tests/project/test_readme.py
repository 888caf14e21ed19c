"""The README is short and true: every name, command and figure that it shows. The file tree names every file."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from click.core import ParameterSource

import gpt2simple
from gpt2simple.cli.group import cli
from tests.helpers.paths import PACKAGE, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_LINES = 300
NOT_IN_THE_TREE = {"__init__.py", "__main__.py", "_version.py"}


def blocks(language: str, document: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.DOTALL | re.MULTILINE)


def paths_in_the_tree() -> dict[str, str]:
    """The paths that the file tree names, each with the words beside it. A line may hold two files."""
    (tree,) = blocks("tree", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []  # indentation and path of the folders around a line
    for line in tree.splitlines():
        indentation = len(line) - len(line.lstrip())
        folders = [(depth, path) for depth, path in folders if depth < indentation]
        above = folders[-1][1] if folders else ""
        cells = re.split(r" {2,}", line.strip())
        if cells[0].endswith("/"):
            folders.append((indentation, above + cells[0]))
        for name, words in zip(cells[::2], cells[1::2] or [""], strict=True):
            assert above + name not in found, f"{above + name} is listed twice"
            found[above + name] = words
    return found


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_the_first_commands_are_those_that_a_newcomer_needs() -> None:
    assert [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()] == ["make demo", "make test"]


def test_every_path_in_the_file_tree_exists() -> None:
    paths = paths_in_the_tree()
    assert len(paths) > 100
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_of_the_package_is_in_the_file_tree() -> None:
    named = {path.rstrip("/") for path in paths_in_the_tree()}
    modules = [path for path in PACKAGE.rglob("*.py") if path.name not in NOT_IN_THE_TREE]
    folders = [path.parent for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html", ".json")]
    wanted = {str(path.relative_to(ROOT).as_posix()) for path in (*modules, *folders)}
    assert sorted(wanted - named) == []


def test_each_module_of_the_tree_has_a_few_words() -> None:
    wordless = [path for path, words in paths_in_the_tree().items() if len(words) < 4 and path != "gpt2simple/"]
    assert wordless == []


def test_every_folder_of_the_repository_is_in_the_file_tree() -> None:
    named = {path.split("/")[0] for path in paths_in_the_tree()}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and any(map(is_source, path.iterdir()))}
    assert sorted(folders - named) == []


def is_source(path: Path) -> bool:
    return path.suffix in (".py", ".md") and not path.parent.name.startswith(".")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_to_files(link: str) -> None:
    assert (ROOT / link).is_file()


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
def test_commands_are_understood_as_they_are_written(words: list[str]) -> None:
    name, *given = words
    group = cli.make_context("gpt2simple", ["--help"], resilient_parsing=True)
    context = cli.commands[name].make_context(name, given[:], parent=group)  # it empties the list
    sources = map(context.get_parameter_source, context.params)
    assert (ParameterSource.COMMANDLINE in sources) == bool(given)


def test_every_command_is_shown_or_mentioned() -> None:
    mentioned = set(re.findall(r"`?gpt2simple ([\w-]+)", README))
    assert sorted(set(cli.commands) - mentioned) == []
