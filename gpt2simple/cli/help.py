"""Help with the options grouped by purpose: ``--help`` shows those that many need, ``--help-all`` every one.

The groups and what is common are declared with the settings. A command of few options shows all of them.
"""

from __future__ import annotations

import re
from typing import Any

import click

_EVERYTHING = "gpt2simple.help_all"
_MOST_OPTIONS = 20  # of a command that shows all of them
_OWN, _LAST = "Options", "Output and help"
_SHARED = {"--json", "--config", "--debug", "--help", "--help-all"}


class SettingOption(click.Option):
    """An option made from a setting.

    Args:
        group: the heading above it. common: whether ``--help`` shows it.
    """

    def __init__(self, *arguments: Any, group: str, common: bool, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.group, self.common = group, common


class HelpInGroups(click.Command):
    """A command that lists its options under the headings of their groups, the short ones each in one line."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        everything = ctx.meta.get(_EVERYTHING, False) or not has_short_help(self)
        groups: dict[str, list[tuple[str, str]]] = {_OWN: []}
        last: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or not isinstance(parameter, click.Option):
                continue
            if not isinstance(parameter, SettingOption):
                (groups[_OWN] if _SHARED.isdisjoint(parameter.opts) else last).append(record)
            elif everything or parameter.common:
                groups.setdefault(parameter.group, []).append(record)
        groups[_LAST if any(groups.values()) else _OWN] = last
        names = [len(name) for rows in groups.values() for name, _ in rows]
        first_column = max(length for length in names if length <= _WIDEST)
        width = formatter.width - first_column - 4  # two spaces before and after the names
        for heading, rows in groups.items():
            if rows:
                with formatter.section(heading):
                    lines = [(n.ljust(first_column), text if everything else brief(text, width)) for n, text in rows]
                    formatter.write_dl(lines, col_max=first_column)


_WIDEST = 30  # characters of an option's name and type beside its help; longer ones have a line of their own


def has_short_help(command: click.Command) -> bool:
    """Whether ``--help`` of a command leaves options out."""
    return len(command.params) > _MOST_OPTIONS and any(
        isinstance(option, SettingOption) and not option.common for option in command.params
    )


def help_all_option() -> click.Option:
    """``--help-all``, an option of every command whose ``--help`` leaves some out."""
    return click.Option(
        ["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_show_all, help="Show every option."
    )


def _show_all(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.meta[_EVERYTHING] = True
        click.echo(context.get_help(), color=context.color)
        context.exit()


def brief(text: str, width: int) -> str:
    """The help of an option without its last clauses, so that it fits on a line; the first clause stays in any case."""
    found = re.fullmatch(r"(.*?)( \[default: .*\])?", text, re.DOTALL)
    assert found is not None  # it matches any text
    clauses, default = found[1].split("; "), found[2] or ""
    shorter = [f"{'; '.join(clauses[:n])}.{default}" for n in range(len(clauses) - 1, 0, -1)]
    return next((line for line in (text, *shorter) if len(line) <= width), shorter[-1] if shorter else text)
