"""The site of `make docs`: pages made from the code, links rewritten, and a build in which a warning is an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2simple.cli.group import cli
from tests.helpers.documents import DOCS, check_command, command_lines, text_of, words_of
from tests.helpers.paths import ROOT


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (DOCS, DOCS / "extensions"):
        monkeypatch.syspath_prepend(str(folder))


def test_the_page_on_commands_has_every_command_with_every_option() -> None:
    import command_line

    parts = dict(part.split("\n", 1) for part in command_line.sections().split("\n## ")[1:])
    assert list(parts) == list(cli.commands)
    for name, command in cli.commands.items():
        spelled = {
            f"`{'/'.join([*each.opts, *each.secondary_opts])}" for each in command.params if each.opts[0][0] == "-"
        }
        assert [option for option in spelled if option not in parts[name]] == []


def test_the_examples_in_the_help_of_commands_are_understood() -> None:
    import command_line

    lines = [words_of(line) for line in command_lines(command_line.sections())]
    ours = [words for program, *words in lines if program == "gpt2simple"]
    assert len(ours) > len(cli.commands)
    for words in ours:
        check_command(words)


@pytest.mark.parametrize(
    ("docname", "written", "shown"),
    [
        ("lora", "[speed](performance.md#lora)", "[speed](performance.md#lora)"),
        ("lora", "[the page](../README.md#install)", "[the page](readme.md#install)"),
        ("lora", "[results](../benchmarks/results)", "results (`benchmarks/results/`)"),
        ("lora", "[benchmarks](../benchmarks)", "`benchmarks/`"),
        ("lora", "[example](../examples/demo.py)", "[example](../examples/demo.py)"),
        ("lora", "[nothing](../missing.md)", "[nothing](../missing.md)"),
        ("lora", "`[code](../README.md)`", "`[code](../README.md)`"),
        ("lora", "```\n[code](../README.md)\n```\n", "```\n[code](../README.md)\n```\n"),
    ],
)
def test_links_out_of_the_folder(docname: str, written: str, shown: str) -> None:
    import repository

    assert repository.page_text(docname, written) == shown


def test_the_readme_is_a_page_whose_links_are_those_of_a_page() -> None:
    import repository

    page = repository.page_text("readme", "# README\n")
    assert page.startswith("# gpt2simple\n")
    assert "](lora.md)" in page
    assert "](docs/" not in page


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = build(DOCS, tmp_path / "site")
    assert done.returncode == 0, done.stderr[-3000:]
    for page in ("index", "readme", "quickstart", "troubleshooting", "commands", "contributing"):
        assert (tmp_path / "site" / f"{page}.html").is_file()
    for name in ("finetune", "Session.generate", "errors.RunLockedError", "api.result.FinetuneResult"):
        assert f'id="gpt2simple.{name}"' in text_of(tmp_path / "site" / "api.html")


@pytest.mark.slow
def test_what_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    for name in ("docs", "gpt2simple"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    for name in ("README.md", "CONTRIBUTING.md", "benchmarks", "examples", "tests", "Makefile", "setup.cfg"):
        (tmp_path / name).symlink_to(ROOT / name)
    wrong = {
        "lora.md": "[a](nowhere.md) [b](performance.md#no-such-heading) ![c](pictures/no-such.png)",
        "api.md": "```{eval-rst}\n.. autofunction:: gpt2simple.fine_tune\n\n:py:class:`NoSuchClass`\n```",
    }
    for page, words in wrong.items():
        changed = tmp_path / "docs" / page
        changed.write_text(f"{text_of(changed)}\n{words}\n", encoding="utf-8")
    done = build(tmp_path / "docs", tmp_path / "site")
    assert done.returncode != 0
    for name in ("nowhere.md", "no-such-heading", "no-such.png", "fine_tune", "NoSuchClass"):
        assert name in done.stderr


def build(docs: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    pytest.importorskip("furo", reason='pip install ".[docs]" brings Sphinx, furo and MyST')
    (command,) = [line for line in text_of(ROOT / "Makefile").splitlines() if "-m sphinx" in line]
    options = command.partition("-m sphinx")[2].replace("docs docs/_build", "").split()
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(docs), str(target)],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
