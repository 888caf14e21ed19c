"""HTML for pages and notebooks: the jinja2 templates beside this file, filled with escaped values."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpt2simple._version import __version__

# What a browser would not show, or would reorder the text around it with: control characters, directional overrides
# and isolates, halves of surrogate pairs (which no file can hold).
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render(template: str, **values: Any) -> str:
    """The template filled with these values.

    Every value is escaped, and characters that would not show, such as NUL or U+202E, are written as in Python source.
    """
    text = _ENVIRONMENT.get_template(template).render(values)
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_LOADER = PackageLoader("gpt2simple.evaluation")
_ENVIRONMENT = Environment(
    loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["number"] = lambda value, form: "not measured" if value is None else format(value, form)
_ENVIRONMENT.tests["numeric"] = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?(%|s|GB))?").fullmatch
_ENVIRONMENT.globals["version"] = __version__
