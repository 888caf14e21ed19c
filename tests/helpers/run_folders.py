"""Run folders for tests: descriptions, small tensors whose values tell their step, and faults at disk operations."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpt2simple.gpt2.formats.safetensors_file import Tensor
from gpt2simple.runs.checkpoint import StepCheckpoint
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import FinetuneSettings, TextSettings

MODEL_FILES = {
    "config.json": b'{"model_type": "gpt2"}\n',
    "tokenizer.json": b'{"version": "1.0"}\n',
    "merges.txt": b"#version: 0.2\na b\n",
}
DTYPES = {"float32": "F32", "float16": "F16", "int64": "I64"}


def description(**changes: Any) -> RunDescription:
    """A run's description; keywords that are settings go into its settings."""
    names = {field.name for field in dataclasses.fields(FinetuneSettings)} - {"seed"}
    settings = FinetuneSettings(**{k: v for k, v in changes.items() if k in names})
    fields: dict[str, Any] = {
        "model_name": "tiny",
        "settings": settings,
        "text_settings": TextSettings(),
        "data_fingerprint": "text-1",
        "data_summary": {"tokens": 1000},
        "tokenizer_fingerprint": "bpe-1",
        "seed": 7,
        "environment": {"gpt2simple": "1.0.0", "precision": "float32"},
    }
    return RunDescription(**{**fields, **{k: v for k, v in changes.items() if k not in names}})


def begin(folder: Path, *steps: int, best: int | None = None) -> RunWriter:
    """A run with checkpoints at these steps, the root published; not locked."""
    run = RunWriter(folder)
    with run.lock():
        run.create(description(), MODEL_FILES)
        for step in steps:
            save(run, step, is_best=step == best)
    return run


def tensor_of(name: str, array: np.ndarray) -> Tensor:
    """An array as a tensor to save."""
    return Tensor(name, array.shape, DTYPES[array.dtype.name], lambda: array)


def save(run: RunWriter, step: int, *, is_best: bool = False, width: int = 64) -> Path:
    """Save a checkpoint whose every value is its step, and bring the root up to date."""
    values = np.full((width, width), step, np.float32)
    path = run.save(
        step,
        weights=[tensor_of("transformer.wte.weight", values), tensor_of("transformer.ln_f.bias", values[0])],
        optimizer=[tensor_of("m/wte.weight", -values), tensor_of("iterations", np.asarray(step, np.int64))],
        state={"step": step},
        best_figures={"loss": 1 / (1 + step)} if is_best else None,
    )
    run.publish()
    return path


def require_consistent(checkpoint: StepCheckpoint) -> None:
    """Weights, optimizer and state of a checkpoint are all of its step."""
    assert checkpoint.damage() is None
    assert checkpoint.state == {"step": checkpoint.step}
    for name, values in [*checkpoint.weights(), *checkpoint.optimizer()]:
        assert np.all(np.abs(values) == checkpoint.step), (name, checkpoint)


def require_repairable(folder: Path) -> None:
    """A repair leaves no leftovers, a run.json that fits, and the best checkpoint's weights in the root."""
    run = RunWriter(folder)
    with run.lock():
        run.repair()
    best, latest = run.best(), run.latest()
    assert best is not None
    assert latest is not None
    assert (folder / "model.safetensors").read_bytes() == (best.path / "model.safetensors").read_bytes()
    assert run.info.latest_step == latest.step
    assert run.info.best == latest.best
    for name, content in MODEL_FILES.items():
        assert (folder / name).read_bytes() == content
    odd = [path.name for path in folder.iterdir() if path.name.startswith(".tmp") or path.name.endswith(".new")]
    assert odd == []


@contextlib.contextmanager
def disk_operations(before: Callable[[str], None]) -> Iterator[None]:
    """Call ``before(name)`` ahead of every operation that changes the disk; what it raises, the operation raises."""

    def watched(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before(name)
            return operation(*args, **kwargs)

        return call

    plain_open, plain = io.open, {name: getattr(os, name) for name in ("fsync", "link", "mkdir", "replace", "unlink")}
    rmdir = os.rmdir

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wxa+"):
            return plain_open(file, mode, *args, **kwargs)
        before("open")
        return _WatchedFile(plain_open(file, mode, *args, **kwargs), before)

    io.open = opened
    for name, operation in plain.items():
        setattr(os, name, watched(name, operation))
    os.rmdir = watched("rmdir", rmdir)
    try:
        yield
    finally:
        io.open, os.rmdir = plain_open, rmdir
        for name, operation in plain.items():
            setattr(os, name, operation)


class _WatchedFile:
    """A file whose writes are watched, in halves: a full disk or a kill comes in the middle of one."""

    def __init__(self, file: Any, before: Callable[[str], None]) -> None:
        self._file, self._before = file, before

    def write(self, data: Any) -> int:
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            self._before("write")
            self._file.write(part)
            self._file.flush()
        return len(data)

    def writelines(self, lines: Any) -> None:  # else __getattr__ would hand it on, and nobody watch
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _WatchedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def go_on(folder: Path) -> None:
    """What training does next: save a step, the best so far, with the tensors of the one before, and remove that."""
    run = RunWriter(folder)
    with run.lock():
        last = run.checkpoints()[-1]
        run.save(
            last.step + 1,
            weights=[tensor_of(name, array) for name, array in last.weights()],
            optimizer=[tensor_of(name, array) for name, array in last.optimizer()],
            state=last.state,
            best_figures={"loss": 1 / (1 + last.step)},
        )
        run.publish()
        run.prune(1)


@contextlib.contextmanager
def disk_looks(before: Callable[[], None]) -> Iterator[None]:
    """Call ``before()`` ahead of every operation that looks at the disk, but not for those of ``before`` itself."""
    busy = False

    def watched(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal busy
            if not busy:
                busy = True
                try:
                    before()
                finally:
                    busy = False
            return operation(*args, **kwargs)

        return call

    plain = [(module, name, getattr(module, name)) for module, name in _LOOKS]
    for module, name, operation in plain:
        setattr(module, name, watched(operation))
    try:
        yield
    finally:
        for module, name, operation in plain:
            setattr(module, name, operation)


_LOOKS: list[tuple[Any, str]] = [(io, "open"), (os, "stat"), (os, "listdir"), (os, "scandir")]
