"""The wheel and the source archive: what they hold, and that the wheel alone works in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpt2simple import __version__
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

MOST_BYTES = 12_000_000  # of either; the built-in model has 7.8 million
OUTSIDE = ("tests/", "benchmarks/", "models/", "checkpoint/", "samples/", ".ci/", ".venv", "docs/_build")
GENERATED = re.compile(r"PKG-INFO|setup\.cfg|gpt2simple\.egg-info/\S+")
BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""


def done(folder: Path, *command: str | Path) -> str:
    """What a program prints, run in a folder as if no checkout of this project were on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def tracked_files() -> set[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of the repository, so nothing says which files belong to it")
    return set(done(ROOT, "git", "ls-files", "-z").rstrip("\0").split("\0"))


def build(kind: str, source: Path, into: Path) -> Path:
    """A wheel or sdist, made as pip makes it, but with the setuptools of this environment: nothing is downloaded."""
    into.mkdir()
    return into / done(source, sys.executable, "-c", BUILD, kind, into).splitlines()[-1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of the files that git tracks, with a run and caches lying around them, as in a used folder."""
    source = tmp_path_factory.mktemp("source") / "gpt2simple"
    for name in tracked_files():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    for litter in ("checkpoint/run1/model.safetensors", "docs/checkpoint/a.md", "models/124M/model.safetensors"):
        (source / litter).parent.mkdir(parents=True, exist_ok=True)
        (source / litter).write_bytes(b"litter")
    (source / "gpt2simple" / "__pycache__").mkdir()
    (source / "gpt2simple" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"litter")
    return build("sdist", source, source.parent / "sdist")


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive as pip makes it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, folder / "wheel")


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the installed wheel, in an environment of its own that sees this one's dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    done(folder, sys.executable, "-m", "venv", folder / "venv")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / f"python{sysconfig.get_config_var('EXE') or ''}"
    done(folder, python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    own = Path(done(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (own / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    where = Path(done(folder, python, "-c", "import gpt2simple; print(gpt2simple.__file__)").strip())
    assert where.is_relative_to(folder), where
    return scripts / f"gpt2simple{sysconfig.get_config_var('EXE') or ''}"


def test_the_source_archive_has_the_package_and_its_documents_and_nothing_else(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        names = {member.name.partition("/")[2] for member in packed.getmembers() if member.isfile()}
    tracked = tracked_files()
    added = {name for name in names if not GENERATED.fullmatch(name)}
    assert sorted(added - tracked) == []
    assert sorted(name for name in added if name.startswith(OUTSIDE)) == []
    wanted = {name for name in tracked if name.startswith("gpt2simple/") or re.fullmatch(r"docs/\w+\.md", name)}
    wanted |= {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "setup.cfg", "examples/script.txt"}
    assert sorted(wanted - names) == []
    assert archive.stat().st_size < MOST_BYTES


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    about = f"gpt2simple-{__version__}.dist-info/"
    assert sorted(n for n in names if not n.startswith(about)) == sorted(
        name for name in tracked_files() if name.startswith("gpt2simple/")
    )
    assert f"{about}METADATA" in names
    assert wheel.stat().st_size < MOST_BYTES


def test_the_installed_wheel_trains_and_generates_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    assert done(tmp_path, program, "--version") == f"gpt2simple, version {__version__}\n"
    (tmp_path / "text.txt").write_text("The rain fell on the slow river.\n" * 200, encoding="utf-8")
    trained = done(tmp_path, program, "finetune", "text.txt", "--model-name", "tiny", "--steps", "2", "--window", "64")
    assert "finished at step 2" in trained
    text = done(tmp_path, program, "generate", "--prefix", "The rain", "--length", "5", "--seed", "1")
    assert text.startswith("The rain")
    assert "_gpt2simple_completion" in done(tmp_path, program, "completion", "fish")
