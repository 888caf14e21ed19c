"""Programs that save checkpoints and are killed meanwhile, in a process without TensorFlow, whose copies cost little.

python -m tests.helpers.killed_saves FOLDER           save in a loop until somebody kills it
python -m tests.helpers.killed_saves FOLDER ACTION    be killed at every disk operation of an action, one by one
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from gpt2simple.runs.writer import RunWriter
from tests.helpers.run_folders import (
    MODEL_FILES,
    begin,
    description,
    disk_operations,
    require_consistent,
    require_repairable,
    save,
)

BEST_EVERY = 3  # in the loop, every third checkpoint is a best one

# The step that a run must have at least after a kill in the middle of the action; it begins with steps 3, 6 and 9.
ACTIONS = {"save": 9, "save the same step": 9, "repair": 6, "rewind": 6, "overwrite": 3}


def save_until_killed(folder: Path) -> None:
    """Continue the run from its latest checkpoint, or begin it; after each save print its step."""
    run = RunWriter(folder)
    with run.lock():
        run.repair()
        latest = run.latest()
        if latest is None:
            run.create(description(), MODEL_FILES)
        else:
            run.rewind(latest.step)
        step = latest.step if latest else 0
        while True:
            step += 1
            save(run, step, is_best=step % BEST_EVERY == 0, width=256)
            run.prune(2)
            print(step, flush=True)


def kill_at_every_operation(folder: Path, action: str) -> int:
    """How many times a copy of a run was acted on, killed, and found able to go on.

    One process ends without clean-up before its first disk operation, the next one before its second, and so on.
    """
    begin(folder / "begun", 3, 6, 9, best=3)
    for kill_at in itertools.count(1):
        copy = shutil.copytree(folder / "begun", folder / f"run{kill_at}")
        if action == "repair":
            (copy / "model.safetensors").unlink()
            (copy / "config.json").write_bytes(b"{")
            (copy / "step-000009" / "state.json").write_bytes(b"")
        if not _killed_at(kill_at, functools.partial(_act, action, copy)):
            return kill_at - 1
        found = RunWriter(copy).latest()
        if action == "overwrite" and found is None:
            continue  # the old run is gone, the new one has not saved yet
        assert found is not None
        assert found.step >= ACTIONS[action], kill_at
        require_consistent(found)
        require_repairable(copy)
    raise AssertionError("not reached")


def _act(action: str, folder: Path) -> None:
    run = RunWriter(folder)
    with run.lock():
        if action == "save":
            save(run, 12)
            run.prune(2)
        elif action == "save the same step":
            save(run, 9, is_best=True)
        elif action == "repair":
            run.repair()
        elif action == "rewind":
            run.rewind(6)
        else:
            run.create(description(), MODEL_FILES, overwrite=True)


def _killed_at(operation: int, work: Callable[[], None]) -> bool:
    """Work in a copy of this process that ends uncleanly before its n-th disk operation; whether it got there."""
    child = os.fork()
    if child == 0:
        left = operation

        def before(_: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)

        code = 1
        try:
            with disk_operations(before):
                work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9


if __name__ == "__main__":
    place, *actions = sys.argv[1:]
    if actions:
        print(kill_at_every_operation(Path(place), actions[0]))
    else:
        save_until_killed(Path(place))
