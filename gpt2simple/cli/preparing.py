"""The commands that read texts and open no model: encoding, a tokenizer of one's own, copies."""

from __future__ import annotations

from typing import Any

import click

from gpt2simple.cli.completion import complete_files, complete_folders, complete_models
from gpt2simple.cli.errors import command
from gpt2simple.cli.options import as_dataset, dataset_argument, json_option, settings_options
from gpt2simple.cli.output import show
from gpt2simple.settings.session import DEFAULT_MODEL, MODELS
from gpt2simple.settings.text import ENCODED, READING


@command()
@dataset_argument
@click.option(
    "--out-path",
    default="text_encoded.npz",
    help="File to write. [default: text_encoded.npz]",
    shell_complete=complete_files,
)
@click.option(
    "--model-name",
    default=DEFAULT_MODEL,
    help=f"Model whose tokenizer is used: a known one or a folder. [default: {DEFAULT_MODEL}]",
    shell_complete=complete_models,
)
@settings_options(MODELS)
@click.option(
    "--combine", default=50_000, help="Join documents into arrays of about this many bytes of text. [default: 50000]"
)
@settings_options(ENCODED)
@json_option
def encode(dataset: Any, *, as_json: bool, settings: dict[str, Any], **options: Any) -> None:
    """Encode a text once, to a file that finetune and gpt-2-simple read.

    \b
      gpt2simple encode book.txt --out-path book.npz
      gpt2simple finetune book.npz
    """
    from gpt2simple.api.prepare import encode_dataset

    show(encode_dataset(dataset, **options, **settings), as_json=as_json)


@command()
@dataset_argument
@click.option("--vocab-size", default=4096, help="Maximum size of the vocabulary, at least 257. [default: 4096]")
@click.option(
    "--folder",
    default="models/own",
    help="New folder to write. [default: models/own]",
    shell_complete=complete_folders,
)
@click.option(
    "--n-layer", type=int, help="Layers of the new model, made if any of these four sizes is given. [default: 6]"
)
@click.option("--n-head", type=int, help="Attention heads of the new model. [default: 6]")
@click.option("--n-embd", type=int, help="Width of the new model, a multiple of the heads. [default: 192]")
@click.option("--n-ctx", type=int, help="Context length of the new model in tokens. [default: 512]")
@click.option("--seed", type=int, default=0, help="Random seed of the new model's weights. [default: 0]")
@settings_options(READING)
@json_option
def tokenizer(dataset: Any, *, as_json: bool, settings: dict[str, Any], **options: Any) -> None:
    """Train a tokenizer on a text, and make a new model with random weights if its size is given.

    \b
      gpt2simple tokenizer kalevala.txt --vocab-size 8000 --n-layer 6 --n-embd 256 --n-head 8 --folder models/suomi
      gpt2simple finetune kalevala.txt --model-name suomi --steps 2000 --learning-rate 1e-3
    """
    from gpt2simple.api.prepare import make_tokenizer

    show(make_tokenizer(dataset, **options, **settings), as_json=as_json)


@command()
@dataset_argument
@click.option(
    "--against",
    multiple=True,
    help="Another text, to be held out or tested on, to compare with.",
    shell_complete=complete_files,
)
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is found.")
@settings_options(READING)
@json_option
@click.pass_context
def check(
    context: click.Context,
    dataset: Any,
    against: tuple[str, ...],
    *,
    strict: bool,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    """Look for copies and near copies in a text, and for what it shares with another text.

    \b
      gpt2simple check stories.jsonl
      gpt2simple check train.txt --against test.txt --strict
    """
    from gpt2simple.api.check import check as check_text

    result = check_text(dataset, against=as_dataset(against) if against else None, **settings)
    show(result, as_json=as_json)
    if strict and result.found:
        context.exit(1)
