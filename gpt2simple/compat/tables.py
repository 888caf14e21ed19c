"""How gpt-2-simple read tables: the first column under a header, each row behind its start mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2simple.data.export import START_MARK


def text_settings(dataset: Any) -> dict[str, Any]:
    """The settings with which a dataset is read as gpt-2-simple read it; none where it holds no CSV file."""
    if not _holds_csv(dataset):
        return {}
    return {"template": START_MARK + "{0}", "header": True}


def _holds_csv(dataset: Any) -> bool:
    if not isinstance(dataset, (str, Path)):
        return False
    if Path(dataset).is_dir():
        return any(path.suffix.lower() == ".csv" for path in Path(dataset).rglob("*"))
    return str(dataset).lower().endswith(".csv")
