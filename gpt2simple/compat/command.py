"""The old command, ``gpt_2_simple finetune`` and ``gpt_2_simple generate``; now ``python -m gpt2simple.compat``.

Parses options and names the files of texts; the functions beside it do everything else.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import trange

from gpt2simple.compat.sample import generate_to_file, load_gpt2
from gpt2simple.compat.sessions import start_tf_sess
from gpt2simple.compat.train import finetune
from gpt2simple.errors import Gpt2SimpleError
from gpt2simple.settings import accepts
from gpt2simple.storage.disk import make_folder
from gpt2simple.storage.files import free_name


def _yes(word: str) -> bool:
    return word.lower() == "true"


# Name, default, type, meaning; by mode, and "both".
_OPTIONS: dict[str, list[tuple[str, Any, Any, str]]] = {
    "both": [
        ("run_name", "run1", str, "the run to write or read"),
        ("checkpoint_dir", "checkpoint", str, "folder of the runs"),
        ("multi_gpu", False, _yes, "no effect: one GPU is used"),
    ],
    "finetune": [
        ("model_name", "124M", str, "model to start from, downloaded if it is missing"),
        ("model_dir", "models", str, "folder of the models"),
        ("steps", -1, int, "steps to add; -1: until Ctrl-C"),
        ("restore_from", "latest", str, "latest, fresh, or a folder"),
        ("sample_every", 1000000, int, "steps between samples"),
        ("save_every", 100, int, "steps between checkpoints"),
        ("print_every", 10, int, "steps between lines"),
        ("optimizer", "adam", str, "adam or sgd"),
        ("overwrite", False, _yes, "with restore_from fresh or a folder: replace an existing run (True or False)"),
    ],
    "generate": [
        ("nfiles", 1, int, "files to write"),
        ("nsamples", 1, int, "texts per file"),
        ("folder", "gen", str, "folder to write to; existing files are kept"),
        ("length", 1023, int, "tokens per text"),
        ("temperature", 0.7, float, "sampling temperature; 0: the most likely token"),
        ("top_k", 0, int, "sample from this many most probable tokens; 0: all"),
        ("top_p", 0.0, float, "sample from the most probable tokens with this total probability; switches top_k off"),
        ("batch_size", 1, int, "texts at a time"),
        ("prefix", None, str, "text that each sample starts with"),
        ("truncate", None, str, "a text ends before this string"),
        ("include_prefix", True, _yes, "whether the prefix is part of a text (True or False)"),
        ("sample_delim", "=" * 20 + "\n", str, "separates texts"),
    ],
}


def cmd() -> None:
    """Run the command line; a mistake in it ends the process with status 2, any other error with 1."""
    parser = _parser()
    given = vars(parser.parse_args())
    mode, dataset = given.pop("mode"), given.pop("dataset")
    wanted = {name: given[name] for name, *_ in [*_OPTIONS["both"], *_OPTIONS[mode]]}
    try:
        if mode == "generate":
            cmd_generate(**wanted)
        elif dataset is None:
            parser.error("finetune needs a dataset: python -m gpt2simple.compat finetune script.txt")
        else:
            cmd_finetune(dataset=dataset, **wanted)
    except Gpt2SimpleError as error:
        raise SystemExit(f"Error: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpt2simple.compat",
        description="gpt-2-simple's command. `gpt2simple --help` shows the one that replaces it.",
    )
    parser.add_argument("mode", choices=("finetune", "generate"))
    parser.add_argument("dataset", nargs="?", help="[finetune] the text")
    for mode, options in _OPTIONS.items():
        for name, default, kind, meaning in options:
            shown = meaning if mode == "both" else f"[{mode}] {meaning}"
            parser.add_argument(f"--{name}", default=default, type=kind, help=f"{shown} (default: {default!r})")
    return parser


@accepts()
def cmd_finetune(
    dataset: str, run_name: str, checkpoint_dir: str, model_name: str, model_dir: str, steps: int, restore_from: str,
    sample_every: int, save_every: int, print_every: int, optimizer: str, overwrite: bool, multi_gpu: bool,
) -> None:  # fmt: skip
    """Fine-tune as ``finetune`` does, in a session of its own."""
    given = dict(locals())
    with start_tf_sess() as sess:
        finetune(sess, **given)


@accepts()
def cmd_generate(
    nfiles: int, nsamples: int, folder: str | Path, length: int, temperature: float, batch_size: int,
    prefix: str | None, truncate: str | None, include_prefix: bool, sample_delim: str, run_name: str,
    checkpoint_dir: str, top_k: int, top_p: float, multi_gpu: bool,
) -> None:  # fmt: skip
    """Write files of texts into a folder, each under a name that is not taken yet; nothing there is removed."""
    given = {name: value for name, value in locals().items() if name not in ("nfiles", "folder", "multi_gpu")}
    make_folder(Path(folder))
    with start_tf_sess() as sess:
        load_gpt2(sess, run_name=run_name, checkpoint_dir=checkpoint_dir, multi_gpu=multi_gpu)
        for _ in trange(nfiles):
            stamp = f"gpt2_gentext_{datetime.now(UTC):%Y%m%d_%H%M%S}.txt"
            generate_to_file(sess, destination_path=str(free_name(Path(folder) / stamp, "_")), **given)
