"""Pairs of a prompt and a completion, from all that users give: tables, JSON, folders, and values of a program.

`readers.pairs` finds them in a record. Everything is in memory: a model reads prompts of a thousand tokens at most.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from gpt2simple.data.documents import TextPart
from gpt2simple.data.files import CATALOGUE, STDIN, are_names
from gpt2simple.data.folder_parts import file_to_look_at
from gpt2simple.data.label_files import plain_files
from gpt2simple.data.labelled import column_names, columns_of, is_column
from gpt2simple.data.prompt_template import (
    ONE_MESSAGE,
    PromptTemplate,
    alpaca_template,
    chat_template,
    plain_template,
)
from gpt2simple.data.readers.pairs import COLUMNS, NotPairsError, Pair, PairChooser, PairPart, format_of
from gpt2simple.data.readers.plain import check_encoding
from gpt2simple.data.sources import open_source, silent
from gpt2simple.errors import DataError, SettingsError
from gpt2simple.settings import pick
from gpt2simple.settings.pairs import (
    ALPACA,
    DEFAULT_SEPARATOR,
    END_OF_TEXT,
    MESSAGES,
    PROMPT_COMPLETION,
    PairTextSettings,
)
from gpt2simple.settings.text import ReadingSettings, TextSettings
from gpt2simple.storage.contents import counted, quoted

logger = logging.getLogger(__name__)
_PROGRAM = "pairs of the program"
_TAKEN = (
    "the name of a file or folder, a list of names, a list of dicts or of tuples (prompt, completion), a dict of "
    "columns, a data frame, or a tf.data.Dataset"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Prompts and the completion to each.

    Attributes:
        format: how the dataset holds them: "prompt-completion", "messages", "alpaca" or "columns".
        template: how a prompt is written.
        sources: what they are from, as the user named it.
        files: how many were read.
        blank: records left out because they hold nothing but white space.
        ended: completions that already had the end that each of them gets.
        unanswered: conversations that end in messages without an answer, which are not learned from.
        fingerprint: sha256 over prompts and completions, as 64 hexadecimal digits.
    """

    pairs: tuple[Pair, ...]
    format: str
    template: PromptTemplate
    sources: tuple[str, ...]
    files: int
    blank: int
    ended: int
    unanswered: int
    fingerprint: str

    def hints(self) -> list[str]:
        """Sentences for the user on what was left out, and on what may make worse outputs."""
        found = []
        if self.blank:
            found.append(f"Left out: {counted(self.blank, 'record')} of nothing but white space.")
        if self.unanswered:
            found.append(
                f"{counted(self.unanswered, 'conversation ends', 'conversations end')} in messages without an answer, "
                "which are not learned from."
            )
        if self.ended:
            found.append(f"{self.template.end!r} was removed from the end of {counted(self.ended, 'completion')}: each "
                         "gets it anyway.")  # fmt: skip
        end = self.template.end
        if end != END_OF_TEXT and (inside := [pair for pair in self.pairs if end in pair.completion]):
            found.append(
                f"{counted(len(inside), 'completion holds', 'completions hold')} {end!r} before the end, the first at "
                f"{inside[0].where}: what the model writes stops there. Better choose an end that is in no completion."
            )
        if spelled := [pair for pair in self.pairs if _spells_end_of_text(pair)]:
            found.append(
                f"{counted(len(spelled), 'pair spells', 'pairs spell')} {END_OF_TEXT!r} inside a text, the first at "
                f"{spelled[0].where}. It is learned as ordinary text, and other programs read it as the token that "
                "ends a text. Better remove it."
            )
        blanks = [pair for pair in self.pairs if self.template.prompt_of(pair.messages).endswith((" ", "\t"))]
        if blanks:
            found.append(
                f"{counted(len(blanks), 'prompt ends', 'prompts end')} in a blank, the first at {blanks[0].where}. "
                "GPT-2 reads a blank as part of the next word: better begin the completions with it."
            )
        return found


def recognise(dataset: Any, settings: ReadingSettings) -> str | None:
    """The format of pairs that a dataset has, by its first records; None: it holds no pairs, or cannot be read twice.

    Tuples are pairs only where ``prompt_column=0, completion_column=1`` or ``pair_format`` says so: a text with its
    label looks the same.

    Args:
        settings: of a text or of pairs; a text's ``column`` and ``template`` say that there are no pairs.

    Raises:
        DataError: there is no such dataset, it fits two formats, or its first pair is damaged.
        SettingsError: the encoding is unknown.
    """
    if settings.column is not None or settings.template is not None or settings.format in ("text", "lines"):
        return None
    if not isinstance(settings, PairTextSettings):
        settings = PairTextSettings(**pick(dataclasses.asdict(settings), PairTextSettings))
    if settings.prompt_column is not None:
        return COLUMNS
    if settings.pair_format is not None:
        return settings.pair_format
    check_encoding(settings.encoding)
    if _names_files(dataset):
        return _format_of_files(dataset, settings)
    record = _first_record(dataset)
    if isinstance(record, tuple) and len(record) == 2 and all(isinstance(value, str) for value in record):
        raise DataError(
            "The dataset's first entry is a tuple of two strings, which may be a prompt with its completion, or a text "
            "with its label. For pairs give prompt_column=0 and completion_column=1; labelled texts are for "
            "finetune_classifier()."
        )
    if not isinstance(record, Mapping):
        return None
    return format_of({str(name): value for name, value in record.items()}, settings, _PROGRAM)


def read_pairs(dataset: Any, settings: PairTextSettings, *, template: PromptTemplate | None = None) -> Pairs:
    """Read pairs.

    Args:
        dataset: here a list of tuples of two strings is one of prompts and completions.
        template: how prompts are written; None: as the format of the dataset has it.

    Raises:
        DataError: the dataset is missing, cannot be read, holds no pairs or those of several formats, a prompt or
            completion is empty, or a conversation cannot be written by the template.
        SettingsError: the encoding is unknown, or a separator was given for a format that has its own.
    """
    check_encoding(settings.encoding)
    opened = _open(dataset, settings)
    pairs: list[Pair] = []
    first: PairPart | None = None
    blank = ended = unanswered = 0
    for part in opened.parts:
        if not isinstance(part, PairPart):  # of standard input
            raise _no_pairs(", ".join(opened.sources))
        if part.pair is None:
            blank += 1
            continue
        first = first or part
        if part.format != first.format:
            raise DataError(
                f"{part.pair.where}: this pair has the format {part.format}, and those before it {first.format}. Give "
                "all pairs in one format."
            )
        pairs.append(part.pair)
        ended, unanswered = ended + part.ended, unanswered + part.unanswered
    if first is None:
        raise DataError(f"{', '.join(opened.sources)} holds no pairs. Give prompts with their completions.")
    if template is None:
        template = _template(first.format, settings)
    for pair in pairs:
        if not template.takes(pair.messages):
            raise DataError(f"{pair.where}: {ONE_MESSAGE} Give pairs as those that the model is trained on.")
    return Pairs(
        pairs=tuple(pairs),
        format=first.format,
        template=template,
        sources=opened.sources,
        files=opened.files,
        blank=blank,
        ended=ended,
        unanswered=unanswered,
        fingerprint=_fingerprint(pairs),
    )


class _Opened(NamedTuple):
    parts: Iterable[TextPart]
    sources: tuple[str, ...]
    files: int = 0


def _open(dataset: Any, settings: PairTextSettings) -> _Opened:
    if isinstance(dataset, tuple) and len(dataset) == 2 and all(map(is_column, dataset)):
        raise DataError(
            "The dataset is a tuple of two lists; expected pairs. Give list(zip(prompts, completions)), or a dict of "
            "both: {'prompt': prompts, 'completion': completions}."
        )
    if column_names(dataset) is not None:
        columns = columns_of(dataset, _TAKEN)
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        return _Opened(_of_entries(rows, settings, "row"), (_PROGRAM,))
    if _names_files(dataset) or hasattr(dataset, "as_numpy_iterator"):
        source = open_source(dataset, None, _reading(settings))
        if plain := plain_files(source.paths, settings):
            raise _no_pairs(str(min(plain)))
        return _Opened(source.parts(), source.names, len(source.paths))
    if isinstance(dataset, Iterable) and not isinstance(dataset, (bytes, bytearray)):
        return _Opened(_of_entries(dataset, settings, "entry"), (_PROGRAM,))
    raise DataError(f"The dataset is a {type(dataset).__name__}; expected {_TAKEN}.")


def _names_files(dataset: Any) -> bool:
    if isinstance(dataset, (list, tuple)):
        return bool(dataset) and are_names(dataset)
    return isinstance(dataset, (str, Path))


def _reading(settings: PairTextSettings) -> TextSettings:
    return cast(TextSettings, settings)  # sources only look at what decides how a text is read


def _of_entries(entries: Iterable[Any], settings: PairTextSettings, called: str) -> Iterator[TextPart]:
    chooser = PairChooser(_PROGRAM, settings)
    for number, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            record = {str(name): value for name, value in entry.items()}
        elif isinstance(entry, tuple) and len(entry) == 2:
            record = dict(zip(_names_of_two(settings), entry, strict=True))
        else:
            raise DataError(
                f"Entry {number} of the dataset is {quoted(entry)}; expected a dict or a tuple (prompt, completion). "
                f"The dataset may be {_TAKEN}."
            )
        yield from chooser.parts(record, f"{called} {number}")


def _names_of_two(settings: PairTextSettings) -> tuple[str, str]:
    """The names by which the settings find both entries of a tuple, which has none itself."""
    prompt, completion = settings.prompt_column, settings.completion_column
    if prompt is None or completion is None:
        return "prompt", "completion"
    if isinstance(prompt, str) and isinstance(completion, str) and not (prompt.isdecimal() or completion.isdecimal()):
        return prompt, completion
    return "0", "1"


def _no_pairs(shown: str) -> DataError:
    return DataError(
        f"{shown} is plain text, in which nothing says where a prompt ends. Give a table or JSON Lines with the "
        "prompt and the completion of each pair, or name how it is to be read (format='jsonl', --format jsonl)."
    )


def _format_of_files(dataset: Any, settings: PairTextSettings) -> str | None:
    names = [dataset] if isinstance(dataset, (str, Path)) else list(dataset)
    if any(name == STDIN or str(name).startswith(CATALOGUE) for name in names):
        return None
    with silent():
        source = open_source(file_to_look_at(dataset) or dataset, None, _reading(settings))
        try:
            return next((part.format for part in source.beginnings() if isinstance(part, PairPart)), None)
        except NotPairsError:
            return None


def _first_record(dataset: Any) -> Any:
    """The first record of a dataset that can be read again; None: there is none."""
    spec = getattr(dataset, "element_spec", None)
    if spec is not None:  # of a tf.data.Dataset
        return spec if isinstance(spec, Mapping) else None
    if (names := column_names(dataset)) is not None:
        columns = {name: dataset[name] for name in names}
        return {name: _first(column) for name, column in columns.items() if is_column(column)}
    if hasattr(dataset, "__len__") and isinstance(dataset, Iterable) and not isinstance(dataset, (str, bytes)):
        return next(iter(dataset), None)
    return None


def _first(column: Any) -> Any:
    value: Any = next(iter(column), None)
    return value.as_py() if hasattr(value, "as_py") else value  # of an Arrow table


def _template(found: str, settings: PairTextSettings) -> PromptTemplate:
    if found in (COLUMNS, PROMPT_COMPLETION):
        return plain_template(settings.separator, settings.end)
    if settings.separator != DEFAULT_SEPARATOR:
        raise SettingsError(
            f"separator was given, and the dataset has the format {found}, which has marks of its own. Leave separator "
            "out, or name two columns (prompt_column=..., completion_column=...)."
        )
    return {MESSAGES: chat_template, ALPACA: alpaca_template}[found](settings.end)


def _spells_end_of_text(pair: Pair) -> bool:
    return any(END_OF_TEXT in text for text in (pair.completion, *(content for _, content in pair.messages)))


def _fingerprint(pairs: list[Pair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(json.dumps([pair.messages, pair.completion]).encode())
        digest.update(b"\n")
    return digest.hexdigest()
