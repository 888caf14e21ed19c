"""The names in a checkpoint folder: which runs there are, what their files are called, what gpt-2-simple left.

Knows names only; opens nothing but gpt-2-simple's two small pointer files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path

from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.formats.names import (
    ADAPTER_BASE_FILE,
    ADAPTER_CONFIG_FILE,
    ADAPTER_FILE,
    WEIGHTS_FILE,
    pointed_prefix,
)
from gpt2simple.storage.contents import quoted, reason

RUN_FILE = "run.json"
# The root and every checkpoint are model folders, or those of an adapter.
MODEL_FILE = WEIGHTS_FILE
WEIGHT_FILES = MODEL_FILE, ADAPTER_FILE
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
LOCK_FILE = ".lock"
LOCK_OWNER_FILE = ".lock-owner.json"

CHAT_TEMPLATE_FILE = "chat_template.jinja"  # of a model that was trained on pairs, for transformers and llama.cpp

ADAPTER_SIDE_FILES = ADAPTER_CONFIG_FILE, ADAPTER_BASE_FILE  # of a run that trained an adapter

# Beside the weights in the root and in every checkpoint, so that each is a model folder that transformers opens.
MODEL_SIDE_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    CHAT_TEMPLATE_FILE, *ADAPTER_SIDE_FILES,
)  # fmt: skip


def weights_file(side_files: Container[str]) -> str:
    """The name of the file with the weights, from those of the files beside it."""
    return ADAPTER_FILE if ADAPTER_CONFIG_FILE in side_files else MODEL_FILE


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights of a model or an adapter."""
    return any((folder / name).is_file() for name in WEIGHT_FILES)


PREDICTIONS_FILE = "predictions.npz"  # of a control, see ``api.control``

# What is written into a run's folder beside the model; replacing a run removes it.
CALLBACKS_FILES = ("metrics.jsonl", "metrics.csv", "loss.png", PREDICTIONS_FILE)
CALLBACKS_FOLDERS = ("samples", "tensorboard")

# A checkpoint that replaces one of the same step is complete under this second name before the first one goes.
REPLACEMENT_SUFFIX = ".new"
_STEP_FOLDER = re.compile(r"step-\d{6,}(\.new)?")
_LEGACY_MODEL = re.compile(r"model-(\d+)\.index")
# What Windows, or a path, would read as something else; bytes that are no UTF-8; and more bytes than disks take.
_FORBIDDEN_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\ud800-\udfff]')
_LONGEST_NAME = 255


def run_path(checkpoint_dir: Path, run_name: str) -> Path:
    """Where the run of that name lies or would lie.

    Raises:
        SettingsError: the name cannot name a folder on every system, or points out of ``checkpoint_dir``.
    """
    odd = not run_name.strip(" .") or run_name.endswith((" ", ".")) or _FORBIDDEN_IN_NAMES.search(run_name)
    if odd or len(run_name.encode("utf-8")) > _LONGEST_NAME:
        raise SettingsError(
            f"run_name is {quoted(run_name)}; expected a plain folder name of at most {_LONGEST_NAME} bytes, without "
            'any of <>:"/\\|?* and not ending in a dot or a space. Use a name such as "run1"; checkpoint_dir says '
            "where runs lie."
        )
    return checkpoint_dir / run_name


def control_path(run: Path) -> Path:
    """Where the control of a run lies or would lie: the same training from random weights.

    Raises:
        SettingsError: the run's name is too long for that.
    """
    return run_path(run.parent, f"{run.name}-control")


def list_runs(checkpoint_dir: Path) -> list[str]:
    """The names of the runs in a checkpoint folder, sorted; those of gpt-2-simple included."""
    return sorted(folder.name for folder in _entries(checkpoint_dir) if folder.is_dir() and is_run(folder))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run: of this package, also one that lost its run.json, or of gpt-2-simple."""
    return os.path.isfile(folder / RUN_FILE) or bool(step_folders(folder)) or legacy_step(folder) is not None


def existing_run_path(checkpoint_dir: Path, run_name: str) -> Path:
    """The folder of a run that exists.

    Raises:
        RunError: there is none of that name; the message names those that there are.
    """
    path = run_path(checkpoint_dir, run_name)
    if is_run(path):
        return path
    runs = list_runs(checkpoint_dir)
    there = f"The runs there: {', '.join(runs)}." if runs else "There are no runs there yet."
    raise RunError(
        f'There is no run {run_name!r} in {checkpoint_dir}. {there} Train one with gpt2simple.finetune("script.txt", '
        f"run_name={run_name!r}), or name another run_name or checkpoint_dir."
    )


def step_folder_name(step: int) -> str:
    """``step-000120`` for step 120: names sort as steps do, up to a million."""
    return f"step-{step:06d}"


def step_folders(run: Path) -> dict[int, Path]:
    """The checkpoint folders of a run by step, ascending; a finished replacement counts instead of what it replaces."""
    while True:
        paths = [path for path in _entries(run) if _STEP_FOLDER.fullmatch(path.name)]
        folders = [path for path in paths if path.is_dir()]
        if all(os.path.lexists(path) for path in paths):  # else training removed one: another may have come
            break
    # "step-000120.new" sorts after "step-000120".
    return dict(sorted((_step(path), path) for path in folders))


def step_of(folder: Path) -> int | None:
    """The step of a checkpoint, by the name of its folder; None: it is another folder."""
    return _step(folder) if _STEP_FOLDER.fullmatch(folder.name) else None


def _step(folder: Path) -> int:
    return int(folder.name[5:].removesuffix(REPLACEMENT_SUFFIX))


def legacy_step(folder: Path) -> int | None:
    """The step of the newest gpt-2-simple checkpoint in a folder, or None where there is none.

    TensorFlow's pointer file ``checkpoint`` decides, as it does for gpt-2-simple; without it the highest number.
    """
    steps = {path.stem: int(match[1]) for path in _entries(folder) if (match := _LEGACY_MODEL.fullmatch(path.name))}
    return steps.get(pointed_prefix(folder) or "", max(steps.values(), default=None)) if steps else None


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing if it is missing: another process may remove it at any time."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {reason(error)}. Check its name and permissions.") from error
