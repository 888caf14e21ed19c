"""Pairs of a prompt and a completion in a record: which format it has by its keys, and what they hold.

Serves tables, JSON objects, dataset features and the values of a program alike; knows none of their files. A record is
a prompt with one or more completions, each of which makes a pair, or a conversation, in which every turn of the
assistant is the completion to all before it. TRL's conversations in two keys, and ShareGPT's names of roles, are read
as such conversations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from gpt2simple.data.documents import TextPart, plain_line_ends, without_end_marks
from gpt2simple.data.prompt_template import ASSISTANT, ROLES, SYSTEM, USER, Message, alpaca_message
from gpt2simple.data.readers.nested import find_path, joined, listing
from gpt2simple.data.readers.values import bytes_as_text, is_missing
from gpt2simple.errors import DataError
from gpt2simple.settings.fields import is_text, plain
from gpt2simple.settings.pairs import ALPACA, MESSAGES, PROMPT_COMPLETION, PairTextSettings
from gpt2simple.storage.contents import quoted

COLUMNS = "columns"  # the format of two columns that the user names
_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {  # the usual ones first
    PROMPT_COMPLETION: (("prompt", "completion"), ("prompt", "references")),
    MESSAGES: (("messages",), ("conversations",)),
    ALPACA: (("instruction", "output"),),
}
_SHAREGPT = {"human": USER, "gpt": ASSISTANT}  # its third, system, is called so everywhere
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
    if (found := _found(record, settings, where)) == PROMPT_COMPLETION and _is_conversation(_value("prompt", record)):
        return MESSAGES
    return found


def _found(record: Mapping[str, Any], settings: PairTextSettings, where: str) -> str | None:
    """The format that the keys of a record have."""
    found = {name: keys for name in _KEYS if (keys := _keys_of(name, record, may_be_empty=True))}
    if len(found) > 1 or "text" in {name.lower() for name in record}:
        # An empty conversation is one where nothing else can be meant.
        found = {name: keys for name in found if (keys := _keys_of(name, record))}
    if settings.pair_format is not None:
        return settings.pair_format if settings.pair_format in found else None
    if found and "text" in {name.lower() for name in record}:
        found["text"] = ("text",)
    if len(found) > 1:
        first, second = ((name, ", ".join(keys)) for name, keys in list(found.items())[:2])
        text = ", or to train on the text alone column='text' (--column text)" if "text" in found else ""
        raise DataError(
            f"{where}: the keys fit two formats, {first[0]} ({first[1]}) and {second[0]} ({second[1]}). Say which is "
            f"meant (pair_format={first[0]!r}, --pair-format {first[0]}){text}."
        )
    return next(iter(found), None)


def _keys_of(name: str, record: Mapping[str, Any], *, may_be_empty: bool = False) -> tuple[str, ...] | None:
    """The keys of a format that a record has; None: it has none of them.

    Args:
        may_be_empty: whether what holds no message counts as a conversation.
    """
    names = {name.lower() for name in record}
    for keys in _KEYS[name]:
        if not names.issuperset(keys):
            continue
        value = _value(keys[0], record)
        if name != MESSAGES or _is_conversation(value) or _is_written(value) or (may_be_empty and _is_empty(value)):
            return keys
    return None


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
            return self._conversations(record, where)
        if found == COLUMNS:
            keys = [self._column(column, record, where) for column in self._columns]
        else:
            keys = [_named(key, record) for key in _keys_of(found, record) or ()]
        instruction = self._text(record[keys[0]], keys[0], where)
        completions = self._completions(record[keys[1]], keys[1], where)
        if found == ALPACA:
            given = {name.lower(): value for name, value in record.items()}
            prompt = alpaca_message(instruction, self._text(given.get("input"), "input", where))
        else:
            prompt = Message(USER, instruction)
        if not prompt.content.strip() and not any(text.strip() for text, _ in completions):
            return [PairPart(None, found)]
        if not instruction.strip():
            raise DataError(f"{where}: the prompt is empty. Add it, or leave the pair out.")
        return [self._pair((prompt,), text, found, place) for text, place in completions]

    def _completions(self, value: Any, key: str, where: str) -> list[tuple[str, str]]:
        """One completion, or those of a list, with their places."""
        values = _as_list(value)
        if not isinstance(values, list):
            return [(self._text(value, key, where), where)]
        if not values:
            raise DataError(f"{where}: {key!r} is an empty list. Add a completion, or leave the pair out.")
        places = [f"{where}, {key} {number}" for number in range(len(values))]
        return [(self._text(one, key, place), place) for one, place in zip(values, places, strict=True)]

    def _pair(
        self, messages: tuple[Message, ...], completion: str, found: str, where: str, *, unanswered: bool = False
    ) -> PairPart:
        cleaned = without_end_marks(completion, self._settings.end)
        if not cleaned.strip():
            raise DataError(f"{where}: the completion is empty. Add it, or leave the pair out.")
        ended = cleaned is not completion
        return PairPart(Pair(messages, cleaned, where), found, ended=ended, unanswered=unanswered)

    def _conversations(self, record: Mapping[str, Any], where: str) -> list[PairPart]:
        """The pairs of a conversation in one key, or in prompt and completion, of which there may be a list."""
        keys = _keys_of(MESSAGES, record, may_be_empty=True)
        if keys is not None and self._settings.pair_format != PROMPT_COMPLETION:
            return self._conversation(_value(keys[0], record), where)
        _, key = _keys_of(PROMPT_COMPLETION, record) or ("", "")
        prompt, completion = _value("prompt", record), _value(key, record)
        ends = [completion]
        if not _is_conversation(completion):
            texts = self._completions(completion, key, where)
            ends = [[{"role": ASSISTANT, "content": text}] for text, _ in texts]
        return [part for end in ends for part in self._conversation([*prompt, *end], where, len(prompt))]

    def _conversation(self, turns: Any, where: str, asked: int = 0) -> list[PairPart]:
        """The pairs of a conversation, of which the first ``asked`` messages are not learned from."""
        if _is_empty(turns):
            raise DataError(f"{where}: the conversation is empty. Add its messages, or leave it out.")
        if isinstance(turns, str):
            raise DataError(_no_conversation(turns, where))
        before: list[Message] = []
        found: list[tuple[tuple[Message, ...], str, str]] = []  # prompt, completion and place of each pair
        for number, turn in enumerate(turns):
            here = f"{where}, message {number}"
            message, learned = self._message(turn, here)
            if message.role == ASSISTANT:
                if learned and number >= asked:
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
        names = ("from", "value") if _is_sharegpt(turn) else ("role", "content")
        if not isinstance(turn, Mapping) or not turn.keys() >= {*names}:
            keys = f"; it has: {listing([*map(str, turn)])}" if isinstance(turn, Mapping) and turn else ""
            raise DataError(f"{where}: expected an object with role and content{keys}. Correct it.")
        role = turn[names[0]]
        if isinstance(role, str) and names[0] == "from":
            role = _SHAREGPT.get(role, role)
        if role not in ROLES:
            known = "human, gpt or system" if names[0] == "from" else f"{', '.join(ROLES[:-1])} or {ROLES[-1]}"
            raise DataError(
                f"{where}: the role is {quoted(role)}; expected {known}. Rename it, or leave the message out."
            )
        content = self._text(turn[names[1]], names[1], where)
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
            value = bytes_as_text(value, repr(key), where)
        if isinstance(value, str):
            if not is_text(value):
                raise DataError(
                    f"{where}: {key!r} holds half a surrogate pair, such as a cut emoji leaves, which is not a "
                    "character. Remove it, or leave the record out."
                )
            return plain_line_ends(value)
        if is_missing(value) or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER:
            return str(value)
        if key == "content" and isinstance(value, list) and (text := joined(value)) is not None:
            return self._text(text, key, where)
        raise DataError(f"{where}: {key!r} holds {quoted(value)}; expected a string. Correct it.")


def _expected() -> str:
    *others, last = (" and ".join(usual) for usual, *_ in _KEYS.values())
    return f"the keys {', '.join(others)}, or {last}"


def _named(key: str, record: Mapping[str, Any]) -> str:
    """The name that a key has in a record, in whatever case."""
    return key if key in record else next(name for name in record if name.lower() == key)


def _value(key: str, record: Mapping[str, Any]) -> Any:
    """What a key holds, a list in place of an array or a tuple."""
    return _as_list(record[_named(key, record)])


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(turn, Mapping) and ("role" in turn or _is_sharegpt(turn)) for turn in value
    )


def _is_sharegpt(turn: Any) -> bool:
    return isinstance(turn, Mapping) and "role" not in turn and {"from", "value"} <= turn.keys()


def _is_written(value: Any) -> bool:
    """Whether it is a conversation that was written as JSON inside a string: refused, and no text."""
    return isinstance(value, str) and value.lstrip().startswith("[") and '"role"' in value


def _no_conversation(value: Any, where: str) -> str:
    return f"{where}: 'messages' holds {quoted(value)}; expected a list of objects with role and content. Correct it."


def _is_empty(value: Any) -> bool:
    value = _as_list(value)
    return value is None or (isinstance(value, list) and not value)


def _as_list(value: Any) -> Any:
    """A list where a value is one, or a tuple, or the array that a column of lists has in some data frames."""
    return list(value) if isinstance(value, tuple) else value.tolist() if hasattr(value, "tolist") else value
