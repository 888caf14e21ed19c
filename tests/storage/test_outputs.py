"""What may be written under a name that the user chose: nothing of the user's is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2simple.errors import SettingsError, StorageError
from gpt2simple.storage.outputs import (
    UNMARKED,
    OutputKind,
    check_output,
    output_file,
    output_folder,
    write_output,
)

MARKED = [OutputKind("a list", b"#", b"our list"), OutputKind("a table", b"\0|", b"our table")]


@pytest.mark.parametrize("kind", MARKED, ids=lambda kind: kind.name)
def test_an_earlier_output_is_replaced_by_its_kind_alone(tmp_path: Path, kind: OutputKind) -> None:
    path = tmp_path / "out"
    path.write_bytes(kind.begins + b" 1 " + kind.mark)
    write_output(path, kind, b"new")
    assert path.read_bytes() == b"new"
    path.write_bytes(kind.begins + b" another program's")
    for other in MARKED:
        with pytest.raises(
            SettingsError, match=rf"out exists and is not {other.name}, so it is not overwritten\. Name"
        ):
            write_output(path, other, b"new")
    assert path.read_bytes() == kind.begins + b" another program's"


def test_a_file_without_a_mark_is_replaced_while_it_is_as_this_process_left_it(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_output(path, UNMARKED, "one")
    write_output(path, UNMARKED, "two")  # a cell of a notebook that is run again
    path.write_text("two, corrected by hand")
    with pytest.raises(SettingsError, match=r"out\.txt exists, so it is not overwritten\. Name another file, or move"):
        write_output(path, UNMARKED, "three")
    assert path.read_text() == "two, corrected by hand"


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_to_a_source_is_the_source(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    source, path = tmp_path / "source", tmp_path / "out"
    source.write_bytes(content := MARKED[0].begins + MARKED[0].mark)
    link(source, path)
    for name in (source, path, tmp_path / ".." / tmp_path.name / "source"):
        with pytest.raises(SettingsError, match=r"is read by this call, and would be overwritten by its output\. Name"):
            check_output(name, MARKED[0], [tmp_path / "absent", source])
    assert source.read_bytes() == content


def test_links_that_lead_nowhere_and_folders_are_no_outputs(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(SettingsError, match=r"link exists and is not"):
        check_output(tmp_path / "link", MARKED[0])
    with pytest.raises(SettingsError, match=r"is a folder, where a file is to be written\. Name a file"):
        check_output(tmp_path, MARKED[0])
    check_output(Path(os.devnull), MARKED[0])


def test_a_file_that_appears_while_the_output_is_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(SettingsError, match="out exists"), output_file(path, MARKED[0]):
        path.write_bytes(b"somebody's")
    assert path.read_bytes() == b"somebody's"
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_appears_as_one_unit_where_nothing_or_an_empty_one_was(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for name in ("new", "empty", "link"):
        if name == "link":
            (tmp_path / "empty" / "a").unlink()
        with output_folder(tmp_path / name) as folder:
            (folder / "a").touch()
            assert not (tmp_path / name / "a").exists()
        assert os.listdir(tmp_path / name) == ["a"]
    (tmp_path / "file").touch()
    for name, message in (
        ("new", r"new is not empty, and nothing in it is"),
        ("file", r"file is a file, where a fold"),
    ):
        with pytest.raises(SettingsError, match=message), output_folder(tmp_path / name):
            pass
    with (
        pytest.raises(StorageError, match=r"it is a file, where a folder is needed"),
        output_folder(tmp_path / "file/a"),
    ):
        pass


@pytest.mark.parametrize("output", ["output_file(path, UNMARKED)", "output_folder(path)"])
def test_what_a_killed_process_left_goes_with_the_next_output_there(tmp_path: Path, output: str) -> None:
    program = f"""
import os, pathlib, sys
from gpt2simple.storage.outputs import *
path = pathlib.Path("out")
with {output}:
    os._exit(int(sys.argv[1])) if len(sys.argv) > 1 else None
"""

    def run(*words: str) -> int:
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        return subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, env=environment).returncode

    assert run("9") == 9
    (tmp_path / ".tmp-mine").touch()
    assert len(os.listdir(tmp_path)) == 2
    assert run() == 0
    assert sorted(os.listdir(tmp_path)) == [".tmp-mine", "out"]
