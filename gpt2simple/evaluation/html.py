"""HTML for pages and notebooks: the jinja2 templates beside this file, filled with escaped values."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpt2simple._version import __version__
from gpt2simple.storage.contents import visible


def render(template: str, **values: Any) -> str:
    """The template filled with these values, each escaped, and what would not show made visible."""
    return visible(_ENVIRONMENT.get_template(template).render(values))


_LOADER = PackageLoader("gpt2simple.evaluation")
_ENVIRONMENT = Environment(
    loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["number"] = lambda value, form: "not measured" if value is None else format(value, form)
_ENVIRONMENT.tests["numeric"] = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?(%|s|GB))?").fullmatch
_ENVIRONMENT.globals["version"] = __version__
