"""gpt-2-simple's helpers around files: downloads, encoded texts, Google Drive, the old command."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest

import gpt2simple.compat as gpt2
from gpt2simple import testing
from gpt2simple.compat import command, drive
from gpt2simple.errors import BackendError, DataError, DownloadError, RunError, SettingsError, StorageError
from gpt2simple.gpt2.hub import fetch
from tests.helpers.small_runs import work_in


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work_in(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def mounted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for Google Drive, and a run "run1" that a training has locked."""
    monkeypatch.setattr(drive, "_MOUNT", folder / "mount")
    (folder / "mount" / "My Drive").mkdir(parents=True)
    step = folder / "checkpoint" / "run1" / "step-000002"
    step.mkdir(parents=True)
    (step / "model.safetensors").write_bytes(b"weights")
    (step.parent / "run.json").write_text("{}")
    (step.parent / ".lock").write_text("")
    return folder / "mount" / "My Drive"


def test_known_and_own_models_are_found_with_the_old_order_of_arguments(folder: Path) -> None:
    assert gpt2.is_gpt2_downloaded("models", "tiny")
    gpt2.download_gpt2("models", "tiny")
    assert not Path("models").exists()  # it is inside the package
    assert not gpt2.is_gpt2_downloaded(model_name="124M")
    assert not gpt2.is_gpt2_downloaded("models", "mine")
    mine = folder / "models" / "mine"
    mine.mkdir(parents=True)
    for name in ("hparams.json", "encoder.json", "vocab.bpe", "model.ckpt.index", "model.ckpt.data-00000-of-00001"):
        (mine / name).write_text("{}")
    assert gpt2.is_gpt2_downloaded("models", "mine")
    with pytest.raises(SettingsError, match="125M"):
        gpt2.download_gpt2("models", "125M")


def test_one_file_can_be_downloaded_and_an_unreachable_one_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.Fetcher.__init__, "__kwdefaults__", {"sleep": lambda seconds: None})
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9"):
        gpt2.download_file_with_progress("http://127.0.0.1:9", "here", "124M", "hparams.json")
    assert Path("here").is_dir()


def test_tables_and_texts_are_encoded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tales.csv").write_text("tale\nOnce.\nTwice.\n")
    gpt2.encode_csv("tales.csv")
    assert Path("csv_encoded.txt").read_text().splitlines() == [
        "<|startoftext|>Once.<|endoftext|>",
        "<|startoftext|>Twice.<|endoftext|>",
    ]
    bytes_model = folder / "models" / "bytes"
    bytes_model.mkdir(parents=True)
    testing.write_byte_vocabulary(bytes_model)
    gpt2.encode_dataset("tales.csv", model_name="bytes", combine=1)
    assert capsys.readouterr().out == "Reading files\nWriting text_encoded.npz\n"
    with np.load("text_encoded.npz") as arrays:
        texts = [bytes(arrays[key].tolist()).decode() for key in arrays.files]
    assert texts == ["<|startoftext|>Once.", "<|startoftext|>Twice."]


def test_outside_of_colab_the_helpers_say_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "_MOUNT", folder / "absent")
    with pytest.raises(BackendError, match=r"works in a Google Colab notebook only: google\.colab cannot be imported"):
        gpt2.mount_gdrive()
    for call in (
        gpt2.is_mounted,
        gpt2.copy_checkpoint_to_gdrive,
        gpt2.copy_checkpoint_from_gdrive,
        lambda: gpt2.copy_file_to_gdrive("a.txt"),
        lambda: gpt2.copy_file_from_gdrive("a.txt"),
    ):
        with pytest.raises(StorageError, match=r"Google Drive is not mounted.* Call gpt2\.mount_gdrive\(\) first"):
            call()


def test_in_colab_the_drive_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []
    colab = types.ModuleType("google.colab.drive")
    colab.mount = places.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab.drive", colab)
    gpt2.mount_gdrive()
    assert places == [str(Path("/content/drive"))]


@pytest.mark.parametrize("as_folder", [False, True], ids=["archive", "folder"])
def test_a_run_goes_to_the_drive_and_back(mounted: Path, as_folder: bool) -> None:
    run = Path("checkpoint/run1")
    gpt2.copy_checkpoint_to_gdrive(copy_folder=as_folder)
    assert (mounted / ("checkpoint/run1" if as_folder else "checkpoint_run1.tar")).exists()
    with pytest.raises(RunError, match=r"exists already and is not replaced"):
        gpt2.copy_checkpoint_from_gdrive(copy_folder=as_folder)
    run.rename("moved")
    gpt2.copy_checkpoint_from_gdrive(copy_folder=as_folder)
    assert (run / "step-000002" / "model.safetensors").read_bytes() == b"weights"
    assert sorted(path.name for path in run.iterdir()) == ["run.json", "step-000002"]  # not the lock
    with pytest.raises(StorageError, match=r"There is no .*run2.* contains: .*run1.*\. Check the name"):
        gpt2.copy_checkpoint_from_gdrive("run2", copy_folder=as_folder)
    with pytest.raises(RunError, match=r"There is no run 'run2'"):
        gpt2.copy_checkpoint_to_gdrive("run2", copy_folder=as_folder)


def test_an_archive_replaces_an_earlier_one_of_its_run(mounted: Path) -> None:
    archive = mounted / "checkpoint_run1.tar"
    gpt2.copy_checkpoint_to_gdrive()
    shutil.copy(archive, "copy")  # as after a restart, when nothing is known of the file
    shutil.move("copy", archive)
    Path("checkpoint/run1/more").touch()
    gpt2.copy_checkpoint_to_gdrive()
    with tarfile.open(archive) as tar:
        assert "checkpoint/run1/more" in tar.getnames()
    archive.write_text("something else")
    with pytest.raises(SettingsError, match=r"checkpoint_run1\.tar exists and is not an archive of this run, so it"):
        gpt2.copy_checkpoint_to_gdrive()


@pytest.mark.parametrize("name", ["evil.py", "../evil.py", "checkpoint/run1/../../evil.py", "/tmp/evil-from-tar.py"])
def test_an_archive_reaches_nothing_but_its_run(mounted: Path, name: str) -> None:
    Path("checkpoint/run1").rename("moved")
    with tarfile.open(mounted / "checkpoint_run1.tar", "w") as tar:
        for member in ("checkpoint/run1/run.json", name):
            info = tarfile.TarInfo(member)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    with pytest.raises(DataError, match=r"outside of checkpoint/run1; nothing was unpacked|cannot be unpacked"):
        gpt2.copy_checkpoint_from_gdrive()
    assert not Path("checkpoint/run1").exists()
    assert not list(mounted.parent.parent.parent.rglob("evil*"))
    assert not Path("/tmp/evil-from-tar.py").exists()


def test_files_go_to_the_drive_and_back(mounted: Path) -> None:
    Path("script.txt").write_text("one")
    gpt2.copy_file_to_gdrive("script.txt")
    assert (mounted / "script.txt").read_text() == "one"
    gpt2.copy_file_from_gdrive("script.txt")  # equal, so there is nothing to do
    Path("script.txt").write_text("two")
    with pytest.raises(SettingsError, match=r"script\.txt exists, so it is not overwritten\. Name another file"):
        gpt2.copy_file_from_gdrive("script.txt")
    gpt2.copy_file_to_gdrive("script.txt")  # over what this process copied there before
    assert (mounted / "script.txt").read_text() == "two"
    (mounted / "script.txt").write_text("edited there")
    Path("script.txt").write_text("three")
    with pytest.raises(SettingsError, match=r"script\.txt exists, so it is not overwritten\. Name another file"):
        gpt2.copy_file_to_gdrive("script.txt")
    Path("script.txt").unlink()
    gpt2.copy_file_from_gdrive("script.txt")
    assert Path("script.txt").read_text() == "edited there"
    with pytest.raises(StorageError, match=r"There is no .*other\.txt.* contains: script\.txt\. Check the name"):
        gpt2.copy_file_from_gdrive("other.txt")


def test_the_name_of_an_archive_is_the_folders() -> None:
    assert gpt2.get_tarfile_name(str(Path("checkpoint/run1"))) == "checkpoint_run1.tar"


def test_the_old_command_passes_its_options_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(command, "cmd_finetune", lambda **given: calls.append(("finetune", given)))
    monkeypatch.setattr(command, "cmd_generate", lambda **given: calls.append(("generate", given)))
    monkeypatch.setattr(sys, "argv", ["gpt_2_simple", "finetune", "a.txt", "--steps", "5", "--overwrite", "True"])
    gpt2.cmd()
    monkeypatch.setattr(sys, "argv", ["gpt_2_simple", "generate", "--top_p", "0.9", "--include_prefix", "False"])
    gpt2.cmd()
    assert calls[0][1].items() >= {"dataset": "a.txt", "steps": 5, "overwrite": True, "save_every": 100}.items()
    assert calls[1][1].items() >= {"top_p": 0.9, "include_prefix": False, "nfiles": 1, "folder": "gen"}.items()
    assert [name for name, _ in calls] == ["finetune", "generate"]


def test_the_old_command_ends_with_a_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpt_2_simple", "finetune"])
    with pytest.raises(SystemExit, match="2"):
        gpt2.cmd()
    assert "finetune needs a dataset: python -m gpt2simple.compat finetune script.txt" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["gpt_2_simple", "generate", "--run_name", "absent"])
    with pytest.raises(SystemExit, match=r"Error: There is no run 'absent' in checkpoint\."):
        gpt2.cmd()


def test_the_old_command_leaves_what_its_folder_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gen").mkdir()
    Path("gen/mine.txt").write_text("mine")
    monkeypatch.setattr(command, "load_gpt2", lambda *_, **__: None)
    monkeypatch.setattr(command, "generate_to_file", lambda *_, **g: Path(g["destination_path"]).write_text("text"))
    monkeypatch.setattr(sys, "argv", ["gpt_2_simple", "generate", "--nfiles", "3"])
    gpt2.cmd()
    assert len(list(Path("gen").glob("gpt2_gentext_*.txt"))) == 3
    assert Path("gen/mine.txt").read_text() == "mine"
