"""Docstrings and types of the code as the reference shows them.

The list of settings that the code appends to a docstring becomes links to the page on settings, which says the same
once. A type is written in the code as it is imported there; here it is looked up by its last name among all that is
documented, and must be found there or be one of those that Python and others define.
"""

from __future__ import annotations

import builtins
import re
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


def _escaped(line: str) -> str:
    """A line with the marks escaped that stand for themselves in the code's docstrings, outside of literals."""
    parts = re.split(r"(``.*?``)", line)
    parts[::2] = [re.sub(r"(\*|\|)", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _process(_app: Any, what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = with_links(lines)
    classes = settings_classes()
    if what == "class" and obj in classes:
        names = ", ".join(f"``{field.name}``" for field, _ in fields_of(obj))
        lines += ["", f":ref:`Settings <settings:{title_of(obj)}>`: {names}."]


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
    app.connect("missing-reference", _find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
