"""What a checkpoint folder should hold, file by file, so that a torn one is told from a whole one.

Knows names, lengths and digests; not what the files mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt2simple.runs.layout import MANIFEST_FILE
from gpt2simple.storage import atomic_write, sha256_of


@dataclass(frozen=True)
class FileRecord:
    """Length in bytes and sha256 (64 hexadecimal digits) of a file."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Of a file as it is on the disk now."""
        return cls(path.stat().st_size, sha256_of(path))

    @classmethod
    def of_bytes(cls, content: bytes) -> FileRecord:
        """Of a file that will hold exactly this."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def damage(self, path: Path) -> str | None:
        """What is wrong with a file, in words, or None where it is as recorded."""
        try:
            n_bytes = path.stat().st_size
            if n_bytes != self.n_bytes:
                return f"{path.name} has {n_bytes} bytes, expected {self.n_bytes}"
            return None if sha256_of(path) == self.sha256 else f"the content of {path.name} has changed"
        except FileNotFoundError:
            return f"{path.name} is missing"
        except OSError as error:
            return f"{path.name} cannot be read ({error.strerror})"


@dataclass(frozen=True)
class BestMark:
    """The step with the lowest held-out loss so far, and its held-out figures."""

    step: int
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The files of one checkpoint, and the best step as it was known when the checkpoint was written.

    The best mark lies here, not only in run.json, because weights and mark must appear in one rename: a kill between
    two writes could otherwise leave a mark that does not fit the checkpoints.
    """

    step: int
    files: Mapping[str, FileRecord]
    best: BestMark | None = None

    def write(self, folder: Path) -> None:
        """Write it into a folder, in one step."""
        content = {
            "step": self.step,
            "best": None if self.best is None else {"step": self.best.step, "figures": dict(self.best.figures)},
            "files": {name: {"bytes": r.n_bytes, "sha256": r.sha256} for name, r in sorted(self.files.items())},
        }
        atomic_write(folder / MANIFEST_FILE, json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """From a checkpoint folder.

        Raises:
            ValueError: it is missing or not whole; the message says which.
        """
        try:
            content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
            best = content["best"]
            return cls(
                step=int(content["step"]),
                files={name: FileRecord(int(r["bytes"]), str(r["sha256"])) for name, r in content["files"].items()},
                best=None if best is None else BestMark(int(best["step"]), dict(best["figures"])),
            )
        except FileNotFoundError:
            raise ValueError(f"{MANIFEST_FILE} is missing") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{MANIFEST_FILE} cannot be read") from error

    def damage(self, folder: Path, names: Iterable[str] | None = None) -> str | None:
        """The first thing wrong with the files of a folder, in words, or None where they are as recorded.

        Args:
            folder: the checkpoint.
            names: look at these files only; None: at all.
        """
        for name in self.files if names is None else names:
            record = self.files.get(name)
            if problem := f"{name} is not listed" if record is None else record.damage(folder / name):
                return problem
        return None
