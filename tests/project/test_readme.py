"""The README is short and mentions every command. The file tree names every file; test_documents.py has the rest."""

from __future__ import annotations

import re
from pathlib import Path

from gpt2simple.cli.group import cli
from tests.helpers import documents
from tests.helpers.documents import blocks
from tests.helpers.paths import PACKAGE, ROOT

README = documents.text_of(documents.README)
MOST_LINES = 300
NOT_IN_THE_TREE = {"__init__.py", "__main__.py", "_version.py"}


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
    assert [line.split("#")[0].strip() for line in blocks("sh", README)[0].splitlines()] == ["make demo", "make test"]


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


def test_every_command_is_shown_or_mentioned() -> None:
    mentioned = set(re.findall(r"`?gpt2simple ([\w-]+)", README))
    assert sorted(set(cli.commands) - mentioned) == []
