"""Taking back the records of steps that a resumed run will do again.

Knows that metrics.jsonl has one JSON object a line and metrics.csv a header, both with a "step"; not what they measure.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gpt2simple.storage import atomic_file

METRICS_JSONL = "metrics.jsonl"
METRICS_CSV = "metrics.csv"


def truncate_metrics(run: Path, step: int) -> None:
    """Remove every record after ``step`` from a run's metric files, and a last line that was cut off.

    Files that need no change are not touched; missing ones are no error.

    Args:
        run: the run's folder.
        step: steps done; records of this step stay.

    Raises:
        StorageError: a file cannot be written; it is then as it was.
    """
    for name, kept in ((METRICS_JSONL, _kept_json_lines), (METRICS_CSV, _kept_csv_lines)):
        path = run / name
        if path.is_file() and _size(path, kept, step) != path.stat().st_size:
            with path.open("rb") as source, atomic_file(path) as target:
                target.writelines(kept(source, step))


def _size(path: Path, kept: Callable[[BinaryIO, int], Iterator[bytes]], step: int) -> int:
    with path.open("rb") as source:
        return sum(map(len, kept(source, step)))


def _kept_json_lines(source: BinaryIO, step: int) -> Iterator[bytes]:
    for line in source:
        if line.endswith(b"\n") and (found := _json_step(line)) is not None and found <= step:
            yield line


def _json_step(line: bytes) -> int | None:
    try:
        value = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) else None


def _kept_csv_lines(source: BinaryIO, step: int) -> Iterator[bytes]:
    header = source.readline()
    names = _cells(header)
    if not header.endswith(b"\n") or "step" not in names:
        return  # a header that was cut off: the writer begins anew
    yield header
    place = names.index("step")
    for line in source:
        cells = _cells(line)
        if line.endswith(b"\n") and len(cells) == len(names) and cells[place].isdigit() and int(cells[place]) <= step:
            yield line


def _cells(line: bytes) -> list[str]:
    """Numbers and plain words only: no cell of ours holds a line break."""
    return next(csv.reader(io.StringIO(line.decode("utf-8", errors="replace"))), [])
