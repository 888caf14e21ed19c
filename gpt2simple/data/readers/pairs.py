"""Pairs of a prompt and a completion in a record: which format it has by its keys, and what they hold.

Serves tables, JSON objects, dataset features and the values of a program alike; knows none of their files. A record is
a pair, or a conversation, in which every turn of the assistant is the completion to all before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from gpt2simple.data.documents import TextPart, plain_line_ends, without_end_marks
from gpt2simple.data.prompt_template import ASSISTANT, ROLES, SYSTEM, USER, Message, alpaca_message
from gpt2simple.data.readers.nested import find_path, joined, listing
from gpt2simple.errors import DataError
from gpt2simple.settings.fields import is_text, plain
from gpt2simple.settings.pairs import ALPACA, MESSAGES, PROMPT_COMPLETION, PairTextSettings
from gpt2simple.storage.contents import quoted

COLUMNS = "columns"  # the format of two columns that the user names
_KEYS = {PROMPT_COMPLETION: ("prompt", "completion"), MESSAGES: ("messages",), ALPACA: ("instruction", "output")}
_MISSING = ("NAType", "NaTType")  # what pandas has in empty cells beside NaN
_LARGEST_NUMBER = 1 << 64  # of those that are text; what is larger, or infinite, is a mistake
_HOW_TO_NAME = "(prompt_column=..., completion_column=...)"


class NotPairsError(DataError):
    """A record that has the keys of no pair, so that it may be something else."""


class Pair(NamedTuple):
    """A prompt and the completion to it.

    Attributes:
        messages: the prompt: all that stands before the completion.
        where: the file and the line, or the place in a program's list.
    """

    messages: tuple[Message, ...]
    completion: str
    where: str


class PairPart(TextPart):
    """A pair on its way from a reader; its text is the completion.

    Attributes:
        pair: None: the record held nothing.
        format: of the record.
        ended: whether the end of a completion, which each gets anyway, was removed from it.
        unanswered: whether the record, of which this is the last pair, goes on with messages that nothing answers.
    """

    pair: Pair | None
    format: str
    ended: bool
    unanswered: bool

    def __new__(cls, pair: Pair | None, found: str, *, ended: bool = False, unanswered: bool = False) -> PairPart:
        part = super().__new__(cls, pair.completion if pair else "")
        part.pair, part.format, part.ended, part.unanswered = pair, found, ended, unanswered
        return part


def format_of(record: Mapping[str, Any], settings: PairTextSettings, where: str) -> str | None:
    """The format of a record; None: it has none.

    Raises:
        DataError: it has the keys of several, or of one beside a text.
    """
    if settings.prompt_column is not None:
        return COLUMNS
    names = {name.lower() for name in record}
    found = [name for name, keys in _KEYS.items() if names.issuperset(keys)]
    # An empty conversation is one where nothing else can be meant.
    may_be_empty = len(found) == 1 and "text" not in names
    if MESSAGES in found and not _is_conversation(record[_named("messages", record)], may_be_empty=may_be_empty):
        found.remove(MESSAGES)
    if settings.pair_format is not None:
        return settings.pair_format if settings.pair_format in found else None
    if found and "text" in names:
        found.append("text")
    if len(found) > 1:
        keys = [", ".join(_KEYS.get(name, (name,))) for name in found]
        text = ", or to train on the text alone column='text' (--column text)" if "text" in found else ""
        raise DataError(
            f"{where}: the keys fit two formats, {found[0]} ({keys[0]}) and {found[1]} ({keys[1]}). Say which is meant "
            f"(pair_format={found[0]!r}, --pair-format {found[0]}){text}."
        )
    return found[0] if found else None


def how_to_read_pairs(record: Any, where: str, *, file_format: str | None = None) -> str:
    """A sentence for what reads texts and found a pair; empty: it is none.

    Args:
        file_format: how the file is to be read, where that has to be said too.
    """
    if not isinstance(record, Mapping):
        return ""
    try:
        found = format_of({str(name): value for name, value in record.items()}, PairTextSettings(), where)
    except DataError:  # of several formats, of which the user has to choose one
        found = PROMPT_COMPLETION
    if found is None:
        return ""
    named = {"format": file_format, "pair_format": found} if file_format else {"pair_format": found}
    in_python = ", ".join(f"{name}={value!r}" for name, value in named.items())
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in named.items())
    return f"It looks like pairs, which finetune learns and looks for copies in: {in_python} ({options})."


class PairChooser:
    """Takes the pairs out of the records of one file; readers use it as they do ``TextChooser``."""

    named = True  # which key is meant is never for the reader to ask
    usual_names = ("prompt", "completion", "instruction", "output", "text")

    def __init__(self, name: str, settings: PairTextSettings) -> None:
        """For records of ``name``, as messages call it."""
        self._name, self._settings = name, settings
        self._columns = [
            column for column in (settings.prompt_column, settings.completion_column) if column is not None
        ]

    @property
    def needs_names(self) -> bool:
        """Whether the settings refer to columns by their names."""
        return any(isinstance(column, str) and not column.isdecimal() for column in self._columns)

    def reaches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record that is a whole file is a pair, and not what holds a list of them."""
        if self._columns:
            return any(find_path(column, record) is not None for column in self._columns if isinstance(column, str))
        return format_of(record, self._settings, self._name) is not None

    def needed(self, names: list[str]) -> list[str]:
        """Those of ``names`` that are needed. Raises DataError where one that the user named is not among them."""
        return [self._column(column, names, self._name) for column in self._columns] or names

    def decide(self, record: Mapping[str, Any]) -> None:
        """Nothing: each record shows its format."""

    def require_choice(self, record: Mapping[str, Any]) -> None:
        """Nothing, as ``named`` says."""

    def finish(self) -> None:
        """Nothing: no record is passed over."""

    def text_alone(self, text: str, place: str) -> TextPart:
        """Raise NotPairsError: a text that is no part of a record has no prompt."""
        raise NotPairsError(f"{self._name}, {place}: found {quoted(text)}; expected an object with {_expected()}.")

    def parts(self, record: Mapping[str, Any], place: str, *, whole: bool = False) -> list[PairPart]:
        """The pairs of one record, in their order.

        Args:
            record: names and values.
            place: where the record is, for messages: "line 3".

        Raises:
            NotPairsError: it has the keys of no pair.
            DataError: it has those of several formats, or what they hold is no pair.
        """
        where = f"{self._name}, {place}"
        found = format_of(record, self._settings, where)
        if found is None:
            if self._settings.pair_format in (None, MESSAGES) and "messages" in {name.lower() for name in record}:
                raise NotPairsError(_no_conversation(record[_named("messages", record)], where))
            names = listing([*record]) if record else "none"
            raise NotPairsError(f"{where}: expected {_expected()}; the keys are {names}. Name two {_HOW_TO_NAME}.")
        if found == MESSAGES:
            return self._conversation(record[_named("messages", record)], where)
        if found == ALPACA:
            given = {name.lower(): value for name, value in record.items()}
            instruction, completion = (self._text(given[key], key, where) for key in _KEYS[ALPACA])
            prompt = alpaca_message(instruction, self._text(given.get("input"), "input", where))
        else:
            if found == COLUMNS:
                keys = [self._column(column, record, where) for column in self._columns]
            else:
                keys = [_named(key, record) for key in _KEYS[PROMPT_COMPLETION]]
            instruction, completion = (self._text(record[key], key, where) for key in keys)
            prompt = Message(USER, instruction)
        if not prompt.content.strip() and not completion.strip():
            return [PairPart(None, found)]
        if not instruction.strip():
            raise DataError(f"{where}: the prompt is empty. Add it, or leave the pair out.")
        return [self._pair((prompt,), completion, found, where)]

    def _pair(
        self, messages: tuple[Message, ...], completion: str, found: str, where: str, *, unanswered: bool = False
    ) -> PairPart:
        cleaned = without_end_marks(completion, self._settings.end)
        if not cleaned.strip():
            raise DataError(f"{where}: the completion is empty. Add it, or leave the pair out.")
        ended = cleaned is not completion
        return PairPart(Pair(messages, cleaned, where), found, ended=ended, unanswered=unanswered)

    def _conversation(self, turns: Any, where: str) -> list[PairPart]:
        if _is_empty(turns):
            raise DataError(f"{where}: the conversation is empty. Add its messages, or leave it out.")
        if isinstance(turns, str):
            raise DataError(_no_conversation(turns, where))
        before: list[Message] = []
        found: list[tuple[tuple[Message, ...], str, str]] = []  # prompt, completion and place of each pair
        for number, turn in enumerate(_as_list(turns)):
            here = f"{where}, message {number}"
            message, learned = self._message(turn, here)
            if message.role == ASSISTANT:
                if learned:
                    found.append((tuple(before), message.content, here))
                message = message._replace(content=without_end_marks(message.content, self._settings.end))
            if message.role != SYSTEM or message.content.strip():
                before.append(message)
        if not found:
            raise DataError(
                f"{where}: the conversation has no message of the assistant to learn from. Add one (with a weight of "
                "1, if it has a weight), or leave the conversation out."
            )
        unanswered = before[-1].role != ASSISTANT
        last = found[-1]
        return [self._pair(*pair[:2], MESSAGES, pair[2], unanswered=unanswered and pair is last) for pair in found]

    def _message(self, turn: Any, where: str) -> tuple[Message, bool]:
        """A message, and whether it is learned from where it is the assistant's."""
        if not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys():
            keys = f"; it has: {listing([*map(str, turn)])}" if isinstance(turn, Mapping) and turn else ""
            raise DataError(f"{where}: expected an object with role and content{keys}. Correct it.")
        if (role := turn["role"]) not in ROLES:
            raise DataError(
                f"{where}: the role is {quoted(role)}; expected {', '.join(ROLES[:-1])} or {ROLES[-1]}. Rename it, or "
                "leave the message out."
            )
        content = self._text(turn["content"], "content", where)
        if role == USER and not content.strip():
            raise DataError(f"{where}: the message holds no text. Add some, or leave the message out.")
        weight = turn.get("weight")
        if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
            raise DataError(f"{where}: the weight is {quoted(weight)}; expected 0 or 1. Correct it.")
        return Message(role, content), weight != 0

    def _column(self, column: str | int, names: Any, where: str) -> str:
        path = find_path(column, names)
        if path is None or len(path) > 1:
            raise DataError(f"{where} has no column {column!r}. It has: {listing([*names])}. Name two {_HOW_TO_NAME}.")
        return path[0]

    def _text(self, value: Any, key: str, where: str) -> str:
        value = plain(value)
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: {key!r} holds bytes that are not UTF-8 ({error}). Pass strings.") from error
        if isinstance(value, str):
            if not is_text(value):
                raise DataError(
                    f"{where}: {key!r} holds half a surrogate pair, such as a cut emoji leaves, which is not a "
                    "character. Remove it, or leave the record out."
                )
            return plain_line_ends(value)
        if value is None or type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER:
            return str(value)
        if key == "content" and isinstance(value, list) and (text := joined(value)) is not None:
            return self._text(text, key, where)
        raise DataError(f"{where}: {key!r} holds {quoted(value)}; expected a string. Correct it.")


def _expected() -> str:
    *others, last = (" and ".join(keys) for keys in _KEYS.values())
    return f"the keys {', '.join(others)}, or {last}"


def _named(key: str, record: Mapping[str, Any]) -> str:
    """The name that a key has in a record, in whatever case."""
    return key if key in record else next(name for name in record if name.lower() == key)


def _is_conversation(value: Any, *, may_be_empty: bool) -> bool:
    value = _as_list(value)
    if _is_empty(value):
        return may_be_empty
    if isinstance(value, str):  # a list that was written as JSON: refused, and no text
        return value.lstrip().startswith("[") and '"role"' in value
    return isinstance(value, list) and any(isinstance(turn, Mapping) and "role" in turn for turn in value)


def _no_conversation(value: Any, where: str) -> str:
    return f"{where}: 'messages' holds {quoted(value)}; expected a list of objects with role and content. Correct it."


def _is_empty(value: Any) -> bool:
    value = _as_list(value)
    return value is None or (isinstance(value, list) and not value)


def _as_list(value: Any) -> Any:
    """A list where a value is one, or the array that a column of lists has in some data frames."""
    return value.tolist() if hasattr(value, "tolist") else value
