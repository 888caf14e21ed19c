"""The model and run that a session works with, where they are stored, and how it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpt2simple.settings.fields import check, only, setting

PLACE = "Model, run and device"  # a group of settings, as those in capitals in the other modules
DEFAULT_MODEL = "124M"
DEFAULT_RUN = "run1"
CHECKPOINTS = ("best", "latest")  # of a run, to load
STRATEGIES = ("auto", "single", "mirrored", "multiworker")  # which devices and machines train together
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """Model, run, folders and device."""

    model_name: str | None = setting(
        None,
        "Model: 124M, 355M, 774M, 1558M, tiny, a GPT-2 of the hub (OWNER/NAME or OWNER/NAME@REVISION), or a model "
        f"folder; None: the run's model, else {DEFAULT_MODEL}.",
        path=True,
        group=PLACE,
        common=True,
    )
    run_name: str | None = setting(None, f"Name of the run; None: {DEFAULT_RUN}.", group=PLACE, common=True)
    model_dir: str | Path = setting("models", "Folder of downloaded models.", path=True, group=PLACE)  # noqa: RUF009 - a field
    checkpoint_dir: str | Path = setting("checkpoint", "Folder of the runs.", path=True, group=PLACE)  # noqa: RUF009 - a field
    precision: str = setting(
        "auto",
        "Precision of matrix products; auto: suited to the device; int8: for generation (trains as auto).",
        choices=PRECISIONS,
        group=PLACE,
    )
    seed: int | None = setting(
        None,
        "Random seed of the session, for calls that give none; None: a new one for each call.",
        minimum=0,
        cli=False,
        group=PLACE,
    )
    threads: int | None = setting(None, "CPU threads, fixed once per process; None: all cores.", minimum=1, group=PLACE)
    strategy: str = setting(
        "auto",
        "What computes together: one device (single), all of this machine (mirrored), or for fine-tuning the workers "
        "of TF_CONFIG; auto: those workers if there are several, else several GPUs, else one device.",
        choices=STRATEGIES,
        group=PLACE,
    )

    def __post_init__(self) -> None:
        check(self)


# What a function takes that opens a session for one call: the seed is then that of the call.
ONE_CALL = only(
    SessionSettings, "model_name", "run_name", "model_dir", "checkpoint_dir", "precision", "threads", "strategy"
)

# What a function takes that opens no session.
MODELS = only(SessionSettings, "model_dir")
RUNS = only(SessionSettings, "checkpoint_dir")
RUNS_AND_MODELS = only(SessionSettings, "model_dir", "checkpoint_dir")

# What a function takes that opens sessions of its own, one for each model.
FOR_SEVERAL_RUNS = only(SessionSettings, "model_dir", "checkpoint_dir", "precision", "threads", "strategy")
