"""The commands: each parses its options, makes one call of the API and shows the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gpt2simple.cli.errors import INTERRUPTED
from gpt2simple.cli.options import (
    CommandT,
    _one_or_all,
    compute_options,
    given,
    json_option,
    read_prefix,
    session_arguments,
    session_options,
    settings_options,
)
from gpt2simple.cli.output import show_json, show_line, show_result
from gpt2simple.settings import CompareSettings, EvaluateSettings, FinetuneSettings, GenerateSettings, TextSettings


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
    from gpt2simple.gpt2.hub.download import download_gpt2

    folder = download_gpt2(model_name, model_dir, source=source, base_url=base_url)
    show_json({"model_name": model_name, "folder": str(folder)}) if as_json else show_line(str(folder))


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
    from gpt2simple.api import functions

    settings = given(context, FinetuneSettings, TextSettings)
    result = functions.finetune(_one_or_all(dataset), **session_arguments(context), **settings)
    show_json(result.to_json()) if as_json else show_line(result.summary())
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
    _refuse_mixtures(options, as_json)
    prefix = read_prefix(options["prefix"], options["prefix_file"])
    settings = given(context, GenerateSettings)
    GenerateSettings(**settings)  # complains before TensorFlow is loaded, which takes seconds
    from gpt2simple.cli.samples import show_texts

    show_texts(context, prefix, settings, as_json=as_json)


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
    from gpt2simple.api.info import look_around

    overview = look_around(Path(model_dir), Path(checkpoint_dir))
    show_json(overview.to_json()) if as_json else show_line(overview.summary())


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


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@click.option("--out-path", default="text_encoded.npz", help="The file to write. [default: text_encoded.npz]")
@click.option("--model-name", default="124M", help="Whose tokenizer: a known model or a folder. [default: 124M]")
@click.option("--model-dir", default="models", help="Folder of downloaded models. [default: models]")
@click.option("--combine", default=50_000, help="Bytes of text that are gathered in one array. [default: 50000]")
@settings_options(TextSettings)
@json_option
@click.pass_context
def encode(context: click.Context, dataset: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Encode a text once, into a file that finetune (and gpt-2-simple) reads.

    \b
      gpt2simple encode book.txt --out-path book.npz
      gpt2simple finetune book.npz
    """
    from gpt2simple.api.prepare import encode_dataset
    from gpt2simple.cli.options import _one_or_all

    names = {name: options[name] for name in ("out_path", "model_name", "model_dir", "combine")}
    encoded = encode_dataset(_one_or_all(dataset), **names, **given(context, TextSettings))
    show_json(encoded.to_json()) if as_json else show_line(encoded.summary())


@click.command()
@click.argument("dataset", nargs=-1, required=True)
@click.option("--vocab-size", default=4096, help="Most tokens of the vocabulary, at least 257. [default: 4096]")
@click.option("--folder", default="models/own", help="A new folder to write. [default: models/own]")
@click.option("--n-layer", type=int, help="Layers of a new model with random weights (any of these four makes one).")
@click.option("--n-head", type=int, help="Attention heads of the new model. [default: 6]")
@click.option("--n-embd", type=int, help="Width of the new model, a multiple of the heads. [default: 192]")
@click.option("--n-ctx", type=int, help="Longest context of the new model in tokens. [default: 512]")
@click.option("--seed", type=int, default=0, help="Draws the new model's weights. [default: 0]")
@settings_options(TextSettings)
@json_option
@click.pass_context
def tokenizer(context: click.Context, dataset: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make a tokenizer for the language of a text, and on request a new model that is trained from nothing.

    \b
      gpt2simple tokenizer kalevala.txt --vocab-size 8000 --n-layer 6 --n-embd 256 --n-head 8 --folder models/suomi
      gpt2simple finetune kalevala.txt --model-name suomi --steps 2000 --learning-rate 1e-3
    """
    from gpt2simple.api.prepare import make_tokenizer
    from gpt2simple.cli.options import _one_or_all

    names = {name: options[name] for name in ("vocab_size", "n_layer", "n_head", "n_embd", "n_ctx", "seed")}
    made = make_tokenizer(_one_or_all(dataset), options["folder"], **names, **given(context, TextSettings))
    show_json(made.to_json()) if as_json else show_line(made.summary())


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
    from gpt2simple.api import functions

    settings = given(context, EvaluateSettings, TextSettings)
    result = functions.evaluate(_one_or_all(dataset), checkpoint=checkpoint, **session_arguments(context), **settings)
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
    from gpt2simple.api import functions
    from gpt2simple.evaluation.token_scores import scores_page

    texts = [sys.stdin.buffer.read().decode("utf-8") if part == "-" else part for part in text]
    scores = functions.score(texts, checkpoint=checkpoint, **session_arguments(context))
    if as_html:
        page = scores_page(scores)
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
    from gpt2simple.api import functions

    places = {name: options[name] for name in ("name", "model_dir", "checkpoint_dir", "precision", "threads")}
    settings = given(context, CompareSettings, TextSettings)
    result = functions.compare(_one_or_all(dataset), options["model_name"], **places, **settings)
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
    from gpt2simple.api import functions

    source = _one_or_all(dataset) if dataset else None
    result = functions.report(
        run_name, dataset=source, destination_path=destination_path, checkpoint_dir=checkpoint_dir
    )
    show_json(result.to_json()) if as_json else show_line(result.summary())
