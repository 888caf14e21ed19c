"""The model that a fine-tuning call trains: read from its files, with rows for new tokens, a new head or adapter."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gpt2simple.api.request import Request, lora_of
from gpt2simple.errors import RunError
from gpt2simple.gpt2.config import Lora
from gpt2simple.gpt2.formats.adapter import BaseRecord, FindBase
from gpt2simple.gpt2.formats.detect import models_beneath
from gpt2simple.gpt2.hub.locate import find_base, pinned_name
from gpt2simple.gpt2.model import LoadedModel, NewAdapter, new_head
from gpt2simple.runs.folder import RunFolder, read_named_model
from gpt2simple.storage.disk import readable_size

logger = logging.getLogger(__name__)


def fits(loaded: LoadedModel, request: Request, *, goes_on: bool) -> bool:
    """Whether the model in memory, with the weights that a call starts from, has the shape that it trains."""
    if not goes_on and (request.lora is not None or not loaded.tokenizer.added.keys() >= {*_new_tokens(request)}):
        return False
    return loaded.config.labels == request.kind.labels(request.dataset) and _without_rows(loaded) == request.lora


def is_of_run(loaded: LoadedModel, run: RunFolder, model_name: str | None) -> bool:
    """Whether the model of that name in memory has room for what a run trained: all weights, or its adapter."""
    recorded = run.info.description
    if (recorded.model_name, recorded.tokenizer_fingerprint) != (model_name, loaded.tokenizer.fingerprint):
        return False
    lora = lora_of_run(run)
    return lora == _without_rows(loaded) and (lora is None or BaseRecord.read(run.path) == loaded.base)


def _without_rows(loaded: LoadedModel) -> Lora | None:
    """Its adapter as settings name it, which do not say how many tokens are new."""
    lora = loaded.config.lora
    return None if lora is None else replace(lora, rows=0)


def lora_of_run(run: RunFolder) -> Lora | None:
    """The adapter that a run trained, with the model's weights kept as they were then; None: it trained none."""
    recorded = run.info.description
    return lora_of(recorded.settings, str(recorded.environment.get("precision")))


def read_folder(folder: Path, run: RunFolder | None, *, model_dir: Path) -> LoadedModel:
    """The model of a folder, which may be one of a run; that of its adapter is kept in memory as in training.

    Raises:
        CheckpointError: the folder contains no usable model.
    """
    lora = lora_of_run(run) if run is not None and run.exists else None
    base = None if lora is None else lora.base
    return LoadedModel.load(folder, base_precision=base, find_base=partial(find_base, model_dir=model_dir))


def read_for_training(request: Request, folder: Path, run: RunFolder, *, goes_on: bool, model_dir: Path) -> LoadedModel:
    """The model of a folder as a call trains it; an adapter that the run does not go on with is merged.

    Args:
        folder: of the run if that goes on, with its tokens and its adapter; else of the model that it starts from.
        run: that is trained.
        model_dir: where models of known names lie.

    Raises:
        CheckpointError: the folder contains no usable model. RunError: it cannot be the model of the run's adapter.
    """
    new_tokens = () if goes_on else _new_tokens(request)  # a run that goes on has its own
    lora, find = request.lora, partial(find_base, model_dir=model_dir)
    if lora is not None and not goes_on:
        _require_outside(run.path, folder, find)

    def load(found: Path) -> LoadedModel:
        adapter = None
        if lora is not None and not goes_on:
            name = str(folder.absolute())
            if request.weights_from is None:
                name = pinned_name(request.model_name, model_dir)
            adapter = NewAdapter(lora, request.seed, _record(folder, found, name))
        return LoadedModel.load(
            found, new_tokens, labels=request.kind.labels(request.dataset), head=new_head(request.seed),
            random_seed=request.seed if request.random_weights else None, adapter=adapter,
            merges=lora is None, base_precision=None if lora is None else lora.base, find_base=find,
        )  # fmt: skip

    return read_named_model(folder, load)


def _require_outside(run: Path, folder: Path, find: FindBase) -> None:
    """Raise RunError if the model of a folder, or what it belongs to, lies in the folder of a run that needs it."""
    for place in (folder, *(place for _, place in models_beneath(folder, find))):
        if place.resolve().is_relative_to(run.resolve()):
            raise RunError(
                f"{place} lies in the run's own folder, and lora_rank was given: the adapter would need this model, "
                f"which the run replaces. Give another run_name with restore_from={str(folder)!r}, or leave lora_rank "
                "out."
            )


def _record(folder: Path, found: Path, name: str) -> BaseRecord:
    """The record of a model that was named by a folder and found in it or, where that is a run, in a checkpoint.

    Raises:
        RunError: the folder itself, where the model is looked up later, does not hold the same weights.
    """
    record = replace(BaseRecord.of(found, name), folder=str(folder.absolute()))
    if difference := record.difference(folder) if found != folder else None:
        raise RunError(
            f"{folder} is a run whose best step is {found.name}, and its own folder has other weights ({difference}): "
            "it is training, or was stopped while it saved. Wait until it ends, or continue it for a step, and call "
            "again."
        )
    return record


def merged_model(loaded: LoadedModel) -> Any:
    """A Keras model with the weights of a model in memory merged with its adapter; a message tells its size first."""
    from gpt2simple.gpt2.container import merged_container  # here: loads Keras

    size = readable_size(4 * loaded.config.parameters)
    logger.info(f"The adapter is merged into a copy of the model, which takes {size} of memory.")
    return merged_container(loaded)


def _new_tokens(request: Request) -> tuple[str, ...]:
    return getattr(request.settings, "special_tokens", ())
