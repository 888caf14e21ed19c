"""What the project's Markdown documents show: links, headings, programs, commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.core import ParameterSource

from gpt2simple.cli.group import cli
from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md"))
DOCUMENTS = [path for path in (README, ROOT / "CONTRIBUTING.md", *PAGES) if path.exists()]

_FENCE = re.compile(r"^```.*?^```\n", re.DOTALL | re.MULTILINE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(language: str, document: str) -> list[str]:
    """The code of a language that a document shows."""
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.DOTALL | re.MULTILINE)


def prose(document: str) -> str:
    """A document without its blocks of code."""
    return _FENCE.sub("", document)


def links(document: str) -> list[str]:
    """Where the links of a document lead that are no web addresses."""
    without_spans = re.sub(r"`[^`\n]*`(?!\])", "", prose(document))
    found = re.findall(r"\]\(([^()\s]+)\)", without_spans)
    return [link for link in found if not link.startswith(("http://", "https://", "mailto:"))]


def anchors(document: str) -> set[str]:
    """The addresses of a document's headings, as a repository browser makes them."""
    heads = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def command_lines(document: str) -> list[str]:
    """The commands that a document shows, one by one: of a pipe each part, and none of the comments."""
    lines = [line for block in blocks("sh", document) for line in block.replace("\\\n", " ").splitlines()]
    return [part for line in lines for part in _parts(line)]


def _parts(line: str) -> list[str]:
    words = shlex.shlex(line, posix=False, punctuation_chars="|&;<>")
    words.whitespace_split, words.commenters = True, "#"
    parts: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set("|&;"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(part) for part in parts if part]


def words_of(command: str) -> list[str]:
    """The words of a command that the program gets: without what the shell does with its input and output."""
    return shlex.split(re.sub(r" [<>] *\S+", "", command).replace("$'", "'"))


def check_command(words: list[str]) -> None:
    """Return if the command line takes these words, each as what it is."""
    name, *given = words
    group = cli.make_context("gpt2simple", ["--help"], resilient_parsing=True)
    context = cli.commands[name].make_context(name, given[:], parent=group)  # it empties the list
    sources = map(context.get_parameter_source, context.params)
    assert (ParameterSource.COMMANDLINE in sources) == bool(given)


def inline_commands(document: str) -> list[list[str]]:
    """The words of each `gpt2simple COMMAND ...` in the sentences of a document."""
    spans = re.findall(r"`(gpt2simple [^`]+)`", prose(document))
    return [shlex.split(" ".join(span.split())) for span in spans]
