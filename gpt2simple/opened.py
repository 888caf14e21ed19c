"""The session that a function for scripts works in: the one it was given, or one of its own for this call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpt2simple.errors import SettingsError
from gpt2simple.session import Session


@contextlib.contextmanager
def in_session(
    session: Session | None,
    names: dict[str, str | None],
    model_dir: str | Path,
    checkpoint_dir: str | Path,
    precision: str,
    threads: int | None,
) -> Iterator[Session]:
    """The session given, pointed at the names given; or one for this call."""
    if session is not None:
        if names["model_name"] is not None:
            session.use_model(names["model_name"])
        if names["run_name"] is not None:
            session.run_name = names["run_name"]
        yield session
        return
    with Session(
        names["model_name"],
        run_name=names["run_name"],
        model_dir=model_dir,
        checkpoint_dir=checkpoint_dir,
        precision=precision,
        threads=threads,
    ) as own:
        yield own


@contextlib.contextmanager
def with_weights(
    session: Session | None,
    names: dict[str, str | None],
    checkpoint: str | None,
    model_dir: str | Path,
    checkpoint_dir: str | Path,
    precision: str,
    threads: int | None,
) -> Iterator[Session]:
    """The session of ``in_session``, holding the weights that a call names.

    Args:
        checkpoint: "best" or "latest" weights of a run; None: the best, or what the session given holds.

    Raises:
        SettingsError: two things were named whose weights are to be loaded.
    """
    model_name, run_name = names["model_name"], names["run_name"]
    require_one_source(model_name, run_name, checkpoint or "best")
    with in_session(session, names, model_dir, checkpoint_dir, precision, threads) as used:
        asked = checkpoint is not None or run_name is not None
        if checkpoint not in (None, "best") or (session is not None and asked and model_name is None):
            used.load(checkpoint or "best")  # a session of this call's own loads the best by itself
        yield used


def require_one_source(model_name: str | None, run_name: str | None, checkpoint: str) -> None:
    """Raise SettingsError where a call names two things whose weights are to be loaded."""
    if run_name is not None and model_name is not None:
        raise SettingsError(
            f"run_name is {run_name!r} and model_name is {model_name!r}; give the one whose weights are to be loaded."
        )
    if model_name is not None and checkpoint != "best":
        raise SettingsError(
            f"checkpoint is {checkpoint!r} and model_name is {model_name!r}; checkpoint chooses weights of a run. "
            "Leave one of the two out."
        )
