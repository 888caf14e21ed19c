"""Where the weights of a session come from."""

from __future__ import annotations

from gpt2simple.errors import SettingsError


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
