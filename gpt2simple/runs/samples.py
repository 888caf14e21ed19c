"""samples/step-000100.txt, what the model wrote at each step, and an index of them.

Knows nothing of how the text was made.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from gpt2simple.runs.records import RunPlan, SampleRecord, TrainingCallback
from gpt2simple.storage.contents import read_json
from gpt2simple.storage.files import atomic_write

FOLDER_NAME = "samples"
INDEX_NAME = "index.json"


def read(run_dir: Path) -> list[SampleRecord]:
    """The samples of the run in ``run_dir``, in order of steps; empty where it wrote none.

    A file that the user deleted, or that cannot be read, is left out.
    """
    folder = run_dir / FOLDER_NAME
    found = []
    for entry in _read_index(folder):
        with contextlib.suppress(OSError):
            text = (folder / entry["file"]).read_bytes().decode("utf-8", "replace")
            found.append(SampleRecord(step=entry["step"], text=text))
    return found


def file_name(step: int) -> str:
    """The name of the file that holds a step's sample."""
    return f"step-{step:06d}.txt"


class SampleFiles(TrainingCallback):
    """Writes one text file per sample, and then the index that names it.

    Samples of steps that a resumed run is going to repeat are removed first, as their metrics are; files that the
    index does not name are never touched.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER_NAME
        self._index: list[dict[str, Any]] = []

    def on_start(self, plan: RunPlan) -> None:
        known = _read_index(self._folder)
        self._index = [entry for entry in known if 0 < plan.first_step >= entry["step"]]
        if len(self._index) == len(known):
            return
        self._write_index()
        for entry in known:
            if entry not in self._index:
                with contextlib.suppress(OSError):  # gone, or a folder of the user's
                    (self._folder / entry["file"]).unlink()

    def on_sample(self, record: SampleRecord) -> None:
        name = file_name(record.step)
        atomic_write(self._folder / name, record.text, durable=False)
        others = [entry for entry in self._index if entry["step"] != record.step]
        added = {"step": record.step, "file": name, "characters": len(record.text)}
        self._index = sorted([*others, added], key=lambda entry: int(entry["step"]))
        self._write_index()

    def _write_index(self) -> None:
        text = json.dumps({"samples": self._index}, indent=1) + "\n"
        atomic_write(self._folder / INDEX_NAME, text, durable=False)


def _read_index(folder: Path) -> list[dict[str, Any]]:
    try:
        listed = read_json(folder / INDEX_NAME)["samples"]
        entries = [e for e in listed if isinstance(e, dict) and type(e.get("step")) is int and e["step"] >= 0]
    except Exception:
        return []
    # A name with a folder in it is not one of ours: the index may not lead the callback to delete files elsewhere.
    return [entry for entry in entries if entry.get("file") == file_name(entry["step"])]
