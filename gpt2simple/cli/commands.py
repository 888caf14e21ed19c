"""The commands: each parses its options, makes one API call and shows the result."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import click

from gpt2simple.cli.completion import complete_files, complete_models, complete_runs, complete_runs_and_models
from gpt2simple.cli.config import config_option
from gpt2simple.cli.errors import INTERRUPTED, command
from gpt2simple.cli.options import (
    as_dataset,
    checkpoint_option,
    compared_arguments,
    dataset_argument,
    encoding_option,
    json_option,
    read_prefix,
    read_words,
    settings_options,
    split_models,
)
from gpt2simple.cli.output import show, show_json, show_line, show_result
from gpt2simple.cli.workers import workers_option
from gpt2simple.settings import (
    ClassifierSettings,
    CompareClassifiersSettings,
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    LabelledTextSettings,
    SessionSettings,
    TextSettings,
    only,
)
from gpt2simple.settings.classify import LABELS, ClassifySettings
from gpt2simple.settings.compare import COMPARED_PAIRS
from gpt2simple.settings.pairs import ANSWERS, PAIR_COLUMNS, PAIR_TEXTS, PAIR_TRAINING
from gpt2simple.settings.session import DEFAULT_MODEL, FOR_SEVERAL_RUNS, MODELS, RUNS


@command()
@click.argument("model", required=False, shell_complete=complete_models)
@click.option(
    "--model-name",
    help=f"Model: 124M to 1558M, or OWNER/NAME, not as a word. [default: {DEFAULT_MODEL}]",
    shell_complete=complete_models,
)
@settings_options(MODELS)
@click.option(
    "--source",
    type=click.Choice(["huggingface", "openai"]),
    default="huggingface",
    help="Where to download from. [default: huggingface]",
)
@click.option("--base-url", help="Mirror of the publisher. [default: HF_ENDPOINT from the environment]")
@json_option
def download(
    model: str | None,
    model_name: str | None,
    source: str,
    base_url: str | None,
    *,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Download a published model: 124M to 1558M, or a GPT-2 of the Hugging Face hub. Existing files are kept.

    \b
      gpt2simple download 355M
      gpt2simple download distilbert/distilgpt2
    """
    from gpt2simple.gpt2.hub.download import download_gpt2

    if model and model_name:
        raise click.UsageError(f"MODEL is {model} and --model-name {model_name}; give one of the two.")
    model_name = model or model_name or DEFAULT_MODEL
    folder = download_gpt2(model_name, **settings, source=source, base_url=base_url)
    show_json({"model_name": model_name, "folder": str(folder)}) if as_json else show_line(str(folder))


@command()
@config_option
@dataset_argument
@settings_options(SessionSettings, FinetuneSettings, TextSettings, PAIR_TEXTS, PAIR_TRAINING)
@json_option
@workers_option
@click.pass_context
def finetune(context: click.Context, dataset: Any, *, as_json: bool, settings: dict[str, Any]) -> None:
    """Fine-tune a model on a text or on pairs of prompt and completion; continues a run that exists.

    DATASET: files, folders, glob patterns, tfds:NAME, or - for standard input.

    \b
      gpt2simple finetune script.txt
      gpt2simple finetune script.txt --model-name 355M --run-name play --steps 500
      cat plays/*.txt | gpt2simple finetune - --run-name plays
    """
    from gpt2simple.api import functions

    result = functions.finetune(dataset, **settings)
    show(result, as_json=as_json)
    if result.reason == "interrupted":
        context.exit(INTERRUPTED)


@command()
@config_option
@dataset_argument
@settings_options(SessionSettings, ClassifierSettings, LabelledTextSettings)
@click.option(
    "--control",
    is_flag=True,
    help="Also train the same model from random weights, to see what the pretrained ones add.",
)
@json_option
@workers_option
@click.pass_context
def finetune_classifier(
    context: click.Context, dataset: Any, *, control: bool, as_json: bool, settings: dict[str, Any]
) -> None:
    """Fine-tune a model to tell classes of texts apart, and test it; continues a run that exists.

    DATASET: tables or JSON files with a column of labels, a folder for each label, files named by label with a text on
    each line, or tfds:NAME.

    \b
      gpt2simple finetune-classifier reviews.csv --label-column stars
      gpt2simple finetune-classifier pos.txt neg.txt --model-name tiny --run-name reviews --control
    """
    from gpt2simple.api import functions

    result = functions.finetune_classifier(dataset, control=control, **settings)
    show(result, as_json=as_json)
    if result.interrupted:
        context.exit(INTERRUPTED)


@command()
@config_option
@click.argument("text", nargs=-1)
@click.option(
    "--file",
    "files",
    multiple=True,
    help="File with a text on each line; - reads stdin.",
    shell_complete=complete_files,
)
@settings_options(SessionSettings)
@checkpoint_option
@encoding_option
@settings_options(ClassifySettings)
@click.option("--csv", "as_csv", is_flag=True, help="Print a table: text, label and the probability of each class.")
@json_option
def classify(
    text: tuple[str, ...],
    files: tuple[str, ...],
    checkpoint: str,
    encoding: str,
    *,
    as_csv: bool,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Classify texts with the classifier of a run; blank lines of files are left out.

    \b
      gpt2simple classify "A fine film." --run-name reviews
      gpt2simple classify --file new.txt --csv > labels.csv
    """
    from gpt2simple.api import functions
    from gpt2simple.cli.classes import as_table, words_or_lines
    from gpt2simple.storage.contents import as_name

    if as_csv and as_json:
        raise click.UsageError("--csv and --json were both given; give one of the two.")
    texts = words_or_lines("text", text, files, encoding)
    found = functions.classify(texts, checkpoint=checkpoint, **settings)
    if as_json:
        show_json([one.to_json() for one in found])
    elif as_csv:
        show_result(as_table(found))
    else:
        for one in found:
            show_line(f"{as_name(one.label)}  {one.probability:.1%}  {one.text}")


@command()
@config_option
@settings_options(SessionSettings)
@checkpoint_option
@click.option("--prefix", multiple=True, help="Text to start from; - reads stdin. May be given several times.")
@click.option("--prefix-file", type=click.Path(path_type=Path), help="File with the prefix; - reads stdin.")
@click.option(
    "--prefix-lines",
    type=click.Path(path_type=Path),
    help="File with a prefix on each line; blank lines are left out; - reads stdin.",
)
@click.option("--prompt", multiple=True, help="Prompt for a run on pairs; - reads stdin. May be given several times.")
@click.option(
    "--prompt-lines",
    help="File with a prompt on each line, as for answer --file; - reads stdin.",
    shell_complete=complete_files,
)
@encoding_option
@click.option("--destination-path", type=click.Path(), help="New file to write to instead of printing.")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder to write files into instead of printing.")
@click.option("--nfiles", type=click.IntRange(min=1), help="With --folder: number of files, each with its own samples.")
@click.option("--sample-delim", help="Delimiter between samples. [default: a line of 20 =]")
@settings_options(GenerateSettings)
@json_option
def generate(settings: dict[str, Any], *, as_json: bool, **options: Any) -> None:
    """Generate text with the fine-tuned model of a run, or with a base model (--model-name).

    \b
      gpt2simple generate --prefix "Once upon a time" --length 300
      gpt2simple generate --run-name play --nsamples 5 --temperature 0.9 --top-k 40
      gpt2simple generate --model-name tiny --folder samples --nfiles 10
      echo "Dear diary," | gpt2simple generate --prefix - --json
      gpt2simple generate --prefix-lines prefixes.txt --destination-path texts.txt
      gpt2simple generate --run-name assistant --prompt "Name a colour." --nsamples 3
    """
    _refuse_mixtures(options, settings, as_json=as_json)
    from gpt2simple.api.request import GenerateRequest
    from gpt2simple.cli.prompts import read_prompts

    encoding, prompt_lines = options.pop("encoding"), options.pop("prompt_lines")
    prompts = read_prompts("--prompt", options.pop("prompt"), (prompt_lines,) if prompt_lines else (), encoding)
    prefix = read_prefix(
        options.pop("prefix"), options.pop("prefix_file"), options.pop("prefix_lines"), encoding=encoding
    )
    request = GenerateRequest.of(
        prefix, settings, prompt=prompts or None
    )  # raises before TensorFlow is loaded, which takes seconds
    from gpt2simple.cli.samples import show_texts

    show_texts(request, settings, as_json=as_json, **options)


@command()
@config_option
@click.argument("prompt", nargs=-1)
@click.option(
    "--file",
    "files",
    multiple=True,
    help="File with a prompt on each line; - reads stdin. A line may be JSON: an object with prompt, messages, or "
    "instruction and input, and in files named .jsonl a string too.",
    shell_complete=complete_files,
)
@settings_options(SessionSettings)
@checkpoint_option
@encoding_option
@settings_options(ANSWERS)
@json_option
def answer(
    prompt: tuple[str, ...],
    files: tuple[str, ...],
    checkpoint: str,
    encoding: str,
    *,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Answer prompts with a model that was trained on pairs; without any, each line of standard input as it comes.

    Blank lines are left out.

    \b
      gpt2simple answer "What is the capital of France?" --run-name assistant
      gpt2simple answer --file questions.txt --json > answers.json
      gpt2simple answer --run-name assistant
    """
    from gpt2simple.api.request import GenerateRequest
    from gpt2simple.cli.prompts import read_prompts, typed_prompts

    if prompt and files:
        raise click.UsageError("Give prompts, or --file with a prompt on each line: one of the two.")
    given = read_prompts("PROMPT", prompt, files, encoding)
    requests = (GenerateRequest.of_answers(some, settings) for some in ([given] if given else typed_prompts(encoding)))
    first = [next(requests)] if given else []  # raises before TensorFlow is loaded, which takes seconds
    from gpt2simple.cli.samples import show_answers

    show_answers(itertools.chain(first, requests), settings, checkpoint=checkpoint, as_json=as_json)


@command()
@click.argument("name", required=False, shell_complete=complete_runs_and_models)
@settings_options(only(SessionSettings, "model_dir", "checkpoint_dir"))
@json_option
def info(name: str | None, *, as_json: bool, settings: dict[str, Any]) -> None:
    """Show versions, device and precision, the models, known or of the hub, and the runs; with a NAME, that one alone.

    \b
      gpt2simple info
      gpt2simple info run1
      gpt2simple info --json
    """
    from gpt2simple.api.info import get_info

    show(get_info(SessionSettings(**settings), name), as_json=as_json)


def _refuse_mixtures(options: dict[str, Any], settings: dict[str, Any], *, as_json: bool) -> None:
    """Raise UsageError for options of ``generate`` that exclude each other."""
    from gpt2simple.api.source import require_one_source

    exclusive = (("prefix", "prefix_file", "prefix_lines", "prompt", "prompt_lines"), ("destination_path", "folder"))
    for one, other in (pair for names in exclusive for pair in itertools.combinations(names, 2)):
        if options[one] and options[other]:
            raise click.UsageError(f"--{_dashed(one)} and --{_dashed(other)} were both given; give one of the two.")
    require_one_source(settings.get("model_name"), settings.get("run_name"), options["checkpoint"])
    if options["nfiles"] and not options["folder"]:
        raise click.UsageError("--nfiles needs --folder, which says where the files go.")
    if as_json and (options["folder"] or options["destination_path"] or options["sample_delim"] is not None):
        raise click.UsageError("--json prints every sample; leave out --folder, --destination-path, --sample-delim.")
    if settings.get("logprobs") and not as_json:
        raise click.UsageError("--logprobs needs --json, which shows them.")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


@command()
@config_option
@dataset_argument
@settings_options(SessionSettings)
@checkpoint_option
@settings_options(EvaluateSettings, TextSettings, LABELS, PAIR_COLUMNS)
@json_option
def evaluate(dataset: Any, checkpoint: str, *, as_json: bool, settings: dict[str, Any]) -> None:
    """Evaluate a model on a text (loss, perplexity, accuracy), a classifier on labelled texts, or a run on its pairs.

    \b
      gpt2simple evaluate other.txt
      gpt2simple evaluate script.txt --part held_out --stride 128
      gpt2simple evaluate other.txt --model-name tiny --json
      gpt2simple evaluate reviews.csv --run-name reviews --part test
      gpt2simple evaluate pairs.jsonl --run-name assistant --part test
    """
    from gpt2simple.api import functions

    show(functions.evaluate(dataset, checkpoint=checkpoint, **settings), as_json=as_json)


@command()
@click.argument("text", nargs=-1, required=True)
@settings_options(SessionSettings)
@checkpoint_option
@encoding_option
@click.option("--html", "as_html", is_flag=True, help="Print HTML with tokens coloured by surprisal.")
def score(text: tuple[str, ...], checkpoint: str, encoding: str, *, as_html: bool, settings: dict[str, Any]) -> None:
    """Print the log-probability of each token of the given texts, as JSON or HTML; - reads stdin.

    \b
      gpt2simple score "To be, or not to be"
      gpt2simple score - --html < speech.txt > speech.html
    """
    from gpt2simple.api import functions
    from gpt2simple.evaluation.token_scores import scores_page

    scores = functions.score(read_words("TEXT", text, encoding), checkpoint=checkpoint, **settings)
    if as_html:
        page = scores_page(scores)
        show_result(page.encode("ascii", "xmlcharrefreplace").decode("ascii"))  # a file may get another encoding
    else:
        show_json([found.to_json() for found in scores])


@command()
@config_option
@compared_arguments
@click.option("--name", default="compare", help="Name of the comparison. [default: compare]")
@settings_options(FOR_SEVERAL_RUNS, CompareSettings, TextSettings, PAIR_TEXTS, COMPARED_PAIRS)
@json_option
def compare(
    dataset: tuple[str, ...], model_name: tuple[str, ...], name: str, *, as_json: bool, settings: dict[str, Any]
) -> None:
    """Fine-tune several models on the same text or pairs and compare them, or continue a comparison.

    \b
      gpt2simple compare script.txt tiny 124M 355M
      gpt2simple compare pairs.jsonl tiny 124M --epochs 2
      gpt2simple compare acts/*.txt --model-name tiny --model-name 124M
      gpt2simple compare script.txt 124M --methods full --methods lora
    """
    from gpt2simple.api import functions

    texts, models = split_models(dataset, settings.get("model_dir"))
    show(functions.compare(as_dataset(texts), (*models, *model_name), name=name, **settings), as_json=as_json)


@command()
@config_option
@compared_arguments
@click.option("--name", default="compare-classifiers", help="Name of the comparison. [default: compare-classifiers]")
@settings_options(FOR_SEVERAL_RUNS, CompareClassifiersSettings, LabelledTextSettings)
@json_option
def compare_classifiers(
    dataset: tuple[str, ...], model_name: tuple[str, ...], name: str, *, as_json: bool, settings: dict[str, Any]
) -> None:
    """Train several models as classifiers on the same labelled texts and compare them, or continue a comparison.

    \b
      gpt2simple compare-classifiers reviews.csv tiny 124M --label-column stars
      gpt2simple compare-classifiers pos.txt neg.txt --model-name tiny --model-name 124M
    """
    from gpt2simple.api import functions

    texts, models = split_models(dataset, settings.get("model_dir"))
    show(
        functions.compare_classifiers(as_dataset(texts), (*models, *model_name), name=name, **settings),
        as_json=as_json,
    )


@command()
@click.argument("run_name", nargs=-1, required=True, shell_complete=complete_runs)
@settings_options(RUNS)
@click.option(
    "--dataset",
    multiple=True,
    help="Training text of the runs, if it cannot be found.",
    shell_complete=complete_files,
)
@click.option(
    "--destination-path",
    type=click.Path(),
    help="HTML file to write. [default: report.html in the run's folder; for several runs, in --checkpoint-dir]",
)
@json_option
def report(run_name: tuple[str, ...], dataset: Any, *, as_json: bool, settings: dict[str, Any], **options: Any) -> None:
    """Write a report on runs: curves, verdict, memorised passages, samples; with JSON and PNG files.

    \b
      gpt2simple report run1
      gpt2simple report small large --destination-path both.html
    """
    from gpt2simple.api import functions

    source = as_dataset(dataset) if dataset else None
    show(functions.report(run_name, dataset=source, **options, **settings), as_json=as_json)
