"""What a command line shows when something goes wrong: one line, and the exit code for it.

1: one of our errors; 2: misuse; 130: interrupted. With ``--debug`` the traceback is shown instead.
"""

from __future__ import annotations

from typing import Any

import click

from gpt2simple.errors import Gpt2SimpleError, SettingsError

_DEBUG = "gpt2simple.debug"
INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


def debug_option() -> click.Option:
    """``--debug``, which the group and every command understand."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the whole traceback of an error.",
    )


def _remember_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.meta[_DEBUG] = context.meta.get(_DEBUG, False) or value  # one dictionary for the group and its command


class ErrorsInOneLine(click.Group):
    """A group whose commands end with one line and the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Gpt2SimpleError as error:
            if ctx.meta.get(_DEBUG):
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            if ctx.meta.get(_DEBUG):
                raise
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
