"""Completion in bash, zsh and fish: the script of each shell, and what options and arguments may be completed to.

The shell asks by running the command again with ``_GPT2SIMPLE_COMPLETE`` set; click then answers in place of the
command. No model is opened and no array library loaded for that: a shell asks each time that Tab is pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from gpt2simple.cli.errors import command
from gpt2simple.cli.output import show_result

Completer = Callable[[click.Context, click.Parameter, str], list[Any]]

_PROGRAM, _VARIABLE = "gpt2simple", "_GPT2SIMPLE_COMPLETE"
_INSTALL = {
    "bash": "gpt2simple completion bash > ~/.gpt2simple.bash && echo '. ~/.gpt2simple.bash' >> ~/.bashrc",
    "zsh": "gpt2simple completion zsh > ~/.gpt2simple.zsh && echo '. ~/.gpt2simple.zsh' >> ~/.zshrc",
    "fish": "gpt2simple completion fish > ~/.config/fish/completions/gpt2simple.fish",
}
# `compdef` is there once zsh's completion was started, which a plain ~/.zshrc does not do.
_BEFORE = {"zsh": "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n"}


@command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, runs, models and files in a shell; it says how to install it.

    \b
      gpt2simple completion bash
      gpt2simple completion zsh
      gpt2simple completion fish
    """
    made = get_completion_class(shell)
    assert made is not None  # click has had these three from the beginning
    source = made(click.Command(_PROGRAM), {}, _PROGRAM, _VARIABLE).source()
    marker, body = source.split("\n", 1) if source.startswith("#compdef") else ("", source)  # zsh wants it first
    lines = [*filter(None, [marker]), f"# To install this: {_INSTALL[shell]}", _BEFORE.get(shell, "") + body.rstrip()]
    show_result("\n".join(lines))


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Whatever the shell finds."""
    return [CompletionItem(incomplete, type="file")]


def complete_folders(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Whatever the shell finds, files left out."""
    return [CompletionItem(incomplete, type="dir")]


def complete_runs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """The runs in the folder that ``--checkpoint-dir`` names before, or in the default one."""
    return _beginning(incomplete, _runs(context))


def complete_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """The known models and those in ``--model-dir``; folders where none begins so."""
    return _beginning(incomplete, _models(context)) or complete_folders(context, parameter, incomplete)


def complete_texts_and_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """The words of a comparison: a text first, then models, or further texts where no model begins so."""
    found = _beginning(incomplete, _models(context)) if context.params.get(str(parameter.name)) else []
    return found or complete_files(context, parameter, incomplete)


def complete_runs_and_models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """What ``info`` shows."""
    return _beginning(incomplete, [*_runs(context), *_models(context)])


def _complete_origins(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    words = _beginning(incomplete, ["latest", "best", "fresh", "random"])
    return words or complete_folders(context, parameter, incomplete)


def _one_of(words: tuple[str, ...]) -> Completer:
    return lambda _context, _parameter, incomplete: _beginning(incomplete, words)


def _beginning(incomplete: str, words: Any) -> list[Any]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _runs(context: click.Context) -> list[str]:
    from gpt2simple.errors import Gpt2SimpleError  # on first use, as everything here: `--help` needs none
    from gpt2simple.runs.layout import list_runs

    try:
        return list_runs(_folder(context, "checkpoint_dir"))
    except Gpt2SimpleError:  # it cannot be read, which the command will say
        return []


def _models(context: click.Context) -> list[str]:
    from gpt2simple.gpt2.hub.registry import KNOWN_MODELS

    own = _folder(context, "model_dir")
    files = ("*/config.json", "*/hparams.json", "*/*/config.json")  # of the hub's: in its owner's folder
    folders = [path.parent.relative_to(own).as_posix() for file in files for path in sorted(own.glob(file))]
    return list(dict.fromkeys([*KNOWN_MODELS, *folders]))


def _folder(context: click.Context, name: str) -> Path:
    """The folder of an option that was typed before, or its default."""
    from gpt2simple.settings import SessionSettings

    typed = context.params.get(name)
    return Path(getattr(SessionSettings(), name) if typed is None else typed)


def completer(name: str, *, path: bool = False) -> Completer | None:
    """What the value of a setting is completed by, from its name; None: by nothing, or by its choices.

    Args:
        path: whether it is a path.
    """
    from gpt2simple.settings.compare import METHODS
    from gpt2simple.settings.finetune import LORA_TARGETS

    by_name: dict[str, Completer] = {
        "model_name": complete_models,
        "run_name": complete_runs,
        "model_dir": complete_folders,
        "checkpoint_dir": complete_folders,
        "cache_dir": complete_folders,
        "restore_from": _complete_origins,
        "methods": _one_of(METHODS),
        "lora_targets": _one_of(LORA_TARGETS),
    }
    return by_name.get(name, complete_files if path else None)
