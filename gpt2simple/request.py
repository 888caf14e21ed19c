"""What a fine-tuning call asks for, completed by what its run recorded where it goes on with one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2simple.runs import RunDirectory, continues, with_recorded
from gpt2simple.settings import FinetuneSettings, TextSettings

DEFAULT_MODEL = "124M"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a call asks for, its settings completed by the run's where it continues one."""

    dataset: Any
    model_name: str
    settings: FinetuneSettings
    text: TextSettings
    precision: str  # dtype name of the products
    seed: int
    callbacks: Sequence[Any]  # tf_keras's
    notices: tuple[str, ...] = ()  # sentences for the user


def complete_request(
    run: RunDirectory,
    dataset: Any,
    finetune: Mapping[str, Any],
    text: Mapping[str, Any],
    callbacks: Sequence[Any],
    *,
    model_name: str | None,
    precision: str,
    keeps_precision: bool,
    next_seed: Callable[[], int],
) -> Request:
    """The request that a call makes of a run.

    Args:
        run: the run's folder, which need not hold a run yet.
        finetune, text: the settings that the user gave by name; the others are the run's, or the defaults.
        model_name: None: the run's, or the default.
        precision: dtype name. keeps_precision: whether the user asked for it, so that the run's does not replace it.
        next_seed: draws a seed for a new run that was given none.
    """
    if continues(run, finetune.get("restore_from", "latest")):
        recorded = run.info.description
        begun_in = recorded.environment.get("precision", precision)
        used = precision if keeps_precision else begun_in
        return Request(
            dataset=dataset,
            model_name=model_name or recorded.model_name,
            settings=with_recorded(recorded.settings, finetune),
            text=with_recorded(recorded.text_settings, text),
            precision=used,
            seed=recorded.seed,
            callbacks=callbacks,
            notices=() if used == precision else (_stays_in(used, precision),),
        )
    settings = FinetuneSettings(**finetune)
    return Request(
        dataset=dataset,
        model_name=model_name or DEFAULT_MODEL,
        settings=settings,
        text=TextSettings(**text),
        precision=precision,
        seed=settings.seed if settings.seed is not None else next_seed(),
        callbacks=callbacks,
    )


def _stays_in(used: str, chosen: str) -> str:
    return f"The run was begun in {used} and goes on in it; precision={chosen!r}, said by name, would change that."


def drawn_seed() -> int:
    """A seed for whoever gave none."""
    return secrets.randbelow(2**31)
