"""The commands that take a model elsewhere: to other programs, and to Hugging Face's hub."""

from __future__ import annotations

from typing import Any

import click

from gpt2simple.cli.completion import complete_runs
from gpt2simple.cli.errors import command
from gpt2simple.cli.options import checkpoint_option, json_option, settings_options
from gpt2simple.cli.output import show, show_json, show_line
from gpt2simple.errors import SettingsError
from gpt2simple.settings import ExportSettings
from gpt2simple.settings.export import FORMATS
from gpt2simple.settings.session import RUNS_AND_MODELS


@command()
@click.argument("run_name", shell_complete=complete_runs)
@click.option(
    "--format",
    required=True,
    type=click.Choice(FORMATS),
    help="gguf: a file for llama.cpp; huggingface: a folder for transformers and others, with a model card.",
)
@click.option(
    "--path", type=click.Path(), help="New folder, or file, to write. [default: in exports/, named after the run]"
)
@checkpoint_option
@settings_options(RUNS_AND_MODELS, ExportSettings)
@json_option
def export(run_name: str, *, as_json: bool, settings: dict[str, Any], **options: Any) -> None:
    """Write the model of a run for other programs: as a GGUF file, or as a folder with a model card.

    \b
      gpt2simple export play --format gguf --kind q8_0
      gpt2simple export play --format huggingface --path play-model
    """
    from gpt2simple.api.export import export as export_run

    path = export_run(run_name, **options, **settings)
    if as_json:
        show_json({"run_name": run_name, "format": options["format"], "path": str(path)})
    else:
        show_line(str(path))


@command()
@click.argument("run_name", shell_complete=complete_runs)
@click.argument("repo_id")
@click.option("--public", is_flag=True, help="Let everybody read it; else only you, or your organisation.")
@click.option("--yes", is_flag=True, help="Upload without asking.")
@click.option("--endpoint", help="Another server than the hub. [default: HF_ENDPOINT from the environment]")
@checkpoint_option
@settings_options(RUNS_AND_MODELS, ExportSettings)
@json_option
@click.pass_context
def push(
    context: click.Context, run_name: str, repo_id: str, *, yes: bool, as_json: bool, settings: dict[str, Any],
    **options: Any,
) -> None:  # fmt: skip
    """Upload the model of a run with its model card to Hugging Face's hub, after listing what goes up and asking.

    The repository is private unless --public is given. The token is HF_TOKEN, or that of `hf auth login`.

    \b
      gpt2simple push play my-play
      gpt2simple push play my-team/play --public --yes
    """
    from gpt2simple.api.push import push as push_run

    result = push_run(run_name, repo_id, yes=yes, ask=None if yes else _ask, **options, **settings)
    if as_json or yes:
        show(result, as_json=as_json)
    else:  # the list was shown
        show_line("Nothing was uploaded." if result.url is None else f"Uploaded: {result.url}")
    if result.url is None:
        context.exit(1)


def _ask(found: Any) -> bool:
    """Show what would go up, and ask."""
    click.echo(found.listing(), err=True)
    try:
        return click.confirm("Upload?", default=False, err=True)
    except click.Abort:  # a pipe that holds no answer, or Ctrl-C
        raise SettingsError("Nothing was uploaded: standard input gave no answer. Give --yes to upload.") from None
