"""Files that grow by whole parts, and their names when several writers want one."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from gpt2simple.api import output
from gpt2simple.errors import SettingsError, StorageError
from gpt2simple.storage.files import GrowingFile
from tests.helpers.paths import ROOT


def test_a_part_is_in_the_file_as_soon_as_it_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "parts.txt"
    with GrowingFile(path) as file:
        assert list(path.parent.iterdir()) == [], "a process killed now leaves nothing that is in the way of the next"
        for number, whole in ((1, "zoë\n"), (2, "zoë\n\r\n€")):
            file.append(whole[4 * (number - 1) :])
            assert path.read_bytes() == whole.encode()
            assert file.parts == number


def test_a_file_that_was_given_nothing_is_removed_and_others_stay(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), GrowingFile(tmp_path / "empty.txt"):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), GrowingFile(tmp_path / "one.txt") as file:  # noqa: PT012 - fails inside
        file.append("one\n")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]


def test_a_name_that_something_else_takes_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    with GrowingFile(tmp_path / "a.txt") as file, GrowingFile(tmp_path / "b.txt", numbered=True) as other:
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).symlink_to("absent")
        with pytest.raises(StorageError, match=r"a\.txt exists already and is not replaced\. Choose another name, or"):
            file.append("mine")
        other.append("mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "b_1.txt"]
    assert (tmp_path / "b_1.txt").read_text() == "mine"


def test_a_disk_without_hard_links_gets_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", refused)
    with GrowingFile(tmp_path / "a.txt") as file:
        file.append("one ")
        file.append("two")
    assert (tmp_path / "a.txt").read_text() == "one two"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_exists_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for name in ("there.txt", "folder", "link"):
        with pytest.raises(FileExistsError):
            GrowingFile(tmp_path / name)
        with pytest.raises(SettingsError, match=rf"{name} exists, and is not overwritten\. Name another destination_p"):
            output.new_file(tmp_path / name)
    assert (tmp_path / "there.txt").read_text() == "precious"
    with pytest.raises(StorageError, match=r"Cannot write into .*there\.txt: it is a file, where a folder is needed"):
        GrowingFile(tmp_path / "there.txt" / "below.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files")
def test_a_disk_that_fills_up_in_the_middle_of_a_part_keeps_the_parts_before_it(tmp_path: Path) -> None:
    """A limit on the size of files is met as a full disk is: a write that takes a part of the bytes, then an error."""
    script = (
        "import resource, sys; from pathlib import Path; from gpt2simple.storage.files import GrowingFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))\n"
        "with GrowingFile(Path('parts.txt')) as file:\n"
        "    for number in range(2): file.append('0123456789')\n"
        "    try: file.append('abcdefghij')\n"
        "    except OSError as error: print(type(error).__name__, error.errno, error, file.parts)\n"
        "    file.append('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == (
        f"StorageError {errno.EFBIG} Cannot write parts.txt: it would be larger than this disk or your account allows. "
        "Choose a folder on another disk. 2\n"
    ), done.stderr
    assert (tmp_path / "parts.txt").read_text() == "0123456789" * 2 + "end"


def test_writers_that_start_in_one_second_get_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was once looked for first and taken later, so that two processes could choose the same."""

    class Noon(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Noon:  # type: ignore[override]
            return cls(2026, 1, 2, 12, 0, 0)

    monkeypatch.setattr(output, "datetime", Noon)
    start, written = threading.Barrier(8), {}

    def write(writer: int) -> None:
        start.wait()
        for number in range(20):
            with output.new_file_in(tmp_path) as file:
                file.append(f"{writer} {number}")
            written[file.path] = f"{writer} {number}"

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(written) == 8 * 20
    assert {path: path.read_text() for path in tmp_path.iterdir()} == written
    stem = "gpt2simple_20260102_120000"
    assert {path.name for path in written} == {f"{stem}.txt", *(f"{stem}_{number}.txt" for number in range(1, 160))}
