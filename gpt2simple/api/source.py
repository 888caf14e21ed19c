"""Where the weights of a session come from: a base model or a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gpt2simple.errors import SettingsError
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path, is_run, run_path
from gpt2simple.settings.session import CHECKPOINTS


@dataclass(frozen=True)
class BaseModel:
    """A model that is not fine-tuned.

    Attributes:
        model_name: canonical name of a known model, or the name or path of a folder.
    """

    model_name: str


@dataclass(frozen=True)
class Run:
    """The weights of a run.

    Attributes:
        name: of the run. checkpoint: "best" or "latest".
        model_name: the base model of the run, or of the run to come if there is none of that name; None: unknown.

    Raises:
        SettingsError: ``checkpoint`` is neither.
    """

    name: str
    checkpoint: str = "best"
    model_name: str | None = None

    def __post_init__(self) -> None:
        if self.checkpoint not in CHECKPOINTS:
            raise SettingsError(f'checkpoint is {self.checkpoint!r}; expected "best" or "latest".')


Source = BaseModel | Run


def found_on_disk(source: Source, checkpoint_dir: Path) -> Source:
    """The source as found on disk.

    Raises:
        RunError: the run does not exist.
    """
    if isinstance(source, BaseModel):
        return source
    run = RunFolder(run_path(checkpoint_dir, source.name))
    if source.model_name is not None and not is_run(run.path):
        return BaseModel(source.model_name)  # the run will start from it
    existing_run_path(checkpoint_dir, source.name)  # raises, naming the runs that exist
    return replace(source, model_name=run.info.description.model_name if run.exists else source.model_name)


def require_one_source(model_name: str | None, run_name: str | None, checkpoint: str | None) -> None:
    """Raise SettingsError if a call names both a model and a run whose weights it would load."""
    if run_name is not None and model_name is not None:
        raise SettingsError(
            f"run_name is {run_name!r} and model_name is {model_name!r}; give the one whose weights are to be loaded."
        )
    if model_name is not None and checkpoint not in (None, "best"):
        raise SettingsError(
            f"checkpoint is {checkpoint!r} and model_name is {model_name!r}; checkpoint chooses weights of a run. "
            "Leave one of the two out."
        )
