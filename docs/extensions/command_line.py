"""The page on the commands, made from the commands: usage, description, examples, and every option by its group.

`commands.md` holds an introduction; what follows it is written when the pages are built.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click
from make_settings import anchor, classes_of, cli, option_names, title_of

PAGE = "commands"


def sections() -> str:
    """A section on each command, as Markdown."""
    return "\n".join(part for name, command in cli.commands.items() for part in _section(name, command))


def _section(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"gpt2simple {name}")
    yield f"\n## {name}\n"
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield from map(_paragraph, re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")))
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for cls in classes_of(command):
        of_class = [option for option in options if option.name in option_names(cls)]
        options = [option for option in options if option not in of_class]
        yield f"**[{title_of(cls)}](settings.md#{anchor(title_of(cls))})**\n"
        yield "\n".join([*map(_option, of_class), ""])
    yield "**Other options**\n" if classes_of(command) else "**Options**\n"
    yield "\n".join([*map(_option, options), ""])


def _paragraph(text: str) -> str:
    """A paragraph of a description; click keeps the lines of one that begins with the mark \\b: examples."""
    if text.startswith("\b"):
        return f"```sh\n{inspect.cleandoc(text[1:])}\n```\n"
    return f"{_escaped(' '.join(text.split()))}\n"


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('')))}"
    names = "/".join([*option.opts, *option.secondary_opts])
    return f"* `{names}{value}`: {_escaped(option.help or '')}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]{}|$])", r"\\\1", text)


def _read(_app: Any, docname: str, content: list[str]) -> None:
    if docname == PAGE:
        content[0] += sections()


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _read, priority=500)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
