"""A run folder, open to every reader: its checkpoints, the best, the latest, and what run.json says.

Writes nothing and needs no lock: another process may save and remove checkpoints meanwhile. What is found missing or
damaged therefore counts only if the checkpoints are still those that were listed; else they are listed again.
Knows files and steps; not what the tensors mean.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from gpt2simple.errors import RunError
from gpt2simple.runs import layout
from gpt2simple.runs.checkpoint import CheckpointRemovedError, StepCheckpoint, read_chosen, require_undamaged
from gpt2simple.runs.description import BestMark, RunInfo
from gpt2simple.settings.tasks import FUNCTIONS, LANGUAGE_MODELING

logger = logging.getLogger(__name__)
T = TypeVar("T")
Which = Literal["best", "latest"]


class RunFolder:
    """A run folder, which need not exist yet.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        """Name a run folder; nothing is read or written.

        Args:
            path: ``checkpoint/<run>``.
        """
        self.path = path
        self._info: RunInfo | None = None

    @property
    def exists(self) -> bool:
        """Whether this package has started a run here."""
        return (self.path / layout.RUN_FILE).is_file() or bool(layout.step_folders(self.path))

    @property
    def legacy_step(self) -> int | None:
        """The step of the newest gpt-2-simple checkpoint in the folder, or None."""
        return layout.legacy_step(self.path)

    @property
    def info(self) -> RunInfo:
        """The content of run.json; if it is torn, that of its copy in the newest checkpoint, with a message.

        Raises:
            RunError: it cannot be read and no checkpoint has a copy.
        """
        self._info = self._info or self._read_info()
        return self._info

    def checkpoints(self) -> list[StepCheckpoint]:
        """All checkpoints by step, ascending; damaged ones included."""
        return [StepCheckpoint(step, path) for step, path in layout.step_folders(self.path).items()]

    def latest(self, *, weights_only: bool = False) -> StepCheckpoint | None:
        """The newest checkpoint whose bytes are all as written, or None where none was saved yet.

        Damaged ones are skipped with a message.

        Args:
            weights_only: check the weights alone, which is enough for generating.

        Raises:
            RunError: there are checkpoints, and every one is damaged.
        """
        return self._settled(lambda listed: self._latest(listed, weights_only))

    def _latest(self, listed: list[StepCheckpoint], weights_only: bool) -> StepCheckpoint | None:
        found = self._newest_whole(listed, weights_only=weights_only)
        if found is None and listed:
            message = (
                f"Every checkpoint of {self.path} is damaged. Put the files back from a copy, or start over: "
                'restore_from="fresh" with overwrite=True, or another run_name.'
            )
            if layout.has_weights(self.path):
                root = repr(str(self.path))
                message += f" If the root's model is whole, restore_from={root} with another run_name uses it."
            raise RunError(message)
        return found

    def best(self, *, weights_only: bool = False) -> StepCheckpoint | None:
        """The checkpoint with the lowest held-out loss; the latest where none is marked; None where none was saved.

        Where the best is damaged or gone, the one that was best before replaces it, else the latest, with a
        message. Arguments and errors as ``latest``.
        """
        return self._settled(lambda listed: self._best(listed, weights_only))

    def _best(self, listed: list[StepCheckpoint], weights_only: bool) -> StepCheckpoint | None:
        problems: list[str] = []
        for step, found in {mark.step: found for mark, found in self._best_first(listed, problems)}.items():
            damage = "it is gone" if found is None else found.damage(weights_only=weights_only)
            if found is not None and damage is None:
                break
            problems.append(f"The best checkpoint of {self.path}, step {step}, cannot be used: {damage}.")
        else:
            found = None
        self._require_unchanged(listed, found, *problems)
        return found or self._latest(listed, weights_only)

    def best_mark(self) -> BestMark | None:
        """The best step and its held-out figures, as the newest readable checkpoint knows them; None where nothing is
        held out."""
        return self._settled(self._best_mark)

    def _best_mark(self, listed: list[StepCheckpoint]) -> BestMark | None:
        mark = next((mark for mark, _ in self._best_first(listed)), None)
        self._require_unchanged(listed, mark)
        return mark

    def read_model(self, which: Which, read: Callable[[Path], T]) -> T:
        """What ``read`` returns for the folder of ``model_folder``; called again where training removed the checkpoint
        meanwhile. Arguments and errors as there."""
        return read_chosen(lambda: self.model_folder(which), read)

    def model_folder(self, which: Which = "best") -> Path:
        """The folder to load a model from for generating: a checkpoint, or the root where only that was kept or where
        gpt-2-simple trained.

        Args:
            which: the step with the lowest held-out loss, or the newest.

        Raises:
            RunError: the run holds no model yet, or every checkpoint is damaged.
        """
        found = self.best(weights_only=True) if which == "best" else self.latest(weights_only=True)
        if found is not None:
            return found.path
        if layout.has_weights(self.path) or self.legacy_step is not None:
            return self.path
        function = FUNCTIONS[self.info.description.task] if self.exists else FUNCTIONS[LANGUAGE_MODELING]
        raise RunError(
            f"{self.path} holds no trained model yet: its training has not reached the first checkpoint. "
            f"Call gpt2simple.{function} on it, or name another run_name."
        )

    def _unverified_best(self) -> StepCheckpoint | None:
        """What ``best`` gives, without reading the files."""
        listed = self.checkpoints()
        marked = next((found for _, found in self._best_first(listed) if found is not None), None)
        return marked or next(reversed(listed), None)

    def _best_first(
        self, listed: list[StepCheckpoint], problems: list[str] | None = None
    ) -> Iterator[tuple[BestMark, StepCheckpoint | None]]:
        """The best step recorded in each checkpoint, and that step's checkpoint or None if it is gone.

        Newest checkpoint first; ends at one that records no best step. Torn records are added to the problems.
        """
        steps = {checkpoint.step: checkpoint for checkpoint in listed}
        for checkpoint in reversed(listed):
            try:
                mark = checkpoint.best
            except ValueError as torn:
                if problems is not None:
                    problems.append(f"Which step is best is not known to {checkpoint.path}: {torn}.")
                continue
            if mark is None:
                return
            yield mark, steps.get(mark.step)

    def _newest_whole(self, listed: list[StepCheckpoint], *, weights_only: bool = False) -> StepCheckpoint | None:
        problems: list[str] = []
        found = None
        for checkpoint in reversed(listed):
            damage = checkpoint.damage(weights_only=weights_only)
            if damage is None:
                found = checkpoint
                break
            problems.append(f"The checkpoint {checkpoint.path} is damaged: {damage}.")
        if problems and found is not None:
            problems[-1] += f" Using step {found.step} instead."
        self._require_unchanged(listed, found, *problems)
        return found

    def _settled(self, choose: Callable[[list[StepCheckpoint]], T]) -> T:
        """What is chosen from the checkpoints, which are listed again where one was removed meanwhile."""
        while True:
            try:
                return choose(self.checkpoints())
            except CheckpointRemovedError:
                continue

    def _require_unchanged(self, listed: list[StepCheckpoint], found: object, *problems: str) -> None:
        """Log the problems of a choice; if it has any, or found nothing, the checkpoints must be those listed."""
        if (problems or found is None) and self.checkpoints() != listed:
            raise CheckpointRemovedError(self.path)
        for problem in problems:
            logger.info(problem)

    def _read_info(self) -> RunInfo:
        try:
            return RunInfo.read(self.path)
        except RunError as torn:
            for checkpoint in reversed(self.checkpoints()):
                with contextlib.suppress(RunError):
                    info = RunInfo.read(checkpoint.path)
                    logger.info(f"{torn} For now, the copy in {checkpoint.path.name} is used.")
                    return info
            raise

    def _has_readable_info(self) -> bool:
        with contextlib.suppress(RunError):
            RunInfo.read(self.path)
            return True
        return False


def read_named_model(folder: Path, read: Callable[[Path], T]) -> T:
    """What ``read`` returns for a model folder that a user named; checked where what was written is on record.

    Of a run that is its best checkpoint, which holds what the root shows to other tools.

    Raises:
        CheckpointError: the folder is a checkpoint, and damaged. RunError: every checkpoint of the run is.
    """
    run = RunFolder(folder)
    if run.checkpoints():
        return run.read_model("best", read)
    require_undamaged(folder)
    return read(folder)
