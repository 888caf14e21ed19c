"""Errors on the command line: one line each, and an exit code.

1: one of our errors; 2: incorrect usage; 130: interrupted. With ``--debug`` the traceback is shown instead.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any, NoReturn

import click

from gpt2simple.cli.help import HelpInGroups
from gpt2simple.errors import Gpt2SimpleError, SettingsError, printable
from gpt2simple.settings.fields import can_be_path
from gpt2simple.storage.contents import visible
from gpt2simple.storage.disk import LOST, named_disk_errors

_DEBUG = "gpt2simple.debug"
_ARGUMENTS = "gpt2simple.arguments"
INTERRUPTED = 130  # what shells report for a program stopped by Ctrl-C


def debug_option() -> click.Option:
    """``--debug``, an option of the group and of every command."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the full traceback of an error.",
    )


def _remember_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.meta[_DEBUG] = context.meta.get(_DEBUG, False) or value  # shared by the group and its command


def arguments_of(context: click.Context) -> list[str]:
    """The words that followed ``gpt2simple`` on the command line."""
    return list(context.meta.get(_ARGUMENTS, ()))


class Command(HelpInGroups):
    """A command that shows the package's messages while it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        from gpt2simple.api.console import show_messages  # on first use: `--help` does not need it

        show_messages()
        return super().invoke(ctx)


command = functools.partial(click.command, cls=Command)


class ErrorsInOneLine(click.Group):
    """A group that shows an error of its commands in one line, with the right exit code."""

    def main(self, *arguments: Any, **others: Any) -> Any:
        standalone_mode = others.pop("standalone_mode", True)
        if not standalone_mode:
            return super().main(*arguments, standalone_mode=False, **others)  # type: ignore[call-overload]
        from gpt2simple.api.console import forgiving_stderr  # on first use

        with forgiving_stderr():
            try:
                code = super().main(*arguments, standalone_mode=False, **others)  # type: ignore[call-overload]
            except click.ClickException as error:  # click's own, which quote what was typed
                _drop_what_stdout_refused()
                error.message = printable(error.message)  # type: ignore[misc]
                code = error.exit_code
                with contextlib.suppress(OSError):
                    if sys.stderr is not None:  # click would take stdout
                        error.show()
            except click.Abort:
                code = INTERRUPTED
            sys.exit(code or 0)

    def make_context(self, *arguments: Any, **others: Any) -> click.Context:
        try:
            with named_disk_errors():  # --help into a full disk
                return super().make_context(*arguments, **others)
        except Gpt2SimpleError as error:
            raise click.ClickException(str(error)) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not all(map(can_be_path, args)):  # only a program that calls this one can pass it; click fails at it
            raise click.UsageError("An argument holds NUL or half a surrogate pair. Leave that out.")
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with named_disk_errors():
                return super().invoke(ctx)
        except Gpt2SimpleError as error:
            if ctx.meta.get(_DEBUG):
                raise
            _end_with(ctx, f"Error: {' '.join(str(error).split())}", 2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            if ctx.meta.get(_DEBUG):
                raise
            _end_with(ctx, "Interrupted.", INTERRUPTED)


def _end_with(context: click.Context, line: str, code: int) -> NoReturn:
    _drop_what_stdout_refused()
    with contextlib.suppress(OSError):
        click.echo(visible(line), err=True)
    context.exit(code)


def _drop_what_stdout_refused() -> None:
    """Otherwise Python would try to write it again at exit, report the error twice, and change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except LOST:
        with contextlib.suppress(OSError):
            sys.stdout.close()
