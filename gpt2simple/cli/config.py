"""``--config``: the settings of a command from a file; options that are typed win."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gpt2simple.cli.help import has_short_help
from gpt2simple.cli.options import CommandT
from gpt2simple.errors import SettingsError


def config_option(command: CommandT) -> CommandT:
    """Add ``--config`` to a command; it stands above ``settings_options``, which put typed values over the file's."""

    @functools.wraps(command)
    def with_config(config: Path | None, **parameters: Any) -> Any:
        if config is not None:
            parameters["settings"] = _settings_of(config, click.get_current_context())
        return command(**parameters)

    option = click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="File of settings: a run's run.json, or TOML. What is typed wins.",
    )
    return option(with_config)  # type: ignore[return-value]


def _settings_of(path: Path, context: click.Context) -> dict[str, Any]:
    """The settings in a file that the options of a command do not replace.

    Raises:
        SettingsError: a name or value does not fit the command, or the run is not one that it trains.
    """
    from gpt2simple.api.settings_file import open_settings  # on first use: `--help` needs none
    from gpt2simple.settings.alternatives import without_replaced

    found = open_settings(path)
    if found.task is not None:
        _require_trained_by(context, path, found.task)
    values = _checked(found.settings, path, context)
    typed = {name: value for name, value in context.params.items() if _is_typed(context, name)}
    if "checkpoint" in context.params and {"model_name", "run_name"} & typed.keys():  # where one excludes the other
        values = {name: value for name, value in values.items() if name not in ("model_name", "run_name")}
    return without_replaced(values, typed)


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)


def _require_trained_by(context: click.Context, path: Path, task: str) -> None:
    from gpt2simple.settings.tasks import FUNCTIONS

    trainer = FUNCTIONS[task].replace("_", "-")
    if trainer == context.command.name:
        return
    raise SettingsError(
        f"{path} describes a run of {task}, which {trainer} repeats; {context.command.name} takes a TOML file with "
        "settings of its own" + (", and the run by --run-name." if "run_name" in context.params else ".")
    )


def _checked(values: Mapping[str, Any], path: Path, context: click.Context) -> dict[str, Any]:
    """The values as click would pass them; raises SettingsError with everything that is wrong."""
    from gpt2simple.settings.fields import plain_types, setting_problem

    fields = _settings_by_name(context.command)
    checked, problems = {}, []
    for name, value in values.items():
        if name not in fields:
            problems.append(_unknown(name, list(fields), context))
            continue
        field, hint = fields[name]
        if tuple in plain_types(hint) and isinstance(value, (str, list)):  # one text will do where several may be given
            value = (value,) if isinstance(value, str) else tuple(value)
        checked[name] = value
        if problem := setting_problem(field, value, hint):
            problems.append(problem)
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return checked


def _settings_by_name(command: click.Command) -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """The settings that a command takes, each with its type."""
    classes = getattr(command.callback, "settings", ())
    return {
        field.name: (field, hints[field.name])
        for cls, hints in ((cls, typing.get_type_hints(cls)) for cls in classes)
        for field in dataclasses.fields(cls)
        if field.metadata["cli"]
    }


def _unknown(name: str, known: list[str], context: click.Context) -> str:
    command, group = context.command, context.find_root().command
    if any(parameter.name == name for parameter in command.params):
        return f"{name} is no setting, but an option or argument of {command.name} alone; type it."
    others = group.commands.values() if isinstance(group, click.Group) else ()
    takers = [str(other.name) for other in others if name in _settings_by_name(other)]
    near = difflib.get_close_matches(name, known, n=1)
    if takers:
        hint = f"it is one of {', '.join(takers)}"
    elif near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"`gpt2simple {command.name} --help{'-all' if has_short_help(command) else ''}` lists them."
    return f"{name} is not a setting of {command.name}; {hint}".rstrip(".") + ("" if hint.endswith("?") else ".")
