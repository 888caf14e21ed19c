"""The group of all commands, with the options that they share."""

from __future__ import annotations

import click

from gpt2simple._version import __version__
from gpt2simple.backend import process
from gpt2simple.cli import commands, completion, exporting, preparing
from gpt2simple.cli.errors import ErrorsInOneLine, debug_option
from gpt2simple.cli.help import has_short_help, help_all_option


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


MODULES = commands, exporting, preparing, completion

for command in [value for module in MODULES for value in vars(module).values() if isinstance(value, click.Command)]:
    command.params.append(debug_option())
    if has_short_help(command):
        command.params.append(help_all_option())
    cli.add_command(command)

cli.params.append(debug_option())


def run() -> None:
    """Run the command line of this process, which is the command's own, and exit."""
    process.is_a_command = True
    cli(prog_name="gpt2simple")
