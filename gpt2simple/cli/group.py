"""The group of all commands, with the options that they share."""

from __future__ import annotations

import click

from gpt2simple._version import __version__
from gpt2simple.cli import commands, exporting
from gpt2simple.cli.errors import ErrorsInOneLine, debug_option


@click.group(
    cls=ErrorsInOneLine,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),  # --run_name, as gpt-2-simple spells it
        "max_content_width": 110,
    },
)
@click.version_option(__version__, prog_name="gpt2simple")
def cli() -> None:
    """Fine-tune GPT-2 on a text and generate from it.

    \b
      gpt2simple finetune script.txt
      gpt2simple generate --prefix "Once upon a time"

    Results go to standard output, progress and messages to standard error. Exit codes: 0 success, 1 failure,
    2 incorrect usage, 130 interrupted.
    """


for command in [
    value for part in (commands, exporting) for value in vars(part).values() if isinstance(value, click.Command)
]:
    command.params.append(debug_option())
    cli.add_command(command)

cli.params.append(debug_option())
