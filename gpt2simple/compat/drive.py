"""Google Drive from a Colab notebook: runs and files copied there and back, whatever they contain."""

from __future__ import annotations

import filecmp
import importlib
import os
import shutil
import tarfile
from pathlib import Path

from gpt2simple.errors import BackendError, DataError, RunError, StorageError
from gpt2simple.runs.layout import LOCK_FILE, LOCK_OWNER_FILE, existing_run_path, run_path
from gpt2simple.settings import accepts
from gpt2simple.storage.disk import storage_errors
from gpt2simple.storage.files import atomic_folder
from gpt2simple.storage.outputs import UNMARKED, OutputKind, output_file

_MOUNT = Path("/content/drive")
_RUNS = Path("checkpoint")
_NOT_COPIED = (LOCK_FILE, LOCK_OWNER_FILE)


def mount_gdrive() -> None:
    """Mount the user's Google Drive, for which Colab asks permission.

    Raises:
        BackendError: this is not Colab.
    """
    try:
        drive = importlib.import_module("google.colab.drive")
    except ImportError as error:
        raise BackendError(
            "mount_gdrive() works in a Google Colab notebook only: google.colab cannot be imported here. "
            "Elsewhere, copy the folder checkpoint/<run_name> itself."
        ) from error
    drive.mount(str(_MOUNT))


def is_mounted() -> None:
    """Return if Google Drive is mounted.

    Raises:
        StorageError: it is not.
    """
    if not _MOUNT.is_dir():
        raise StorageError(
            f"Google Drive is not mounted: there is no folder {_MOUNT}. Call gpt2.mount_gdrive() first, in Colab."
        )


@accepts()
def get_tarfile_name(checkpoint_folder: str | Path) -> str:
    """The name of the archive of a folder: "checkpoint/run1" gives "checkpoint_run1.tar"."""
    return str(checkpoint_folder).replace(os.path.sep, "_") + ".tar"


@accepts()
def copy_checkpoint_to_gdrive(run_name: str = "run1", copy_folder: bool = False) -> None:
    """Copy the folder of a run to Google Drive, as one archive or as a folder.

    An earlier archive of the run is replaced once the new one is complete; an existing folder is an error.

    Raises:
        RunError: there is no such run, or its folder is in Google Drive already.
        StorageError: Google Drive is not mounted or full.
    """
    is_mounted()
    folder = existing_run_path(_RUNS, run_name)
    if copy_folder:
        _copy_folder(folder, _in_drive(str(folder)))
        return
    archive = _in_drive(get_tarfile_name(str(folder)))
    kind = OutputKind("an archive of this run", mark=f"{folder.as_posix()}/\0".encode())  # a name in it
    with output_file(archive, kind) as file, tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(folder, folder.as_posix(), filter=lambda m: None if Path(m.name).name in _NOT_COPIED else m)


@accepts()
def copy_checkpoint_from_gdrive(run_name: str = "run1", copy_folder: bool = False) -> None:
    """Copy a run from Google Drive, as written by ``copy_checkpoint_to_gdrive`` (or gpt-2-simple's).

    Raises:
        RunError: the run exists here already. DataError: the archive contains anything else than that run.
        StorageError: Google Drive is not mounted or has no such copy.
    """
    is_mounted()
    folder = run_path(_RUNS, run_name)
    if copy_folder:
        _copy_folder(_in_drive(str(folder)), folder)
        return
    _require_new(folder)
    archive = _in_drive(get_tarfile_name(str(folder)))
    _require_there(archive)
    with storage_errors(archive), tarfile.open(archive, mode="r") as tar, atomic_folder(folder) as target:
        try:
            _unpack(tar, folder.as_posix(), target)
        except tarfile.TarError as error:
            raise DataError(
                f"{archive} cannot be unpacked ({error}); nothing was unpacked. Copy the run to Google Drive again."
            ) from error


def _unpack(tar: tarfile.TarFile, inside: str, target: Path) -> None:
    """Unpack the folder ``inside`` of an archive into ``target``, and refuse anything outside of it."""
    for member in tar:
        name = member.name.removeprefix("./")
        if name in (inside, inside.split("/")[0]) and member.isdir():
            continue
        if not name.startswith(f"{inside}/"):
            raise DataError(
                f"{tar.name!s} contains {member.name!r}, outside of {inside}; nothing was unpacked. Use an archive "
                "that copy_checkpoint_to_gdrive wrote for this run_name."
            )
        # "data": no path or link that leads outside, no device, no special permission
        tar.extract(member.replace(name=name.removeprefix(f"{inside}/"), deep=False), target, filter="data")


@accepts()
def copy_file_to_gdrive(file_path: str | Path) -> None:
    """Copy a file to Google Drive under the same name. Another file of that name is not replaced.

    Raises:
        SettingsError: there is another file of that name.
        StorageError: Google Drive is not mounted, or the file is missing or cannot be written.
    """
    is_mounted()
    _copy_file(Path(file_path), _in_drive(file_path))


@accepts()
def copy_file_from_gdrive(file_path: str | Path) -> None:
    """Copy a file from Google Drive under the same name. Another file of that name is not replaced.

    Raises:
        SettingsError: there is another file of that name.
        StorageError: Google Drive is not mounted, or the file is missing or cannot be written.
    """
    is_mounted()
    _copy_file(_in_drive(file_path), Path(file_path))


def _in_drive(path: str | Path) -> Path:
    return _MOUNT / "My Drive" / path


def _copy_file(source: Path, target: Path) -> None:
    _require_there(source)
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with storage_errors(source), source.open("rb") as file, output_file(target, UNMARKED, [source]) as copy:
        shutil.copyfileobj(file, copy)


def _copy_folder(source: Path, target: Path) -> None:
    _require_there(source)
    _require_new(target)
    with storage_errors(source), atomic_folder(target) as copy:
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True)


def _require_there(path: Path) -> None:
    if not path.exists():
        there = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        raise StorageError(
            f"There is no {path}. {path.parent} contains: {', '.join(there) or 'nothing'}. Check the name."
        )


def _require_new(folder: Path) -> None:
    if folder.exists():
        raise RunError(f"{folder} exists already and is not replaced. Move it away, or use another run_name.")
