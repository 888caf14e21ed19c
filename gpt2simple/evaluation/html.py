"""HTML for pages and notebooks: the jinja2 templates beside this file, filled with escaped values."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpt2simple._version import __version__
from gpt2simple.storage.contents import visible


def render(template: str, **values: Any) -> str:
    """The template filled with these values, each escaped, and what would not show made visible."""
    return visible(_ENVIRONMENT.get_template(template).render(values))


def picture_address(png: bytes) -> str:
    """A PNG as the address of an image, so that the page holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def picture_of(path: Path) -> str:
    """A PNG file as the address of an image; "" where there is none, or one too large for a notebook."""
    try:
        png = path.read_bytes() if path.stat().st_size <= _LARGEST_PICTURE else b""
    except OSError:  # the folder was moved, or is on a disk that is gone
        return ""
    return picture_address(png) if png.startswith(b"\x89PNG") else ""


def shown_in_notebook(
    tables: Sequence[Mapping[str, Any]] = (),
    *,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    picture: str = "",
    shows: str = "",
) -> str:
    """Tables, sentences and a picture as a notebook shows them, in its own colours, light or dark.

    Args:
        tables: each with ``heads``, ``rows`` and maybe ``caption``. before, after: sentences, each a paragraph.
        picture: its address; "": none. shows: what is in it, for those who cannot see it.
    """
    return render("notebook.html", tables=tables, before=before, after=after, picture=picture, shows=shows)


def value_rows(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values, such as settings, as the rows of a table."""
    return [(name_shown(name), _shown(value)) for name, value in values.items()]


def name_shown(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


_LARGEST_PICTURE = 1_000_000  # bytes; a notebook keeps every picture in its file
_LOADER = PackageLoader("gpt2simple.evaluation")
_ENVIRONMENT = Environment(
    loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["number"] = lambda value, form: "not measured" if value is None else format(value, form)
_ENVIRONMENT.tests["numeric"] = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?(%|s|GB))?").fullmatch
_ENVIRONMENT.globals["version"] = __version__
