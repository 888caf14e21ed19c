"""A folder as a notebook of gpt-2-simple's would have it, with a small model."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from gpt2simple import testing
from tests.helpers.paths import GOLDEN
from tests.helpers.small_runs import write_small_model, write_text

GOLDEN_RUN = GOLDEN / "gpt2-simple-run"
LOSS_LINE = r"\[(\d+) \| \d+\.\d\d\] loss=\d+\.\d\d avg=\d+\.\d\d"


def write_notebook_folder(folder: Path) -> None:
    """models/small, a model with 32 tokens of context, and script.txt."""
    write_small_model(folder / "models" / "small")
    write_text(folder / "script.txt")


def write_old_run(folder: Path) -> Path:
    """checkpoint/old as gpt-2-simple 0.8.1 wrote it (tests/reference/original_run.py), with the vocabulary it had."""
    run = folder / "checkpoint" / "old"
    shutil.copytree(GOLDEN_RUN, run)
    (run / "logits.npz").unlink()
    testing.write_byte_vocabulary(run)
    symbols = json.loads((run / "vocab.json").read_text(encoding="utf-8"))
    (run / "encoder.json").write_text(json.dumps(symbols), encoding="utf-8")
    (run / "vocab.json").unlink()
    (run / "merges.txt").rename(run / "vocab.bpe")
    return run


def digests(folder: Path) -> dict[str, str]:
    """The files of a folder, without those below it, by name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}
