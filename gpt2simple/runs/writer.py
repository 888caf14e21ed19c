"""Writing a run folder: locked, checkpoints added without ever losing another, the root kept equal to one of them.

Every change is one rename, so a process that is killed at any instant leaves a run that can be continued. The root is
the model folder that other tools open. Knows files and steps; not what the tensors mean or how training proceeds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpt2simple.errors import RunError, StorageError
from gpt2simple.gpt2.formats.safetensors_file import Tensor
from gpt2simple.runs import layout
from gpt2simple.runs.checkpoint import StepCheckpoint, write_checkpoint
from gpt2simple.runs.description import BestMark, FileRecord, Manifest, RunDescription, RunInfo, now
from gpt2simple.runs.folder import RunFolder
from gpt2simple.storage.contents import parse_json, read_json
from gpt2simple.storage.disk import make_folder, require_space
from gpt2simple.storage.files import atomic_folder, atomic_write, free_name, link_or_copy, remove_folder, rename_folder
from gpt2simple.storage.locks import locked
from gpt2simple.storage.temporary import remove_leftovers

logger = logging.getLogger(__name__)


def has_weights_of(run: Path, checkpoint: StepCheckpoint) -> bool:
    """Whether the root's weights are, byte for byte, those of a checkpoint."""
    name = checkpoint.weights_file
    root = run / name
    if not root.is_file():
        return False
    if root.samefile(checkpoint.path / name):
        return True
    return Manifest.read(checkpoint.path).files[name].damage(root) is None


def restore_side_files(run: Path, checkpoint: StepCheckpoint, written: Mapping[str, FileRecord]) -> list[str]:
    """Put back config and tokenizer files of the root that are gone or torn, from a checkpoint's copies.

    A file that was edited on purpose stays as it is: torn means missing, JSON that does not end, or shorter than it
    was written.

    Args:
        run: the root.
        checkpoint: where whole copies are.
        written: the files as they were written when the run began.

    Returns:
        The names of those put back.
    """
    restored = []
    for name, record in written.items():
        source = checkpoint.path / name
        if _is_torn(run / name, record) and source.is_file():
            atomic_write(run / name, source.read_bytes())
            restored.append(name)
    return restored


def side_files(run: Path, written: Mapping[str, FileRecord]) -> dict[str, bytes]:
    """The root's config and tokenizer files, for the copy in a checkpoint; torn ones are left out."""
    return {name: (run / name).read_bytes() for name, record in written.items() if not _is_torn(run / name, record)}


def _is_torn(path: Path, record: FileRecord) -> bool:
    if not path.is_file():
        return True
    if path.suffix != ".json":
        return path.stat().st_size < record.n_bytes
    try:
        parse_json(path.read_bytes())
    except ValueError:
        return True
    return False


def _is_used(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else os.path.lexists(path)


class RunWriter(RunFolder):
    """A run folder that is written: every method here but ``lock`` is called while ``lock()`` is held."""

    def __init__(self, path: Path) -> None:
        """Name a run folder; nothing is read or written. Arguments as ``RunFolder``."""
        super().__init__(path)
        self._lock_held = False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from writing this run during the block.

        Raises:
            RunLockedError: another one is writing it; the message names it where it left its name.
        """
        advice = "Wait until it has ended or stop it, or choose another run_name."
        owner = self.path / layout.LOCK_OWNER_FILE
        with locked(self.path / layout.LOCK_FILE, f"{self.path} is being trained by {self._lock_owner()}. {advice}"):
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            atomic_write(owner, json.dumps(who) + "\n", durable=False)
            self._lock_held = True
            self._info = None  # another process may have written since
            try:
                yield
            finally:
                self._lock_held = False
                with contextlib.suppress(OSError):
                    owner.unlink()

    def create(self, description: RunDescription, model_files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
        """Begin a run. Files of gpt-2-simple in the folder stay as they are.

        Args:
            description: what makes it this run.
            model_files: content of config.json, tokenizer.json ... by name, for the root and every checkpoint.
            overwrite: remove the checkpoints, metrics and samples of the run that is there, and the files of its model
                that the new one lacks.

        Raises:
            RunError: the folder holds a run with checkpoints, or a model of other origin, and ``overwrite`` is False.
        """
        self._require_lock()
        if not overwrite:
            self._require_free()
        self._clear()
        time = now()
        records = {name: FileRecord.of(content) for name, content in model_files.items()}
        self._write_info(RunInfo(description=description, model_files=records, created=time, updated=time))
        for name, content in model_files.items():
            atomic_write(self.path / name, content)
        for name in {*layout.MODEL_SIDE_FILES} - model_files.keys():
            (self.path / name).unlink(missing_ok=True)

    def save(
        self,
        step: int,
        *,
        weights: Iterable[Tensor],
        optimizer: Iterable[Tensor],
        state: Mapping[str, Any],
        best_figures: Mapping[str, Any] | None = None,
    ) -> Path:
        """Add a checkpoint as one unit and return its folder; on any failure the earlier ones are as they were.

        A checkpoint of the same step is replaced; at every instant one of the two is there, whole.

        Args:
            step: optimizer steps done, at least those of the newest checkpoint (``rewind`` goes back).
            weights: float32 tensors under PyTorch's names, made one at a time while they are written
                (``gpt2.formats.huggingface.weight_tensors``).
            optimizer: any tensors by name, likewise.
            state: JSON values that come back as ``StepCheckpoint.state``.
            best_figures: held-out figures, if this is the best step so far; None: the best so far stays.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        self._require_lock()
        newest = max(layout.step_folders(self.path), default=0)
        assert step >= newest, f"step {step} after step {newest}: rewind first"
        weights, optimizer = list(weights), list(optimizer)
        best = self.info.best if best_figures is None else BestMark(step, best_figures)
        target = self.path / layout.step_folder_name(step)
        written = target.with_name(target.name + layout.REPLACEMENT_SUFFIX) if target.exists() else target
        with self._naming_what_is_kept():
            n_bytes = sum(tensor.n_bytes for tensor in (*weights, *optimizer))
            require_space(self.path, n_bytes, f"Saving step {step} of {self.path}")
            self._finish_replacements()
            with atomic_folder(written) as folder:
                files = side_files(self.path, self.info.model_files) | {layout.RUN_FILE: self.info.to_bytes()}
                write_checkpoint(
                    folder, step, weights=weights, optimizer=optimizer, state=state, best=best, side_files=files
                )
            self._finish_replacements()
            self._write_info(self.info.changed(latest_step=step, best=best, ended=None))
        return target

    def publish(self) -> None:
        """Make the root's weights those of the best checkpoint, or of the latest where none is marked best.

        Raises:
            StorageError: the disk is full or cannot be written; the root is then as it was.
        """
        self._require_lock()
        if checkpoint := self._unverified_best():
            self._publish(checkpoint)

    def prune(self, keep: int) -> None:
        """Remove the oldest checkpoints until ``keep`` are left; the best and the latest always stay."""
        self._require_lock()
        steps = layout.step_folders(self.path)
        best = self._unverified_best()
        precious = {max(steps, default=None), best.step if best else None}
        others = [step for step in steps if step not in precious]
        n_others = max(0, keep - (len(steps) - len(others)))
        for step in others[: len(others) - n_others]:
            remove_folder(steps[step])

    def rewind(self, step: int) -> None:
        """Go back to the checkpoint of ``step``: later ones are removed, with a message, and the root follows.

        Called after ``repair`` when a run is continued; going back to the newest changes nothing but run.json.
        Callbacks drop their own records of later steps.
        """
        self._require_lock()
        for later, path in layout.step_folders(self.path).items():
            if later > step:
                remove_folder(path)
                logger.info(f"Going back to step {step}: removed the later checkpoint {path.name}.")
        self._write_info(self.info.changed(latest_step=step, best=self.best_mark(), ended=None))
        self.publish()

    def describe(self, description: RunDescription, step: int, changes: Mapping[str, tuple[Any, Any]]) -> None:
        """Record the settings and environment with which the run continues from ``step``.

        Args:
            description: as it is from now on.
            step: steps done.
            changes: the settings that now change the course of training: name to (before, now).
        """
        self._require_lock()
        more = ({"step": step, "settings": {name: list(pair) for name, pair in changes.items()}},) if changes else ()
        self._write_info(self.info.changed(description=description, changes=(*self.info.changes, *more), ended=None))

    def mark_ended(self, reason: str) -> None:
        """Record why training ended: "finished", "patience", "interrupted", "callback" or "failed".

        A failure to write it is ignored, so that the error that ended training stays visible.
        """
        self._require_lock()
        with contextlib.suppress(StorageError):
            self._write_info(self.info.changed(ended=reason))

    def repair(self) -> None:
        """Repair the folder after a process was killed while writing, or a file was damaged; log what was done.

        Leftovers of dead processes are removed and unfinished replacements completed. The newest and the best
        checkpoint are verified; damaged ones are set aside under another name (unless none is whole, which ``latest``
        reports). run.json and the root's model files are made again where they are torn or behind.

        Raises:
            RunError: neither run.json nor a copy of it in a checkpoint can be read.
        """
        self._require_lock()
        remove_leftovers(self.path)
        self._finish_replacements()
        newest = self._settled(self._newest_whole)
        if newest is None:
            return
        for later in [c for c in self.checkpoints() if c.step > newest.step]:
            self._set_aside(later)
        while (best := self._unverified_best()) is not None and best.step != newest.step and best.damage():
            self._set_aside(best)
        if (self.info.latest_step, self.info.best) != (newest.step, newest.best) or not self._has_readable_info():
            self._write_info(self.info.changed(latest_step=newest.step, best=newest.best))
        restored = restore_side_files(self.path, newest, self.info.model_files)
        if best is not None and not has_weights_of(self.path, best):
            self._publish(best)
            restored.append(best.weights_file)
        if restored:
            logger.info(f"Restored from the checkpoints of {self.path}: {', '.join(restored)}.")

    def _publish(self, checkpoint: StepCheckpoint) -> None:
        # A second name of the same file where the disk can, else a copy.
        name = checkpoint.weights_file
        link_or_copy(checkpoint.path / name, self.path / name)

    def _finish_replacements(self) -> None:
        """Give whole checkpoints that were to replace another one its name."""
        for whole in layout.step_folders(self.path).values():
            if not whole.name.endswith(layout.REPLACEMENT_SUFFIX):
                continue
            target = whole.with_name(whole.name.removesuffix(layout.REPLACEMENT_SUFFIX))
            remove_folder(target)
            rename_folder(whole, target)

    def _set_aside(self, checkpoint: StepCheckpoint) -> None:
        target = free_name(self.path / f"damaged-{checkpoint.path.name}")
        rename_folder(checkpoint.path, target)
        logger.info(f"{checkpoint.path} is damaged and was renamed to {target.name}.")

    def _require_lock(self) -> None:
        assert self._lock_held, "a run is written only while its lock is held"

    def _require_free(self) -> None:
        if self.checkpoints():
            raise RunError(
                f'{self.path} holds a run already. Continue it with restore_from="latest", replace it with '
                'restore_from="fresh" and overwrite=True, or choose another run_name.'
            )
        names = (*layout.WEIGHT_FILES, *layout.MODEL_SIDE_FILES, *layout.CALLBACKS_FILES, *layout.CALLBACKS_FOLDERS)
        there = [] if self.exists else [name for name in names if _is_used(self.path / name)]
        if there:
            raise RunError(
                f"{self.path} holds files that no run of this package wrote: {', '.join(there)}. Choose another "
                'run_name, or replace them with restore_from="fresh" and overwrite=True.'
            )

    def _clear(self) -> None:
        """Remove a run of this package; oldest checkpoints first, so that a half-done removal leaves the latest."""
        if not self.exists:
            return
        for path in layout.step_folders(self.path).values():
            remove_folder(path)
        for name in (*layout.WEIGHT_FILES, *layout.ADAPTER_SIDE_FILES, *layout.CALLBACKS_FILES):
            (self.path / name).unlink(missing_ok=True)
        for name in layout.CALLBACKS_FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _lock_owner(self) -> str:
        try:
            who = read_json(self.path / layout.LOCK_OWNER_FILE)
            if (who["pid"], who["host"]) == (os.getpid(), socket.gethostname()):
                return "another session of this process"
            return f"another process (PID {who['pid']} on {who['host']}, since {who['since']})"
        except Exception:
            return "another process"

    def _write_info(self, info: RunInfo) -> None:
        info.write(self.path)
        self._info = info

    @contextlib.contextmanager
    def _naming_what_is_kept(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            newest = max(layout.step_folders(self.path), default=None)
            kept = "No checkpoint was saved before." if newest is None else f"The checkpoint of step {newest} is kept."
            clear = StorageError(f"{error} {kept}")
            clear.errno = error.errno
            raise clear from error


@contextlib.contextmanager
def locked_run(path: Path) -> Iterator[RunWriter]:
    """The run of a folder, locked and repaired during the block.

    A folder that is new, and in which the block began no run (the text could not be read, say), is removed.

    Raises:
        RunLockedError: another process is writing the run. StorageError: the folder cannot be made.
    """
    is_new = not path.exists()
    make_folder(path)
    run = RunWriter(path)
    try:
        with run.lock():
            if run.exists:
                run.repair()
            yield run
    finally:
        ours = (layout.LOCK_FILE, layout.LOCK_OWNER_FILE)
        if is_new and not run.exists and all(entry.name in ours for entry in path.iterdir()):
            with contextlib.suppress(OSError):  # Windows, or another process that has just started here
                (path / layout.LOCK_FILE).unlink(missing_ok=True)
                path.rmdir()
