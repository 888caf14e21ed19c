"""The session of one call: the user's own, or one that is opened for the call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from gpt2simple.api.session import Session
from gpt2simple.api.source import require_one_source
from gpt2simple.backend.strategies import on_one_machine
from gpt2simple.settings import pick
from gpt2simple.settings.session import ONE_CALL


@contextlib.contextmanager
def in_session(session: Session | None, settings: Mapping[str, Any]) -> Iterator[Session]:
    """The given session, switched to the model and run that a call names; without one, a session for this call."""
    if session is None:
        with Session(**pick(settings, ONE_CALL)) as own:
            yield own
        return
    if settings.get("model_name") is not None:
        session.use_model(settings["model_name"])
    if settings.get("run_name") is not None:
        session.run_name = settings["run_name"]
    yield session


@contextlib.contextmanager
def with_weights(
    session: Session | None, settings: Mapping[str, Any], checkpoint: str | None = None
) -> Iterator[Session]:
    """The session of ``in_session`` with the weights that a call names.

    Args:
        checkpoint: "best" or "latest" weights of a run; None: the best, or those that the given session has in memory.

    Raises:
        SettingsError: both a model and a run were named, or a strategy that is for fine-tuning alone.
    """
    model_name, run_name = settings.get("model_name"), settings.get("run_name")
    require_one_source(model_name, run_name, checkpoint)
    here = {} if session is not None else {"strategy": on_one_machine(settings.get("strategy"))}
    with in_session(session, {**settings, **here}) as used:
        if session is None:  # not yet: a text that cannot be read is reported first
            used.load_on_first_use(checkpoint or "best")
        elif model_name is None and (checkpoint is not None or run_name is not None):
            used.load(checkpoint or "best")
        yield used
