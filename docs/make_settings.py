"""Write docs/settings.md from the settings' dataclasses and the options of the commands.

    python docs/make_settings.py

tests/project/test_settings_document.py checks that the file is up to date.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package beside this script, whether or not it is installed

import click  # noqa: E402

from gpt2simple import settings  # noqa: E402
from gpt2simple.cli.group import cli  # noqa: E402

DOCUMENT = Path(__file__).with_name("settings.md")

# The classes in the order of the document; one without a title here comes last, under its own name.
TITLES = {
    "SessionSettings": "Model, run and device",
    "FinetuneSettings": "Fine-tuning",
    "TextSettings": "The text",
    "ClassifierSettings": "Training a classifier",
    "LabelledTextSettings": "Labelled texts",
    "ClassifySettings": "Classifying",
    "PairSettings": "Training on pairs",
    "PairTextSettings": "Pairs of prompt and completion",
    "GenerateSettings": "Generating",
    "EvaluateSettings": "Evaluating",
    "ExportSettings": "Exporting and uploading",
    "CompareSettings": "Comparing",
    "CompareClassifiersSettings": "Comparing classifiers",
    "ComparePairsSettings": "Comparing on pairs",
}
KINDS = {int: "whole number", float: "number", str: "text", Path: "path", bool: "yes or no", tuple: "text, or several"}

# What a table cannot say, below the table of its class.
NOTES = {
    "FinetuneSettings": """\
Callbacks of Keras 3 and tf_keras (`finetune(..., callbacks=[...])`, only in Python): to them an epoch is the time
between two evaluations, counted from the beginning of the run; with `eval_every="epoch"` it is a pass over the text.
Their logs hold `loss` and `val_loss`. `self.model.stop_training = True` ends the run, which is then saved as any
other. A learning rate that a callback assigns (`ReduceLROnPlateau`, `LearningRateScheduler`) becomes a factor on the
schedule, warm-up included, and checkpoints keep it.
""",
    "TextSettings": """\
A name such as `messages.content`, as `column` or in a `template`, leads through objects and lists; `*` stands for every
key of an object. Each entry of a list that it leads through is a document, such as each message of a chat. Entries that
lack it are left out. A message in parts (strings, objects with `type` and `text`) is one text.

Between documents the model sees GPT-2's real end-of-text token. Windows line endings become plain ones. An encoded text
is kept in the cache folder, so that the next run on it starts at once; `gpt2simple encode` writes it to a file that
can be taken to another machine.
""",
    "PairTextSettings": """\
Pairs are recognised by their keys or columns: `prompt` and `completion`; `messages`, a list of `role` (system, user,
assistant) and `content`, of which every turn of the assistant is a completion unless its `weight` is 0; or
`instruction`, `input` and `output`, as in Alpaca. Others are named by `prompt_column` and `completion_column`. What can
be read only once needs `pair_format`: a generator, and standard input or a pipe, with `format` too.

A folder with `train.jsonl`, `valid.jsonl` (or `validation`, `val`, `dev`, `eval`) and `test.jsonl` is its three parts,
as are numbered files (`train-00000-of-00002.parquet`) and folders of these names; other types that hold records will
do, also as `.gz` or `.xz`. What else it holds is not read, which a message says.

A prompt for `answer` or `generate(prompt=...)` is a text, a list of messages, or an instruction as Alpaca has it,
`{"instruction": "Translate it.", "input": "Bonjour"}`, which is written as in training: an `input` only for a run on
pairs in Alpaca's format.

Prompt and completion are encoded each by itself. The default separator ends in a single line end, after which GPT-2's
tokenizer begins a new token in any case, so that programs that encode the joined text get the same ids.
""",
    "GenerateSettings": """\
Of several samples the first is printed as it is written, and each of the others as soon as those before it are
complete. A file gets whole samples only, in order. Ctrl-C loses the unfinished samples and no others. Characters that
the encoding of standard output lacks are printed as codes such as `\\u20ac`; `PYTHONIOENCODING=utf-8` avoids that.
Files are always UTF-8.

`--prefix -` and `--prefix-file FILE` read a prefix in UTF-8 from standard input or a file. A byte-order mark and one
final newline, which editors and `echo` add, are not part of the prefix; everything else is. `--prefix-lines FILE` reads
many prefixes, one on each line; in Python: `prefix=Path("prompts.txt").read_text(encoding="utf-8").splitlines()`. Each
gets `nsamples` samples.

For a run on pairs, `--prompt` and `--prompt-lines FILE` take prompts in place of prefixes, as `answer` and its `--file`
do. On each line of a file stands a prompt, or a JSON object with `prompt`, with `messages`, or with `instruction` and
`input`; in a file named `.jsonl` or `.ndjson` every line is such an object or a JSON string. A conversation that ends
in an answer is asked without it.

`session.samples(...)` and `--json` give for each text its prefix, its new tokens, the number of tokens in its prompt,
why it ended (`"length"`, `"end_of_text"`, or `"stop"`, also at `truncate`) and its seconds from reading the prompt to
the end. Tokens per second are those of one sample: of eight generated together each has about an eighth of the total.
""",
}

INTRODUCTION = """\
# Settings

Every setting with the values it takes, its default, and its meaning with its unit. Python and the command line use the
same names: `learning_rate=3e-5` is `--learning-rate 3e-5`, and `overwrite=True` is `--overwrite` (its opposite is
`--no-overwrite`). An option that takes several texts is given once for each. `None` means that no value is given.

`help(gpt2simple.finetune)` and `gpt2simple finetune --help` show the same texts; on the command line `default:`
stands for `None:`. `docs/defaults.md` says why the defaults of fine-tuning are what they are.

This file is generated: change the texts in `gpt2simple/settings` and run `python docs/make_settings.py`.
"""


def document() -> str:
    """The text of docs/settings.md."""
    sections = [INTRODUCTION, "## Commands\n\n" + table(["command", "purpose", "settings"], command_rows())]
    for cls in settings_classes():
        rows = [setting_row(field, hint) for field, hint in fields_of(cls)]
        head = ["setting", "values", "default", "meaning"]
        sections.append(f"## {title_of(cls)}\n\n{table(head, rows)}")
        sections += [NOTES[cls.__name__]] if cls.__name__ in NOTES else []
    head = ["option", "values", "default", "meaning", "commands"]
    sections.append("## Other options of the command line\n\n" + table(head, other_rows()))
    return "\n".join(sections)


def settings_classes() -> list[type]:
    """The settings classes, in the order of TITLES."""
    classes = [getattr(settings, name) for name in settings.__all__ if name.endswith("Settings")]
    bases = {base for cls in classes for base in cls.__bases__}
    found = [cls for cls in classes if cls not in bases]
    order = list(TITLES)
    return sorted(found, key=lambda cls: order.index(cls.__name__) if cls.__name__ in TITLES else len(order))


def title_of(cls: type) -> str:
    return TITLES.get(cls.__name__, cls.__name__.removesuffix("Settings"))


def fields_of(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields of a settings class, each with its type."""
    hints = typing.get_type_hints(cls)
    return ((field, hints[field.name]) for field in dataclasses.fields(cls))


def setting_row(field: dataclasses.Field[Any], hint: Any) -> list[str]:
    meaning = field.metadata["help"] + ("" if field.metadata["cli"] else " Only in Python.")
    return [f"`{field.name}`", values_of(field, hint), f"`{field.default!r}`", meaning]


def values_of(field: dataclasses.Field[Any], hint: Any) -> str:
    """The values that a setting takes: its choices, or its type and range."""
    rule = field.metadata
    if rule["choices"] is not None:
        return choices(rule["choices"])
    bounds = (("at least", "minimum"), ("more than", "above"), ("at most", "maximum"))
    limits = [f"{words} {number(rule[name])}" for words, name in bounds if rule[name] is not None]
    kinds = " or ".join(KINDS.get(kind, kind.__name__) for kind in kinds_of(hint))
    return ", ".join([kinds, " and ".join(limits)]) if limits else kinds


def choices(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def kinds_of(hint: Any) -> list[type]:
    """The classes that a type allows, without None: `int | str | None` gives int and str."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return [typing.get_origin(part) or part for part in parts if part is not type(None)]


def classes_of(command: click.Command) -> list[type]:
    """The settings classes that a command takes, or takes a part of, whose settings are all options of it."""
    taken = {cls.__name__ for cls in getattr(command.callback, "settings", ())}
    options = {parameter.name for parameter in command.params}
    return [cls for cls in settings_classes() if cls.__name__ in taken and option_names(cls) <= options]


def others_of(command: click.Command) -> dict[str, list[str]]:
    """By the title of a class of which a command takes some settings and not all, their names; each name once."""
    helps = {parameter.name: getattr(parameter, "help", None) or "" for parameter in command.params}
    left = helps.keys() - set().union(*map(option_names, classes_of(command)))
    begins = {
        title_of(cls): {field.name: re.split(r"\W*\bNone\b", field.metadata["help"])[0] for field, _ in fields_of(cls)}
        for cls in settings_classes()
    }
    named = {
        title: [n for n, begin in all_.items() if len(begin) > 20 and begin in helps.get(n, "")]
        for title, all_ in begins.items()
    }
    found: dict[str, list[str]] = {}
    for title, names in sorted(named.items(), key=lambda one: -len(left.intersection(one[1]))):
        if own := [name for name in names if name in left]:
            found[title] = own
            left = left.difference(own)
    return found


def option_names(cls: type) -> set[str]:
    """The settings of a class that are options of the command line."""
    return {field.name for field, _ in fields_of(cls) if field.metadata["cli"]}


def command_rows() -> Iterator[list[str]]:
    for name, command in cli.commands.items():
        links = [f"[{title}](#{anchor(title)})" for title in map(title_of, classes_of(command))]
        links += [f"of [{title}](#{anchor(title)}) {choices(names)}" for title, names in others_of(command).items()]
        yield [f"`gpt2simple {name}`", command.get_short_help_str(limit=200), ", ".join(links)]


def anchor(title: str) -> str:
    """The address of a heading on a page that GitHub shows."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def other_rows() -> Iterator[list[str]]:
    """The options that belong to no settings class, each once, with the commands that have it."""
    commands: dict[tuple[str, ...], list[str]] = {}
    for name, command in cli.commands.items():
        shared = set().union(*map(option_names, classes_of(command)))
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in shared:
                commands.setdefault(tuple(option_row(option)), []).append(name)
    for row, names in commands.items():
        yield [*row, "every command" if len(names) == len(cli.commands) else choices(names)]


def option_row(option: click.Option) -> list[str]:
    """Spelling, values, default and meaning; the default is named in the option's help, or is its own."""
    values = choices(option.type.choices) if isinstance(option.type, click.Choice) else ""
    named = re.search(r" \[default: (.*)\]$", option.help or "")
    default = named[1] if named else option.default if isinstance(option.default, str) else ""
    return [f"`{'/'.join(option.opts)}`", values, default, (option.help or "").removesuffix(named[0] if named else "")]


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8", newline="\n")
    print(f"Wrote {DOCUMENT}")
