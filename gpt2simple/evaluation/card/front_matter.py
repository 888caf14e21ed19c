"""The front matter of a model card: YAML between two lines of dashes, written so that every YAML reader agrees.

Strings are written as JSON has them, which YAML reads alike in every version; so are numbers, but with a point.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_LINE_ENDS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")  # to YAML; JSON has them as they are


def front_matter(values: Mapping[str, Any]) -> str:
    """The front matter with these values: dictionaries, lists, texts, numbers; what is None or empty is left out."""
    return "\n".join(["---", *_lines(_without_empty(values)), "---", ""])


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _without_empty(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if not _is_empty(part)}
    if isinstance(value, (list, tuple)):
        return [part for part in map(_without_empty, value) if not _is_empty(part)]
    return value


def _is_empty(value: Any) -> bool:
    unknown = isinstance(value, float) and not math.isfinite(value)
    return value is None or unknown or (isinstance(value, (str, Mapping, Sequence)) and not value)


def _lines(values: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += [f"{name}:", *(f"  {line}" for line in _lines(value))]
        elif isinstance(value, list):
            found.append(f"{name}:")
            for entry in value:
                first, *others = _lines(entry) if isinstance(entry, Mapping) else [_scalar(entry)]
                found += [f"- {first}", *(f"  {line}" for line in others)]
        else:
            found.append(f"{name}: {_scalar(value)}")
    return found


def _scalar(value: Any) -> str:
    text = _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    # YAML 1.1 takes 1e-05 for a text.
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text
