"""``download``, ``finetune``, ``generate`` and ``info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gpt2simple.cli.errors import INTERRUPTED
from gpt2simple.cli.options import given, json_option, session_arguments, session_options, settings_options
from gpt2simple.cli.prefix import read_prefix
from gpt2simple.settings import FinetuneSettings, GenerateSettings, TextSettings


def show_json(value: Any) -> None:
    """One JSON value on standard output, readable by programs and people."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


@click.command()
@click.option("--model-name", default="124M", help="124M, 355M, 774M, 1558M or tiny. [default: 124M]")
@click.option("--model-dir", default="models", help="Folder of downloaded models. [default: models]")
@click.option("--source", type=click.Choice(["huggingface", "openai"]), default="huggingface", help="The publisher.")
@click.option("--base-url", help="A mirror of the publisher. [default: from the environment: HF_ENDPOINT]")
@json_option
def download(model_name: str, model_dir: str, source: str, base_url: str | None, as_json: bool) -> None:
    """Download a published model; what is there already is kept.

    \b
      gpt2simple download --model-name 355M
    """
    from gpt2simple.download import download_gpt2

    folder = download_gpt2(model_name, model_dir, source=source, base_url=base_url)
    show_json({"model_name": model_name, "folder": str(folder)}) if as_json else click.echo(folder)


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@session_options
@settings_options(FinetuneSettings, TextSettings)
@json_option
@click.pass_context
def finetune(context: click.Context, dataset: tuple[str, ...], as_json: bool, **_options: Any) -> None:
    """Fine-tune a model on a text; called again, go on with the run.

    DATASET: files, folders, patterns, tfds:NAME, or - for standard input.

    \b
      gpt2simple finetune script.txt
      gpt2simple finetune script.txt --model-name 355M --run-name play --steps 500
      cat plays/*.txt | gpt2simple finetune - --run-name plays
    """
    from gpt2simple import api

    settings = given(context, FinetuneSettings, TextSettings)
    result = api.finetune(_one_or_all(dataset), **session_arguments(context), **settings)
    show_json(result.to_json()) if as_json else click.echo(result.summary())
    if result.reason == "interrupted":
        context.exit(INTERRUPTED)


@click.command()
@session_options
@click.option("--checkpoint", type=click.Choice(["best", "latest"]), default="best", help="Which weights of the run.")
@click.option("--prefix", multiple=True, help="What texts start with; - reads stdin. May be given several times.")
@click.option("--prefix-file", type=click.Path(path_type=Path), help="A UTF-8 file with the prefix; - reads stdin.")
@click.option("--destination-path", type=click.Path(), help="A new file to write instead of printing.")
@click.option("--folder", type=click.Path(path_type=Path), help="Write files into this folder instead of printing.")
@click.option("--nfiles", type=click.IntRange(min=1), help="With --folder: how many files, each with its own samples.")
@click.option("--sample-delim", help="What stands between samples. [default: a line of 20 =]")
@settings_options(GenerateSettings)
@json_option
@click.pass_context
def generate(context: click.Context, as_json: bool, **options: Any) -> None:
    """Write text with the fine-tuned model of a run, or with a model itself (--model-name).

    \b
      gpt2simple generate --prefix "Once upon a time" --length 300
      gpt2simple generate --run-name play --nsamples 5 --temperature 0.9 --top-k 40
      gpt2simple generate --model-name tiny --folder samples --nfiles 10
      echo "Dear diary," | gpt2simple generate --prefix - --json
    """
    from gpt2simple.cli.output import show_texts

    _refuse_mixtures(options, as_json)
    prefix = read_prefix(options["prefix"], options["prefix_file"])
    show_texts(context, prefix, given(context, GenerateSettings), as_json=as_json)


@click.command()
@click.option("--model-dir", default="models", help="Folder of downloaded models. [default: models]")
@click.option("--checkpoint-dir", default="checkpoint", help="Folder of the runs. [default: checkpoint]")
@json_option
def info(model_dir: str, checkpoint_dir: str, as_json: bool) -> None:
    """Show versions, device and precision, the known models, and the runs that exist.

    \b
      gpt2simple info
      gpt2simple info --json
    """
    from gpt2simple.overview import look_around

    overview = look_around(Path(model_dir), Path(checkpoint_dir))
    show_json(overview.to_json()) if as_json else click.echo(overview.summary())


def _one_or_all(names: tuple[str, ...]) -> str | tuple[str | Path, ...]:
    """The words of a command line as a dataset: names in any case, so that a misspelt one is an error and no text."""
    from gpt2simple.data.names import Names

    return names[0] if len(names) == 1 else Names(names)


def _refuse_mixtures(options: dict[str, Any], as_json: bool) -> None:
    """Options of ``generate`` that would leave one of them without effect."""
    for one, other in (
        ("prefix", "prefix_file"),
        ("model_name", "run_name"),
        ("destination_path", "folder"),
    ):
        if options[one] and options[other]:
            raise click.UsageError(f"--{_dashed(one)} and --{_dashed(other)} were both given; give one of the two.")
    if options["model_name"] and options["checkpoint"] != "best":
        raise click.UsageError("--checkpoint chooses weights of a run; give it without --model-name.")
    if options["nfiles"] and not options["folder"]:
        raise click.UsageError("--nfiles needs --folder, which says where the files go.")
    if as_json and (options["folder"] or options["destination_path"] or options["sample_delim"] is not None):
        raise click.UsageError("--json prints every sample; leave out --folder, --destination-path, --sample-delim.")
    if options["logprobs"] and not as_json:
        raise click.UsageError("--logprobs needs --json, which shows them.")


def _dashed(name: str) -> str:
    return name.replace("_", "-")
