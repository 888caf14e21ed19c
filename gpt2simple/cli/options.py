"""Command-line options made from the settings: each setting is an option.

Names, defaults, help, choices and types are those of the settings. Only options that the user typed are passed on, so
that a continued run keeps its own values for the rest. The prefix of ``generate`` may come from a file or stdin.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from gpt2simple.cli.completion import complete_files, complete_models, complete_texts_and_models, completer
from gpt2simple.cli.help import SettingOption
from gpt2simple.settings.fields import plain_types
from gpt2simple.settings.session import CHECKPOINTS
from gpt2simple.storage.contents import reason

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class IntegerOrText(click.ParamType):
    """An integer if the value is one, else the text itself."""

    name = "integer|text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        try:
            return int(value)
        except ValueError:
            return str(value)


def settings_options(*classes: type) -> Callable[[CommandT], CommandT]:
    """Add an option for each setting of these classes; the command gets those that the user typed as ``settings``.

    The classes are kept as the command's attribute ``settings``, for its documentation.
    """
    fields = [pair for cls in classes for pair in _fields(cls)]

    def decorate(command: CommandT) -> CommandT:
        @functools.wraps(command)
        def with_settings(**parameters: Any) -> Any:
            context, settings = click.get_current_context(), parameters.pop("settings", {})
            for name in [field.name for field, _ in fields]:
                value = parameters.pop(name)
                if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
                    settings[name] = value
            return command(settings=settings, **parameters)

        for field, hint in reversed(fields):
            with_settings = _option(field, hint)(with_settings)
        with_settings.settings = (*classes, *getattr(command, "settings", ()))  # type: ignore[attr-defined]
        return with_settings  # type: ignore[return-value]

    return decorate


def _fields(cls: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(cls)
    return [(f, hints[f.name]) for f in dataclasses.fields(cls) if f.metadata["cli"]]


def _option(field: dataclasses.Field[Any], hint: Any) -> Callable[[CommandT], CommandT]:
    flag = f"--{field.name.replace('_', '-')}"
    rule = field.metadata
    option = functools.partial(
        click.option,
        cls=SettingOption,
        group=rule["group"],
        common=rule["common"],
        shell_complete=completer(field.name, path=rule["path"]),
    )
    kinds = set(plain_types(hint)) - {Path}  # typed as text
    text = rule["help"].replace("None:", "default:")  # there is no way to type None
    if field.default not in (None, ()):
        text += f" [default: {_shown(field.default)}]"
    if kinds == {bool}:
        return option(f"{flag}/--no-{flag[2:]}", field.name, default=field.default, help=text)
    if kinds == {tuple}:
        return option(flag, field.name, multiple=True, help=f"{text} May be given several times.")
    # click would show q8_0 as q8-0, the form in which it compares choices.
    shown = None if rule["choices"] is None else f"[{'|'.join(map(str, rule['choices']))}]"
    return option(flag, field.name, type=_click_type(field, kinds), default=field.default, help=text, metavar=shown)


def _click_type(field: dataclasses.Field[Any], kinds: set[type]) -> Any:
    if field.metadata["choices"] is not None:
        return click.Choice([str(choice) for choice in field.metadata["choices"]])
    if kinds == {int, str}:
        return IntegerOrText()
    (kind,) = kinds
    return kind


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")

checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(CHECKPOINTS),
    default="best",
    help="Weights of the run: best (lowest held-out loss) or latest. [default: best]",
)


encoding_option = click.option(
    "--encoding",
    default="utf-8",
    help="Character encoding of a text that is read; a byte-order mark takes precedence. [default: utf-8]",
)


def read_prefix(
    typed: tuple[str, ...], path: Path | None = None, lines: Path | None = None, *, encoding: str = "utf-8"
) -> str | list[str]:
    """The prefix from the options, a list if there are several.

    Args:
        typed: the values of ``--prefix``; ``-`` means standard input.
        path, lines: the values of ``--prefix-file`` and ``--prefix-lines``; ``-`` means standard input.
        encoding: of what is read.

    Raises:
        UsageError: it cannot be read, standard input is named twice, or the file has no line with a prefix.
    """
    if path is not None:
        return without_last_line_end(_read_file("--prefix-file", path, encoding))
    if lines is not None:
        # Split at no other character: a prefix may hold a form feed or U+2028.
        read_lines = [line.removesuffix("\r") for line in _read_file("--prefix-lines", lines, encoding).split("\n")]
        if not any(line.strip() for line in read_lines):
            raise click.UsageError(f"--prefix-lines {lines} holds no prefix; expected one on each line.")
        return [line for line in read_lines if line.strip()]
    read = zip(typed, read_words("--prefix", typed, encoding), strict=True)
    texts = [without_last_line_end(text) if word == "-" else text for word, text in read]
    return texts if len(texts) > 1 else "".join(texts)


def read_words(name: str, words: tuple[str, ...], encoding: str = "utf-8") -> list[str]:
    """Texts from the command line, with standard input in place of ``-``.

    Args:
        name: what the words are, for messages. encoding: of standard input.

    Raises:
        UsageError: standard input is in another encoding, or named twice.
    """
    if words.count("-") > 1:
        raise click.UsageError(f"{name} - was given {words.count('-')} times; standard input can be read once.")
    return [_read(f"{name} -", _standard_input, encoding) if word == "-" else word for word in words]


def _read_file(option: str, path: Path, encoding: str) -> str:
    from gpt2simple.storage.files import is_endless  # on first use: `--help` needs none

    if is_endless(path):
        raise click.UsageError(
            f"{option} {path} is a device, which may never end. Name a file, or - for standard input."
        )
    return _read(f"{option} {path}", _standard_input if str(path) == "-" else path.read_bytes, encoding)


def _standard_input() -> bytes:
    if sys.stdin is None:  # closed by the parent process
        raise OSError("standard input is closed")
    return sys.stdin.buffer.read()


def _read(name: str, read: Callable[[], bytes], encoding: str) -> str:
    from gpt2simple.data.readers.plain import check_encoding, marked_encoding  # on first use: `--help` needs none

    check_encoding(encoding)
    try:
        data = read()
        mark, encoding = marked_encoding(data, encoding)
        return data[len(mark) :].decode(encoding)
    except (OSError, ValueError) as error:  # ValueError: a name with NUL, or bytes that are no text
        raise click.UsageError(
            f"{name} cannot be read ({reason(error)}); expected a text in {encoding}. Check the path, or name the "
            "encoding: --encoding cp1252, or whichever the text has."
        ) from None


def without_last_line_end(text: str) -> str:
    """Without the line end that editors and ``echo`` add; the model would continue on a new line."""
    return re.sub(r"\r?\n\Z", "", text)


def as_dataset(names: tuple[str, ...]) -> str | tuple[str | Path, ...]:
    """Command-line words as a dataset: always names, so that a misspelt one is an error and not a text."""
    from gpt2simple.data.files import Names

    return names[0] if len(names) == 1 else Names(names)


def split_models(words: tuple[str, ...], model_dir: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts and the models among command-line words: the first is a text, and so are other files and folders.

    Args:
        model_dir: the folder of the models; None: the default.
    """
    from gpt2simple.gpt2.hub.download import holds_model
    from gpt2simple.gpt2.hub.registry import find
    from gpt2simple.gpt2.hub.repository import HubName
    from gpt2simple.settings import SessionSettings

    folder = Path(SessionSettings().model_dir if model_dir is None else model_dir)
    texts, models = list(words[:1]), list[str]()
    for word in words[1:]:
        if os.path.exists(word):
            is_model = os.path.isdir(word) and holds_model(Path(word))
        else:
            of_hub = HubName.of(word) is not None and not os.path.splitext(word)[1]  # a text's name has an ending
            is_model = find(word) is not None or os.path.isdir(folder / word) or of_hub
        (models if is_model else texts).append(word)
    return tuple(texts), tuple(models)


dataset_argument = click.argument(
    "dataset",
    nargs=-1,
    required=True,
    callback=lambda _context, _parameter, names: as_dataset(names),
    shell_complete=complete_files,
)


def compared_arguments(command: CommandT) -> CommandT:
    """Add the argument and option of a command that compares models on a text."""
    several = click.option(
        "--model-name",
        multiple=True,
        help="Model to compare; or name the models after the text. At least two, or one by two methods.",
        shell_complete=complete_models,
    )
    words = click.argument(
        "dataset",
        nargs=-1,
        required=True,
        metavar="DATASET... [MODEL]...",
        shell_complete=complete_texts_and_models,
    )
    return words(several(command))
