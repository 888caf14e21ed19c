"""Help: a screen of what many need, everything on request, both under the headings of the settings' declarations."""

from __future__ import annotations

import dataclasses
import re

import click
import pytest
from click.testing import CliRunner

from gpt2simple import settings
from gpt2simple.cli.group import cli
from gpt2simple.cli.help import SettingOption, brief, has_short_help

A_SCREEN = 42  # lines of 100 columns
SHORT = [name for name, command in cli.commands.items() if has_short_help(command)]


def shown(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words), terminal_width=98)  # click leaves two columns free
    assert done.exit_code == 0, done.output
    return done.output


def headings(text: str) -> list[str]:
    return re.findall(r"^(\S.*):$", text, re.MULTILINE)


def options_in(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-h, )?(--[\w-]+)", text, re.MULTILINE))


def test_the_help_of_finetune_fits_a_screen() -> None:
    lines = shown("finetune", "--help").splitlines()
    assert len(lines) <= A_SCREEN
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_option_is_under_the_heading_of_its_group(command: str) -> None:
    text = shown(command, "--help-all" if command in SHORT else "--help")
    sections = dict(zip(headings(text), re.split(r"^\S.*:$", text, flags=re.MULTILINE)[1:], strict=True))
    for option in cli.commands[command].params:
        if isinstance(option, SettingOption):
            assert option.opts[0] in options_in(sections[option.group])
        elif isinstance(option, click.Option):
            assert option.opts[0] in options_in(text)
    assert {"--help", "--debug"} <= options_in(text.rpartition(":\n")[2]), "they come last"


@pytest.mark.parametrize("command", SHORT)
def test_the_short_help_leaves_out_what_few_need_and_says_how_to_see_it(command: str) -> None:
    short, whole = shown(command, "--help"), shown(command, "--help-all")
    settings_of = [option for option in cli.commands[command].params if isinstance(option, SettingOption)]
    hidden = {option.opts[0] for option in settings_of if not option.common}
    assert options_in(whole) - options_in(short) == hidden
    assert "--help-all" in options_in(short)
    assert len(short.splitlines()) < 0.75 * len(whole.splitlines())


def test_commands_of_few_options_show_all_of_them() -> None:
    assert {"finetune", "finetune-classifier", "generate", "evaluate", "compare"} <= set(SHORT)
    assert not {"check", "info", "score", "report", "completion"} & set(SHORT)
    refused = CliRunner().invoke(cli, ["info", "--help-all"])
    assert (refused.exit_code, "No such option" in refused.stderr) == (2, True)


def test_every_setting_has_a_group() -> None:
    for name in settings.__all__:
        if name.endswith("Settings"):
            cls = getattr(settings, name)
            assert [field.name for field in dataclasses.fields(cls) if not field.metadata["group"]] == [], name


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("Layers; default: 6. [default: 6]", 40, "Layers; default: 6. [default: 6]"),
        ("Layers; default: 6; 0: none. [default: 6]", 35, "Layers; default: 6. [default: 6]"),
        ("Layers; default: 6; 0: none.", 10, "Layers."),
        ("Many layers of a model; 0: none.", 5, "Many layers of a model."),
        ("Many layers of a model.", 5, "Many layers of a model."),
    ],
)
def test_a_line_keeps_the_clauses_that_fit_and_the_default(text: str, width: int, line: str) -> None:
    assert brief(text, width) == line
