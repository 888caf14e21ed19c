"""How the command line reports an error: one line and an exit code.

1: an error of this package; 2: wrong usage; 130: interrupted. With ``--debug`` the traceback is shown instead.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any, NoReturn

import click

from gpt2simple.api.console import show_messages
from gpt2simple.errors import Gpt2SimpleError, SettingsError

_DEBUG = "gpt2simple.debug"
INTERRUPTED = 130  # the code that shells report after Ctrl-C


def debug_option() -> click.Option:
    """``--debug``, for the group and every command."""
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, callback=_remember_debug, help="Show the traceback of an error."
    )


def _remember_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.meta[_DEBUG] = context.meta.get(_DEBUG, False) or value  # shared by the group and its command


class ErrorsInOneLine(click.Group):
    """A group that reports errors of its commands in one line, with the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        show_messages()
        try:
            return super().invoke(ctx)
        except (Gpt2SimpleError, OSError) as error:  # OSError: an unexpected one of the system
            if ctx.meta.get(_DEBUG) or isinstance(error, BrokenPipeError):
                raise  # click exits silently on a broken pipe: the reader has closed it
            _end_with(ctx, f"Error: {' '.join(str(error).split())}", 2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            if ctx.meta.get(_DEBUG):
                raise
            _end_with(ctx, "Interrupted.", INTERRUPTED)


def _end_with(context: click.Context, line: str, code: int) -> NoReturn:
    _discard_unwritten_output()
    click.echo(line, err=True)
    context.exit(code)


def _discard_unwritten_output() -> None:
    """Otherwise Python would try to write it again at exit, report a second error and change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: stdout is closed
        with contextlib.suppress(OSError):
            sys.stdout.close()
