"""Texts inside records: names such as ``messages.content`` lead through objects and lists to them.

``*`` stands for every key of an object. A list that a name leads through is several records. Knows no files.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gpt2simple.storage.contents import quoted

KeyPath = tuple[str, ...]  # the keys that a name consists of
EVERY_KEY = "*"
_LOOKED_AT = 20  # entries of a list or object; they are alike
_LONGEST_LISTING = 300  # characters
_MOST_PART_KEYS = 3  # "type", "text" and one more, as of a link; records have more


def split_name(name: str) -> KeyPath:
    """The keys of a name."""
    return tuple(name.split("."))


def find_path(field: str | int, names: Collection[str]) -> KeyPath | None:
    """The path that a name or an index means among the names of a record or of columns; None: there is none."""
    if isinstance(field, str) and field in names:
        return (field,)
    if isinstance(field, int) or field.isdecimal():
        return ([*names][int(field)],) if 0 <= int(field) < len(names) else None
    path = split_name(field)
    return path if len(path) > 1 and (path[0] in names or path[0] == EVERY_KEY) else None


def listing(names: Sequence[str]) -> str:
    """Names for a message; not all of them where there are many."""
    shown = ", ".join(map(quoted, names[:20]))
    shown = shown if len(shown) <= _LONGEST_LISTING else f"{shown[:_LONGEST_LISTING]}..."
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def expand(value: Any, paths: Sequence[KeyPath]) -> list[dict[KeyPath, Any]]:
    """What the paths lead to, once for each record of the list that they lead through; none where a key is missing.

    Raises:
        ValueError: they lead through two lists of several records each.
    """
    if isinstance(value, list):
        return [found for entry in value for found in expand(entry, paths)]
    if not isinstance(value, dict):
        return []
    combined: list[dict[KeyPath, Any]] = [{}]
    for key in dict.fromkeys(path[0] for path in paths):
        children = list(value.values()) if key == EVERY_KEY else [value[key]] if key in value else []
        rests = [path[1:] for path in paths if path[0] == key]
        deeper, found = [rest for rest in rests if rest], []
        for child in children:
            own: dict[KeyPath, Any] = {(key,): child} if () in rests else {}
            below = expand(child, deeper) if deeper else [{}]
            found += [{**own, **{(key, *rest): leaf for rest, leaf in leaves.items()}} for leaves in below]
        if len(combined) > 1 and len(found) > 1:
            raise ValueError
        combined = [{**one, **other} for one in combined for other in found]
    return combined


def joined(values: list[Any]) -> str | None:
    """A text that chats store in parts: strings, and small objects with a type and perhaps a text; None: it is none."""
    parts = [_part(value) for value in values]
    return None if None in parts else "".join(map(str, parts))


def _part(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, dict):
        return None
    if not isinstance(text := value.get("text"), str):
        return "" if any(key in value for key in ("type", "content_type")) else None  # a picture and such
    return text if "type" in value and len(value) <= _MOST_PART_KEYS else None


def names_inside(record: Any) -> list[str]:
    """The names of all texts inside lists of records, or inside objects that hold one record for each key."""
    return list(dict.fromkeys(_inside(record, (), False)))


def _inside(value: Any, path: KeyPath, in_list: bool) -> Iterator[str]:
    if isinstance(value, dict):
        entries = list(itertools.islice(value.values(), _LOOKED_AT))
        if _is_alike(entries):
            yield from (name for entry in entries for name in _inside(entry, (*path, EVERY_KEY), True))
        else:
            yield from (name for key, child in value.items() for name in _inside(child, (*path, str(key)), in_list))
    elif isinstance(value, list):
        if in_list and joined(value):
            yield ".".join(path)
            return
        for entry in value[:_LOOKED_AT]:
            if isinstance(entry, (dict, list)) or in_list:
                yield from _inside(entry, path, True)
    elif in_list and path and isinstance(value, str) and value.strip():
        yield ".".join(path)


def _is_alike(entries: list[Any]) -> bool:
    """Whether the values of an object are records of one kind, their keys being identifiers."""
    if len(entries) < 2 or not all(isinstance(entry, dict) and entry for entry in entries):
        return False
    return len({frozenset(entry) for entry in entries}) == 1
