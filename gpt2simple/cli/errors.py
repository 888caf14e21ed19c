"""What a command line shows when something goes wrong: one line, and the exit code for it.

1: one of our errors; 2: misuse; 130: interrupted. With ``--debug`` the traceback is shown instead.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any, NoReturn

import click

from gpt2simple.api.console import show_messages
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
        show_messages()
        try:
            return super().invoke(ctx)
        except (Gpt2SimpleError, OSError) as error:  # OSError: of the system, where nobody expected one
            if ctx.meta.get(_DEBUG) or isinstance(error, BrokenPipeError):
                raise  # of the latter click makes a silent end: whoever reads has seen enough
            _end_with(ctx, f"Error: {' '.join(str(error).split())}", 2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            if ctx.meta.get(_DEBUG):
                raise
            _end_with(ctx, "Interrupted.", INTERRUPTED)


def _end_with(context: click.Context, line: str, code: int) -> NoReturn:
    _drop_what_stdout_refused()
    click.echo(line, err=True)
    context.exit(code)


def _drop_what_stdout_refused() -> None:
    """Python would try to write it again at exit, complain a second time, and change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: it is closed
        with contextlib.suppress(OSError):
            sys.stdout.close()
