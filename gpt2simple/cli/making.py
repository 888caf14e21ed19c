"""``encode`` and ``tokenizer``: what is made before a run."""

from __future__ import annotations

from typing import Any

import click

from gpt2simple.cli.options import given, json_option, settings_options
from gpt2simple.settings import TextSettings


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
    from gpt2simple.cli.commands import _one_or_all, show_json, show_line
    from gpt2simple.preparing import encode_dataset

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
    from gpt2simple.cli.commands import _one_or_all, show_json, show_line
    from gpt2simple.preparing import make_tokenizer

    names = {name: options[name] for name in ("vocab_size", "n_layer", "n_head", "n_embd", "n_ctx", "seed")}
    made = make_tokenizer(_one_or_all(dataset), options["folder"], **names, **given(context, TextSettings))
    show_json(made.to_json()) if as_json else show_line(made.summary())
