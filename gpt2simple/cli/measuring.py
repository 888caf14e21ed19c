"""``evaluate``, ``score``, ``compare`` and ``report``: what a model or a run is worth."""

from __future__ import annotations

import sys
from typing import Any

import click

from gpt2simple.cli.commands import _one_or_all, show_json, show_line, show_result
from gpt2simple.cli.options import (
    CommandT,
    compute_options,
    given,
    json_option,
    session_arguments,
    session_options,
    settings_options,
)
from gpt2simple.settings import CompareSettings, EvaluateSettings, TextSettings


def _checkpoint_option(command: CommandT) -> CommandT:
    choice = click.Choice(["best", "latest"])
    return click.option("--checkpoint", type=choice, default="best", help="Which weights of the run.")(command)


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@session_options
@_checkpoint_option
@settings_options(EvaluateSettings, TextSettings)
@json_option
@click.pass_context
def evaluate(context: click.Context, dataset: tuple[str, ...], checkpoint: str, as_json: bool, **_options: Any) -> None:
    """Measure how well a model predicts a text: loss, perplexity, bits per byte, accuracy.

    \b
      gpt2simple evaluate other.txt
      gpt2simple evaluate script.txt --part held_out --stride 128
      gpt2simple evaluate other.txt --model-name tiny --json
    """
    from gpt2simple import measuring

    settings = given(context, EvaluateSettings, TextSettings)
    result = measuring.evaluate(_one_or_all(dataset), checkpoint=checkpoint, **session_arguments(context), **settings)
    show_json(result.to_json()) if as_json else show_line(result.summary())


@click.command()
@click.argument("text", nargs=-1, required=True)
@session_options
@_checkpoint_option
@click.option("--html", "as_html", is_flag=True, help="Print a coloured view: the deeper, the more surprising.")
@click.pass_context
def score(context: click.Context, text: tuple[str, ...], checkpoint: str, as_html: bool, **_options: Any) -> None:
    """Print the log-probability of each token of texts, as JSON or as HTML; - reads a text.

    \b
      gpt2simple score "To be, or not to be"
      gpt2simple score - --html < speech.txt > speech.html
    """
    from gpt2simple import measuring

    texts = [sys.stdin.buffer.read().decode("utf-8") if part == "-" else part for part in text]
    scores = measuring.score(texts, checkpoint=checkpoint, **session_arguments(context))
    if as_html:
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Surprise</title>'
        page = "\n".join([head, *(found.to_html() for found in scores)])
        show_result(page.encode("ascii", "xmlcharrefreplace").decode("ascii"))  # a file may get another encoding
    else:
        show_json([found.to_json() for found in scores])


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@click.option("--model-name", multiple=True, required=True, help="A model; given once for each that is compared.")
@click.option("--name", default="compare", help="Name of the comparison. [default: compare]")
@click.option("--model-dir", default="models", help="Folder of downloaded models. [default: models]")
@click.option("--checkpoint-dir", default="checkpoint", help="Folder of the runs. [default: checkpoint]")
@compute_options
@settings_options(CompareSettings, TextSettings)
@json_option
@click.pass_context
def compare(context: click.Context, dataset: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Fine-tune several models on the same text and show them side by side; called again, go on.

    \b
      gpt2simple compare script.txt --model-name tiny --model-name 124M --model-name 355M
    """
    from gpt2simple import measuring

    places = {name: options[name] for name in ("name", "model_dir", "checkpoint_dir", "precision", "threads")}
    settings = given(context, CompareSettings, TextSettings)
    result = measuring.compare(_one_or_all(dataset), options["model_name"], **places, **settings)
    show_json(result.to_json()) if as_json else show_line(result.summary())


@click.command()
@click.argument("run_name", nargs=-1, required=True)
@click.option("--checkpoint-dir", default="checkpoint", help="Folder of the runs. [default: checkpoint]")
@click.option("--dataset", multiple=True, help="What the runs learned from, where it cannot be found any more.")
@click.option("--destination-path", type=click.Path(), help="The page. [default: report.html in the run's folder]")
@json_option
def report(
    run_name: tuple[str, ...],
    checkpoint_dir: str,
    dataset: tuple[str, ...],
    destination_path: str | None,
    as_json: bool,
) -> None:
    """Write a page on runs: curves, verdict, memorised passages, samples; JSON and PNG beside it.

    \b
      gpt2simple report run1
      gpt2simple report small large --destination-path both.html
    """
    from gpt2simple import measuring

    source = _one_or_all(dataset) if dataset else None
    result = measuring.report(
        run_name, dataset=source, destination_path=destination_path, checkpoint_dir=checkpoint_dir
    )
    show_json(result.to_json()) if as_json else show_line(result.summary())
