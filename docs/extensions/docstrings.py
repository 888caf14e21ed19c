"""Docstrings and types of the code as the reference shows them.

The list of settings that the code appends to a docstring becomes links to the page on settings, which says the same
once. A list of attributes becomes one with a point for each line; results are shown without the arguments that make
them, since only the package does. A type is written in the code as it is imported there; here it is looked up by its
last name among all that is documented, and must be found there or be one of those that Python and others define.
"""

from __future__ import annotations

import builtins
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from make_settings import fields_of, settings_classes, title_of

# Types of others, by their last names.
OTHERS = {
    "Any",
    "Callable",
    "Iterable",
    "Iterator",
    "Mapping",
    "Path",
    "Sequence",
    "TFGPT2LMHeadModel",
    *vars(builtins),
}
_LISTED = re.compile(r" {4}(\w+) \(default ")
_ATTRIBUTE = re.compile(r" {4}(\w+(?:, \w+)*): ")


def with_links(lines: list[str]) -> list[str]:
    """The lines of a docstring with its lists of settings as links; marks of reStructuredText in its text escaped."""
    titles = {str(cls.__doc__).splitlines()[0]: title_of(cls) for cls in settings_classes()}
    shown: list[str] = []
    number = 0
    while number < len(lines):
        title = titles.get(lines[number])
        names = _names_below(lines, number)
        if title is None or not names:
            shown.append(_escaped(lines[number]))
            number += 1
            continue
        listed = ", ".join(f"``{name}``" for name in names)
        shown += [f":ref:`{title} <settings:{title}>`: {listed}.", ""]
        number += 2 + len(names)
    return shown


def _names_below(lines: list[str], number: int) -> list[str]:
    names = []
    for line in lines[number + 2 :]:
        if (match := _LISTED.match(line)) is None:
            break
        names.append(match[1])
    return names


def with_points(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring with its section of attributes as points."""
    inside = False
    for line in lines:
        if line == "Attributes:":
            inside = True
            yield from ("**Attributes**", "")
        elif inside and (match := _ATTRIBUTE.match(line)):
            names = ", ".join(f"``{name}``" for name in match[1].split(", "))
            yield f"* {names}: {line[match.end() :]}"
        elif inside and line.startswith(" "):
            yield f"  {line.strip()}"
        else:
            inside = inside and not line
            yield line


def _escaped(line: str) -> str:
    """A line with the marks escaped that stand for themselves in the code's docstrings, outside of literals."""
    parts = re.split(r"(``.*?``)", line)
    parts[::2] = [re.sub(r"(\*(?! )|\|)", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


_properties: dict[str, list[str]] = {}  # their docstrings; napoleon takes what is before a colon for a type


def _process(_app: Any, what: str, name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = with_points(with_links(lines))
    if what == "property":
        _properties[name] = list(lines)
    if what == "class" and obj in settings_classes():
        names = ", ".join(f"``{field.name}``" for field, _ in fields_of(obj))
        lines += ["", f":ref:`Settings <settings:{title_of(obj)}>`: {names}."]


def _restore(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    if name in _properties:
        lines[:] = _properties.pop(name)


def _without_arguments(_app: Any, what: str, _name: str, obj: Any, *_: Any) -> tuple[str, None] | None:
    return ("", None) if what == "class" and dataclasses.is_dataclass(obj) and obj not in settings_classes() else None


def _find(app: Any, env: Any, node: Any, shown: nodes.Element) -> nodes.Node | None:
    """The link of a reference that Sphinx has not found; None: there is no such thing, which is an error."""
    if node.get("refdomain") != "py":
        return None
    names = [name.strip(" .") for name in node["reftarget"].split(",")]  # "Raises: SettingsError, DataError."
    objects = env.domains.python_domain.objects
    found = [[full for full in objects if full.rpartition(".")[2] == name.rpartition(".")[2]] for name in names]
    if len(names) == 1 and found[0]:
        document, target = objects[found[0][0]].docname, objects[found[0][0]].node_id
        link = nodes.reference("", "", shown, internal=True)
        link["refuri"] = f"{app.builder.get_relative_uri(node['refdoc'], document)}#{target}"
        return link
    known = [bool(one) or name.rpartition(".")[2] in OTHERS for name, one in zip(names, found, strict=True)]
    return shown if all(known) else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _restore, priority=600)  # after napoleon
    app.connect("autodoc-process-signature", _without_arguments)
    app.connect("missing-reference", _find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
