"""Errors on the command line: one line each, and an exit code.

1: one of our errors; 2: incorrect usage; 130: interrupted. With ``--debug`` the traceback is shown instead.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any, NoReturn

import click

from gpt2simple.errors import Gpt2SimpleError, SettingsError

_DEBUG = "gpt2simple.debug"
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


class Command(click.Command):
    """A command that shows the package's messages while it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        from gpt2simple.api.console import show_messages  # on first use: `--help` does not need it

        show_messages()
        return super().invoke(ctx)


command = functools.partial(click.command, cls=Command)


class ErrorsInOneLine(click.Group):
    """A group that shows an error of its commands in one line, with the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Gpt2SimpleError, OSError) as error:  # OSError: an unexpected one
            if ctx.meta.get(_DEBUG) or isinstance(error, BrokenPipeError):
                raise  # a closed pipe: click ends silently
            _end_with(ctx, f"Error: {' '.join(str(error).split())}", 2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            if ctx.meta.get(_DEBUG):
                raise
            _end_with(ctx, "Interrupted.", INTERRUPTED)


def _end_with(context: click.Context, line: str, code: int) -> NoReturn:
    _drop_what_stdout_refused()
    from gpt2simple.storage.contents import visible  # on an error only: `--help` does not need it

    click.echo(visible(line), err=True)
    context.exit(code)


def _drop_what_stdout_refused() -> None:
    """Otherwise Python would try to write it again at exit, report the error twice, and change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: it is closed
        with contextlib.suppress(OSError):
            sys.stdout.close()
