"""Files that are whole or absent, locks, digests, free space."""

from __future__ import annotations

import builtins
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpt2simple.errors import DownloadError, RunLockedError, StorageError
from gpt2simple.storage import disk, files, locks, temporary


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_and_its_folders_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.txt"
    files.atomic_write(target, "old\n")
    files.atomic_write(target, "neü\r\n")
    assert target.read_bytes() == "neü\r\n".encode()
    assert names_in(target.parent) == ["b.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_keeps_its_old_content_when_writing_fails_half_way(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "b.txt"
    files.atomic_write(target, "old")
    with pytest.raises(error), files.atomic_file(target) as file:  # noqa: PT012 - fails inside, on purpose
        file.write(b"half")
        file.flush()
        raise error
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["b.txt"]


def test_a_symbolic_link_is_replaced_and_what_it_points_at_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "original").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "original")
    files.atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "original").read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in the file system")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    files.atomic_write(pipe, "text")
    reader.join(timeout=10)
    assert received == ["text"]
    assert pipe.is_fifo()


def test_a_folder_appears_as_one_unit(tmp_path: Path) -> None:
    with files.atomic_folder(tmp_path / "step-1") as folder:
        (folder / "weights").write_bytes(b"123")
        (folder / "inner").mkdir()
        (folder / "inner" / "state").write_bytes(b"4")
        assert not (tmp_path / "step-1").exists()
    assert (tmp_path / "step-1" / "inner" / "state").read_bytes() == b"4"
    assert names_in(tmp_path) == ["step-1"]


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.atomic_folder(tmp_path / "step-1") as folder:  # noqa: PT012
        (folder / "weights").write_bytes(b"123")
        raise ZeroDivisionError
    assert names_in(tmp_path) == []


def test_a_folder_that_exists_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "step-1").mkdir()
    message = r"step-1 exists already and is not replaced\. Choose another name"
    with pytest.raises(StorageError, match=message), files.atomic_folder(tmp_path / "step-1"):
        pytest.fail("the block must not run")
    assert names_in(tmp_path) == ["step-1"]


def test_a_file_gets_a_second_name_without_a_copy(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("weights")
    (tmp_path / "target").write_text("old")
    for _ in range(2):  # the second time both names are the same file already
        files.link_or_copy(tmp_path / "source", tmp_path / "target")
        assert (tmp_path / "target").samefile(tmp_path / "source")
        assert names_in(tmp_path) == ["source", "target"]


def test_a_second_name_of_a_symbolic_link_is_one_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("weights")
    (tmp_path / "link").symlink_to(tmp_path / "source")
    files.link_or_copy(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").samefile(tmp_path / "source")


def test_a_file_is_copied_where_the_disk_has_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "source").write_text("weights")
    files.link_or_copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "weights"
    assert not (tmp_path / "target").samefile(tmp_path / "source")


def test_a_finished_file_moves_onto_its_name(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("new")
    (tmp_path / "whole").write_text("old")
    files.move_into_place(tmp_path / "part", tmp_path / "whole")
    assert names_in(tmp_path) == ["whole"]
    assert (tmp_path / "whole").read_text() == "new"


def test_leftovers_of_dead_processes_go_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = temporary._host()
    gone = [f".tmp-{dead.pid}-{host}-00000000", f".tmp-{os.getpid()}-{host}-00000001"]  # ours, but not in use
    kept = [f".tmp-{os.getppid()}-{host}-00000002", f".tmp-{dead.pid}-abcdef-00000003", ".tmp-notes", "run"]
    (tmp_path / gone[0]).mkdir()
    (tmp_path / gone[0] / "weights").write_text("half")
    for name in (gone[1], *kept):
        (tmp_path / name).write_text("")
    with files.atomic_file(tmp_path / "new") as file:
        removed = temporary.remove_leftovers(tmp_path)
        file.write(b"whole")
    assert sorted(path.name for path in removed) == sorted(gone)
    assert names_in(tmp_path) == sorted([*kept, "new"])
    assert temporary.remove_leftovers(tmp_path / "absent") == []


def test_leftovers_of_another_machine_go_after_a_day(tmp_path: Path) -> None:
    old = tmp_path / ".tmp-1-abcdef-00000003"
    old.write_text("")
    os.utime(old, (0, 0))
    assert temporary.remove_leftovers(tmp_path) == [old]


def test_what_a_killed_process_left_is_recognised(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from gpt2simple.storage.files import atomic_folder\n"
        "with atomic_folder(pathlib.Path(sys.argv[1], 'step-1')) as folder:\n"
        "    (folder / 'weights').write_bytes(b'half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    assert len(names_in(tmp_path)) == 1
    assert len(temporary.remove_leftovers(tmp_path)) == 1
    assert names_in(tmp_path) == []


def test_digests_of_files_read_and_written(tmp_path: Path) -> None:
    expected = hashlib.sha256(b"one two").hexdigest()
    with files.atomic_file(tmp_path / "x") as file:
        writer = files.HashingWriter(file)
        assert writer.write(b"one ") + writer.write(b"two") == 7
        writer.flush()
    assert (writer.hexdigest(), writer.bytes_written) == (expected, 7)
    assert files.sha256_of(tmp_path / "x") == expected


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (497_759_232, "497.8 MB"), (999_990_000, "1.0 GB"), (2 * 10**12, "2.0 TB")],
)
def test_sizes_are_written_for_people(n_bytes: int, text: str) -> None:
    assert disk.readable_size(n_bytes) == text


def test_missing_space_is_told_before_writing(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "124M"
    disk.require_space(folder, 1, "Downloading 124M")
    message = r"Downloading 124M needs 1000000\.0 TB, and the disk that holds .*124M has .* free\. Free some space"
    with pytest.raises(StorageError, match=message):
        disk.require_space(folder, 10**18, "Downloading 124M")
    assert not folder.exists()


def test_space_that_the_system_does_not_tell_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("shutil.disk_usage", unknown)
    disk.require_space(tmp_path, 10**18, "Downloading 124M")


def test_a_second_holder_of_a_lock_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "run" / ".lock"
    with locks.locked(lock, "busy with run1"):
        with pytest.raises(RunLockedError, match="busy with run1"), locks.locked(lock, "busy with run1"):
            pytest.fail("the block must not run")
        with pytest.raises(DownloadError, match="busy"), locks.locked(lock, "busy", DownloadError, wait_seconds=0.2):
            pytest.fail("the block must not run")
    with locks.locked(lock, "free again"):
        pass


def test_a_lock_is_held_against_other_processes_and_dies_with_its_own(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from gpt2simple.storage.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'busy'): print('held', flush=True); sys.stdin.read()"
    )
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match="busy here"), locks.locked(lock, "busy here"):
            pytest.fail("the block must not run")
        other.kill()
    with locks.locked(lock, "busy here", wait_seconds=5):
        pass


def test_a_disk_without_locks_is_told_and_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    message = "does not support locks: make sure no other process writes there"
    with pytest.warns(UserWarning, match=message), locks.locked(tmp_path / "lock", "busy"):
        (tmp_path / "done").touch()
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EDQUOT, "your disk quota is used up. Delete something"),
        (errno.EROFS, "read-only disk. Choose a folder that can be written"),
        (errno.EACCES, "there is no permission. Choose a folder of your own"),
        (errno.EPERM, "there is no permission"),
        (errno.EIO, "the device reported a failure. Check the disk"),
        (errno.ENAMETOOLONG, "the name is too long for this disk. Choose a shorter one"),
        (errno.ENOENT, "its folder is not there any more. Put it back or choose another one"),
        (errno.ELOOP, "it is a link, or its links lead in a circle. Remove the link"),
        (errno.EINVAL, "this disk does not take such a name. Choose another one"),
        (errno.EMFILE, r"too many files are open. Close some in this program, or raise the limit \(ulimit"),
        (errno.ESTALE, "the device reported a failure. Check the disk"),
        (errno.EBUSY, "another program uses it. Close that"),
        (errno.ENOTEMPTY, "another program writes there. Close that"),
    ],
)
def test_disk_errors_become_one_message_with_the_next_step(tmp_path: Path, number: int, step: str) -> None:
    with pytest.raises(StorageError, match=step) as caught, files.atomic_file(tmp_path / "model.bin"):
        raise OSError(number, "as the system says", str(tmp_path / ".tmp-1-abcdef-00000000"))
    assert str(caught.value).startswith(f"Cannot write {tmp_path / 'model.bin'}: ")
    assert caught.value.errno == number
    assert isinstance(caught.value.__cause__, OSError)
    assert names_in(tmp_path) == []


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic_file(tmp_path / "x"):
        builtins.open(tmp_path / "absent")  # noqa: SIM115
    with pytest.raises(OSError, match="reset") as caught, disk.storage_errors(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert not isinstance(caught.value, StorageError)


def test_a_folder_that_is_removed_while_it_is_written_is_told(tmp_path: Path) -> None:
    told = r"{}: its folder is not there any more"
    with pytest.raises(StorageError, match=told.format(r"out/a\.bin")), files.atomic_file(tmp_path / "out/a.bin"):
        shutil.rmtree(tmp_path / "out")
    with pytest.raises(StorageError, match=told.format("model")), files.atomic_folder(tmp_path / "model") as folder:
        folder.rename(tmp_path / "elsewhere")


def test_a_file_where_a_folder_is_needed_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StorageError, match=r"models: it is a file, where a folder is needed"):
        disk.make_folder(tmp_path / "models")
    with pytest.raises(StorageError, match="a part of the path is a file, where a folder is needed"):
        files.atomic_write(tmp_path / "models" / "124M" / "x", b"")
    with pytest.raises(StorageError, match="it is a folder, where a file is needed"):
        files.atomic_write(tmp_path, b"")


def test_a_rename_that_windows_refuses_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refusals = os.replace, [PermissionError(errno.EACCES, "scanner"), PermissionError(errno.EACCES, "scanner")]

    def replace_later(source: Path, target: Path) -> None:
        if refusals:
            raise refusals.pop()
        replace(source, target)

    monkeypatch.setattr(files, "_RENAME_PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(os, "replace", replace_later)
    files.atomic_write(tmp_path / "x", b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert refusals == []
