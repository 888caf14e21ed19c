"""How a setting is declared, checked and turned into JSON; ``arguments`` shows settings in signatures.

A setting is a dataclass field whose metadata carries its help text and range. Nothing here knows a single setting.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gpt2simple.errors import SettingsError
from gpt2simple.storage.contents import quoted

SettingsT = TypeVar("SettingsT")

# The bounds of a setting: name, words for messages, and the comparison with the value.
_BOUNDS = (
    ("minimum", "at least", operator.ge),
    ("above", "more than", operator.gt),
    ("maximum", "at most", operator.le),
)

# Words for messages, of types whose names say too little.
_IN_WORDS: dict[type, str] = {
    tuple: "a string or a list of strings",
    Sequence: "a list of strings",
    Iterable: "a list of strings",
}


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word every option library uses
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: Iterable[Any] | None = None,
    path: bool = False,
    cli: bool = True,
    group: str = "",
    common: bool = False,
    formerly: str | None = None,
) -> Any:
    """A dataclass field with its meaning and range.

    Args:
        default: the value when the user gives none; ``None`` is always allowed where it is the default.
        help: one sentence with the unit, shown by ``help()`` and by the command line.
        minimum, maximum: inclusive bounds; ``above``: exclusive lower bound.
        choices: the accepted values (beside ``None`` where that is the default).
        path: whether it names, or may name, a file or folder: a ``Path`` is taken too, and kept as text.
        cli: whether the command line offers it.
        group: its purpose, the heading under which help and documentation list it.
        common: whether ``--help`` shows it; ``--help-all`` shows the others too.
        formerly: its name in earlier versions, which is refused with a hint.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "choices": tuple(choices) if choices is not None else None,
        "path": path,
        "cli": cli,
        "group": group,
        "common": common,
        "formerly": formerly,
    }
    return dataclasses.field(default=default, metadata=metadata)


def like(cls: type, name: str, **changes: Any) -> Any:
    """A dataclass field with the meaning, range and default of a setting of another class, except for the changes.

    Args:
        changes: arguments of ``setting`` that differ.
    """
    (field,) = [field for field in dataclasses.fields(cls) if field.name == name]
    arguments: dict[str, Any] = {"default": field.default, **field.metadata, **changes}
    return setting(**arguments)


def only(cls: type, *names: str) -> type:
    """A settings class with some of another's settings, for functions and commands that take just these."""
    types = {f.name: f.type for f in dataclasses.fields(cls)}
    chosen = [(name, types[name], like(cls, name)) for name in names]
    # Only the fields and the constructor are used; each further method would cost half a millisecond of `--help`.
    made = dataclasses.make_dataclass(cls.__name__, chosen, kw_only=True, repr=False, eq=False)
    made.__doc__, made.__module__ = cls.__doc__, cls.__module__  # the module in which its types' names are looked up
    return made


def texts_to_tuples(settings: Any, *names: str) -> None:
    """Make tuples of the strings and lists among these fields; called before ``check``.

    A single string becomes a tuple of one, so that it is not split into letters.
    """
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, (str, list)):
            value = (value,) if isinstance(value, str) else tuple(value)
            object.__setattr__(settings, name, value)  # frozen: for everybody but itself


def is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can hold, as one with half a surrogate pair is not."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> Any:
    """A NumPy scalar, or an array without dimensions, as a value of Python; other values unchanged."""
    item = getattr(value, "item", None)
    return item() if item is not None and getattr(value, "shape", None) == () else value


def check(settings: Any, contradictions: Callable[[], Iterable[str]] = tuple) -> None:
    """Raise one SettingsError that lists every problem together, or return quietly, with plain values in the fields.

    Args:
        settings: a settings dataclass; its declared types and ranges are checked.
        contradictions: gives sentences about fields that contradict each other; called if each is valid by itself, so
            that it may compare them.
    """
    hints = typing.get_type_hints(type(settings))
    found = []
    for field in dataclasses.fields(settings):
        value = plain(getattr(settings, field.name))
        if field.metadata["path"] and isinstance(value, os.PathLike):
            value = os.fspath(value)  # run.json holds it
        object.__setattr__(settings, field.name, value)  # frozen: for everybody but itself
        if value is not None or field.default is not None:
            found += [problem] if (problem := setting_problem(field, value, hints[field.name])) else []
    if found := found or [*contradictions()]:
        raise SettingsError("\n".join(found))


def setting_problem(field: dataclasses.Field[Any], value: Any, hint: Any) -> str | None:
    """What is wrong with the value of a setting by itself, as a sentence; None: nothing.

    Args:
        field: of the settings class. hint: its type, see ``typing.get_type_hints``.
    """
    rule = field.metadata
    if problem := type_problem(field.name, value, hint | Path if rule["path"] else hint):
        return problem
    choices = rule.get("choices")
    if choices is not None and value not in choices:
        return f"{field.name} is {quoted(value)}; expected {_listing(choices)}."
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _range_problem(field.name, value, rule)
    return None


def type_problem(name: str, value: Any, hint: Any) -> str | None:
    """What is wrong with the type of a value, as a sentence; None: nothing.

    Args:
        hint: an annotation. With ``Path`` in it, a string must be one that can name a file.
    """
    accepted = plain_types(hint)
    if Any in accepted or (value is None and type(None) in typing.get_args(hint)):
        return None
    several = Sequence in accepted and not isinstance(value, str)
    if not _fits(value, accepted) or (several and not all(map(is_text, value))):
        names = " or ".join(sorted(_IN_WORDS.get(t, t.__name__) for t in accepted))
        return f"{name} is {quoted(value)}; expected {names}."
    if Path in accepted and isinstance(value, (str, os.PathLike)) and not can_be_path(os.fspath(value)):
        return (
            f"{name} is {quoted(value)}; expected the name of a file or folder, without NUL or half a surrogate pair."
        )
    if isinstance(value, str) and Path not in accepted and not is_text(value):
        return f"{name} is {quoted(value)}; expected a string of valid Unicode."
    if isinstance(value, int) and abs(value) > _LARGEST_COUNT:
        return f"{name} is {quoted(value)}; expected a number of at most 64 bits."
    return None


def can_be_path(name: str | bytes) -> bool:
    """Whether a value is a string that a call of the system takes."""
    try:
        return isinstance(name, str) and "\0" not in name and bool(os.fsencode(name) or True)
    except UnicodeEncodeError:
        return False


def _range_problem(name: str, value: float, rule: Mapping[str, Any]) -> str | None:
    bounds = [(words, rule[bound], holds) for bound, words, holds in _BOUNDS if rule.get(bound) is not None]
    if math.isfinite(value) and all(holds(value, limit) for _, limit, holds in bounds):
        return None
    limits = " and ".join(f"{words} {limit}" for words, limit, _ in bounds)
    return f"{name} is {quoted(value)}; expected a finite number{f', {limits}' if limits else ''}."


def plain_types(hint: Any) -> tuple[type, ...]:
    """The classes a value may have: ``int | str | None`` gives int and str, ``tuple[str, ...]`` gives tuple."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(t for part in typing.get_args(hint) for t in plain_types(part))
    origin = typing.get_origin(hint)
    plain = origin if isinstance(origin, type) else hint
    return () if plain is type(None) else (plain,)


def _fits(value: Any, accepted: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # bool is an int, but True is no number of steps
        return bool in accepted
    if isinstance(value, int) and float in accepted:
        return True
    return isinstance(value, accepted)


def _listing(choices: Iterable[Any]) -> str:
    words = [repr(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def pick(values: Mapping[str, Any], *classes: type) -> dict[str, Any]:
    """Those of the values that are settings of these classes."""
    return {f.name: values[f.name] for cls in classes for f in dataclasses.fields(cls) if f.name in values}


def build(cls: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """The settings of a class from the values of a call, which may hold settings of other classes too.

    Raises:
        SettingsError: one is out of range.
    """
    return cls(**pick(values, cls))


def former_names(*classes: type) -> dict[str, str]:
    """The names that settings had in earlier versions, with those of today."""
    settings = [field for cls in classes for field in dataclasses.fields(cls)]
    return {field.metadata["formerly"]: field.name for field in settings if field.metadata["formerly"]}


def describe(cls: type) -> str:
    """The settings of a class as an indented list: name, default and meaning."""
    return "\n".join(f"    {f.name} (default {f.default!r}): {f.metadata['help']}" for f in dataclasses.fields(cls))


def to_json(settings: Any) -> dict[str, Any]:
    """A settings object as plain JSON values."""
    return {
        f.name: list(value) if isinstance(value := getattr(settings, f.name), tuple) else value
        for f in dataclasses.fields(settings)
    }


def from_json(cls: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """The settings object that ``to_json`` wrote; names unknown to this version are left out."""
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known})


_LARGEST_COUNT = (1 << 63) - 1  # what NumPy's and TensorFlow's whole numbers hold


def misfit(cls: type, values: Mapping[str, Any], *unchecked: str) -> str | None:
    """The first field of a dataclass whose value in ``values`` has another type than declared, or is a whole number
    of more than 64 bits; None if all fit.

    Args:
        unchecked: fields that are left out.
    """
    hints = typing.get_type_hints(cls)
    for name in [field.name for field in dataclasses.fields(cls) if field.name in values]:
        if name not in unchecked and not _is_of(values[name], hints[name]):
            return name
    return None


def _is_of(value: Any, hint: Any) -> bool:
    if isinstance(value, int) and abs(value) > _LARGEST_COUNT:
        return False
    return (value is None and type(None) in typing.get_args(hint)) or _fits(value, plain_types(hint))
