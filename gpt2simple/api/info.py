"""Versions, device and precision, the known models and those of the hub that are here, the runs and their progress.

Changes no model and no run; downloads nothing and opens no weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gpt2simple.backend import packages
from gpt2simple.errors import BackendError, Gpt2SimpleError, SettingsError
from gpt2simple.evaluation.tables import text_table
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.download import holds_model, is_gpt2_downloaded
from gpt2simple.gpt2.hub.locate import canonical_name, fetched_from_hub
from gpt2simple.gpt2.hub.registry import KNOWN_MODELS
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import list_runs
from gpt2simple.settings import FinetuneSettings, SessionSettings
from gpt2simple.storage.contents import quoted, read_json


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A known model, or one of the hub that was fetched.

    Attributes:
        parameters: None for the built-in one, and where the folder does not say.
        is_downloaded: whether all of it is here.
        commit: of a model of the hub; None: it is a known model.
    """

    name: str
    parameters: int | None
    is_downloaded: bool
    commit: str | None = None

    def means(self, name: str) -> bool:
        """Whether it is a model of that name; one of the hub also has that of its commit."""
        pinned = f"{self.name.partition('@')[0]}@{self.commit}"
        return self.name == canonical_name(name) or (self.commit is not None and pinned == name)


@dataclass(frozen=True, kw_only=True)
class TrainingEntry:
    """What fine-tuning a known model takes here, estimated for 1 x 1,024 tokens with gradient checkpointing.

    Attributes:
        name: of the model. method: "full", or LoRA by its base_precision, "bfloat16" or "int8".
        memory_bytes: of the whole process. seconds_per_step: on this device; on a GPU at least.
    """

    name: str
    method: str
    memory_bytes: int
    seconds_per_step: float


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """A run.

    Attributes:
        model_name, step, best_step, ended: None if the run does not record them, as gpt-2-simple's do not.
        problem: why it cannot be read; None: it can.
    """

    name: str
    model_name: str | None = None
    step: int | None = None
    best_step: int | None = None
    ended: str | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The result of ``get_info``."""

    versions: dict[str, str]
    missing: tuple[str, ...]
    device: str
    precision: str
    precision_reason: str
    models: tuple[ModelEntry, ...]
    runs: tuple[RunEntry, ...]
    training: tuple[TrainingEntry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The overview as JSON values."""
        return asdict(self)

    def summary(self) -> str:
        """The overview as text."""
        width = max((len(model.name) for model in self.models), default=0)
        lines = [
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            *(
                [f"Missing: {', '.join(self.missing)}; install with {packages.install_command()}"]
                if self.missing
                else []
            ),
            f"Device: {self.device}",
            f"Precision: {self.precision} ({self.precision_reason})",
            *(["Models:"] if self.models else []),
            *(f"  {model.name:{width}} {_state(model)}" for model in self.models),
            *self._training_table(),
            *(["Runs:" if self.runs else "Runs: none yet"] if self.runs or len(self.models) > 1 else []),
            *(f"  {run.name}: {_progress(run)}" for run in self.runs),
        ]
        return "\n".join(lines)

    def _training_table(self) -> list[str]:
        cells = {
            (entry.name, entry.method): f"{entry.memory_bytes / 1e9:.1f} GB, {entry.seconds_per_step:.1f} s"
            for entry in self.training
        }
        if not cells:
            return []
        names = dict.fromkeys(name for name, _ in cells)
        rows = [["", *_METHODS.values()], *([name, *(cells[name, method] for method in _METHODS)] for name in names)]
        return [
            "Fine-tuning, memory and time of a step of 1 x 1,024 tokens with gradient_checkpointing:",
            *text_table(rows),
        ]


def get_info(settings: SessionSettings, name: str | None = None) -> Overview:
    """An overview of this installation, and of the models and runs in the folders of the settings.

    Args:
        name: of the only model or run to tell of; None: all.

    Raises:
        SettingsError: there is none of that name.
    """
    found = _overview(settings)
    if name is None:
        return found
    models = tuple(model for model in found.models if model.means(name))
    training = tuple(entry for entry in found.training if entry.name == canonical_name(name))
    runs = tuple(run for run in found.runs if run.name == name)
    if not models and not runs:
        known = [*(model.name for model in found.models), *(run.name for run in found.runs)]
        raise SettingsError(
            f"There is no model or run {quoted(name)}; there are {', '.join(known)}. Name one of these."
        )
    return replace(found, models=models, runs=runs, training=training)


def _overview(settings: SessionSettings) -> Overview:
    checkpoint_dir = Path(settings.checkpoint_dir)
    device, precision, reason = _computing()
    return Overview(
        versions=packages.versions(),
        missing=tuple(packages.missing()),
        device=device,
        precision=precision,
        precision_reason=reason,
        models=(*_known_models(settings.model_dir), *_hub_models(Path(settings.model_dir))),
        runs=tuple(_run(checkpoint_dir / name) for name in list_runs(checkpoint_dir)),
        training=() if precision == "none" else tuple(_training(precision)),
    )


def _known_models(model_dir: str | Path) -> Iterator[ModelEntry]:
    for known in KNOWN_MODELS.values():
        yield ModelEntry(
            name=known.name,
            parameters=known.config.parameters if known.config else None,
            is_downloaded=is_gpt2_downloaded(known.name, model_dir),
        )


def _hub_models(model_dir: Path) -> Iterator[ModelEntry]:
    for folder, record in fetched_from_hub(model_dir):
        parameters = None
        with contextlib.suppress(Gpt2SimpleError, OSError, ValueError):  # a part of a model may have no config yet
            parameters = ModelConfig.from_huggingface(read_json(folder / "config.json")).parameters
        yield ModelEntry(
            name=folder.relative_to(model_dir).as_posix(),
            parameters=parameters,
            is_downloaded=holds_model(folder),
            commit=record.commit,
        )


_METHODS = {"full": "full", "bfloat16": "LoRA, bfloat16", "int8": "LoRA, int8"}


def _training(precision: str) -> Iterator[TrainingEntry]:
    """Estimates for each known model and method."""
    from gpt2simple.backend import devices, speed  # here: these load TensorFlow
    from gpt2simple.training.memory import estimate_memory, estimate_seconds_per_step, with_adapter

    settings, on_gpu = FinetuneSettings(), devices.has_gpu()
    rates = speed.product_rate(precision), None if on_gpu else speed.element_rate()
    size = 4 if precision == "float32" else 2
    for known in KNOWN_MODELS.values():
        if (plain := known.config) is None:
            continue
        for method in _METHODS:
            config = plain if method == "full" else with_adapter(plain, method)
            memory = estimate_memory(config, settings, config.n_ctx, size, gradient_checkpointing=True, on_gpu=on_gpu)
            seconds = estimate_seconds_per_step(config, settings, config.n_ctx, *rates, gradient_checkpointing=True)
            yield TrainingEntry(name=known.name, method=method, memory_bytes=memory.total, seconds_per_step=seconds)


def _computing() -> tuple[str, str, str]:
    """What computes, in which precision and why; where TensorFlow is missing, that."""
    try:
        from gpt2simple.backend import devices  # here: loads TensorFlow, which may be missing
        from gpt2simple.backend.precision import choose_precision

        device, precision = devices.start(None), choose_precision("auto")
    except BackendError as error:
        return "none", "none", str(error)
    return device, precision.training, precision.reason


def _run(path: Path) -> RunEntry:
    run = RunFolder(path)
    try:
        if not run.exists:
            return RunEntry(name=path.name, step=run.legacy_step, ended="by gpt-2-simple")
        info, mark = run.info, run.best_mark()
    except (Gpt2SimpleError, OSError) as error:  # the other runs are shown all the same
        return RunEntry(name=path.name, problem=str(error))
    return RunEntry(
        name=path.name,
        model_name=info.description.model_name,
        step=max((checkpoint.step for checkpoint in run.checkpoints()), default=0),
        best_step=mark.step if mark is not None else None,
        ended=info.ended,
    )


def _state(model: ModelEntry) -> str:
    if model.parameters is None and model.commit is None:
        return "built in" if model.is_downloaded else "missing from this installation"
    absent = "not downloaded" if model.commit is None else "downloaded in part"
    parts = [] if model.parameters is None else [f"{model.parameters / 1e6:,.0f} million parameters"]
    parts += ["downloaded" if model.is_downloaded else absent]
    parts += [] if model.commit is None else [f"commit {model.commit}"]
    return ", ".join(parts)


def _progress(run: RunEntry) -> str:
    if run.problem is not None:
        return run.problem
    parts = [f"step {run.step}"]
    parts += [f"best at step {run.best_step}"] if run.best_step is not None else []
    parts += [f"model {run.model_name}"] if run.model_name is not None else []
    parts += [run.ended] if run.ended is not None else []
    return ", ".join(parts)
