"""What is installed, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2simple.backend import packages
from gpt2simple.errors import BackendError
from tests.helpers.paths import ROOT


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets which distributions there are."""

    def set_versions(**versions: str) -> None:
        def version(name: str) -> str:
            if (found := versions.get(name.replace("-", "_"))) is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(importlib.metadata, "version", version)
        listed = [
            'tensorflow<2.22,>=2.18; python_version < "3.13"', 'tensorflow<2.22,>=2.20; python_version >= "3.13"',
            "tf-keras>=2.18", "transformers>=4.57", "click>=8", 'pytest; extra == "test"',
        ]  # fmt: skip
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: listed)

    return set_versions


def test_nothing_is_missing_here() -> None:
    assert packages.missing() == []
    assert packages.versions().keys() == {"gpt2simple", "tensorflow", "tf_keras", "transformers", "numpy"}


def test_transformers_is_not_missed(installed: Callable[..., None]) -> None:
    installed(tensorflow_cpu="2.20.0", click="8.1", tf_keras="2.20.1")
    assert packages.missing() == []
    assert packages.versions() == {
        "gpt2simple": packages.__version__, "tensorflow": "2.20.0", "tf_keras": "2.20.1",
    }  # fmt: skip


def test_the_command_installs_a_tf_keras_that_fits_and_all_else_that_is_missing(installed: Callable[..., None]) -> None:
    installed(tensorflow="2.19.1")
    assert packages.missing() == ["tf-keras==2.19.*", "'click>=8'"]
    assert packages.install_command() == "`pip install tf-keras==2.19.* 'click>=8'`."
    error = packages.missing_package(ModuleNotFoundError("no", name="tf_keras"))
    assert str(error) == (
        "tf_keras is not installed, and this needs it. Install it: `pip install tf-keras==2.19.* 'click>=8'`."
    )


@pytest.mark.parametrize(("python", "oldest"), [((3, 12), "2.18"), ((3, 13), "2.20")])
def test_the_bounds_are_those_of_this_python(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], oldest: str
) -> None:
    installed(click="8.1", tf_keras="2.20")
    monkeypatch.setattr(packages.sys, "version_info", (*python, 0))
    assert packages.missing() == [f"'tensorflow<2.22,>={oldest}'"]


def test_a_package_that_is_there_and_cannot_be_imported_is_another_error(installed: Callable[..., None]) -> None:
    installed(tensorflow="2.19.1", tf_keras="2.18.0", click="8.1")
    error = packages.missing_package(ImportError("cannot import name 'x'", name="tf_keras.src"))
    assert str(error) == (
        "tf_keras could not be imported (cannot import name 'x'). It may not fit the other packages here. Install it "
        "again: `pip install --force-reinstall --no-deps tf-keras==2.19.*`."
    )


@pytest.mark.parametrize(
    ("hidden", "call", "told"),
    [
        ("tensorflow", "gpt2simple.generate(model_name='tiny')", "tensorflow could not be imported"),
        ("tf_keras", "gpt2simple.finetune('README.md', model_name='tiny')", "tf_keras could not be imported"),
    ],
)
def test_the_first_error_says_it(hidden: str, call: str, told: str) -> None:
    script = (
        f"import sys; sys.modules[{hidden!r}] = None\nimport gpt2simple\n"
        f"try: {call}\nexcept gpt2simple.errors.BackendError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(told), done.stderr
    assert "`pip install --force-reinstall" in done.stdout


def test_info_tells_what_is_missing() -> None:
    script = "import sys; sys.modules['tensorflow'] = None; sys.argv = ['gpt2simple', 'info']\n"
    script += "from gpt2simple.backend import packages; packages.missing = lambda: ['tf-keras==2.20.*']\n"
    script += "from gpt2simple.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Missing: tf-keras==2.20.*; install with `pip install tf-keras==2.20.*`." in done.stdout
    assert "Precision: none (tensorflow could not be imported" in done.stdout


def test_what_an_extra_lacks_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packages.require({"json": "json"}, "this needs")
    for name in ("absent_one", "absent_two"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError) as one:
        packages.require({"json": "json", "absent_one": "absent-one"}, "this needs")
    assert str(one.value) == "absent-one is not installed, and this needs it. Install it: `pip install absent-one`."
    with pytest.raises(BackendError) as both:
        packages.require({"absent_one": "absent-one", "absent_two": "absent-two"}, "these need")
    assert str(both.value) == (
        "absent-one and absent-two are not installed, and these need them. Install them: `pip install absent-one "
        "absent-two`."
    )


def test_a_module_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_extra.py").write_text("raise ImportError('undefined symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        BackendError, match=r"^broken-extra could not be imported \(undefined symbol\).*force-reinstall"
    ):
        packages.require({"broken_extra": "broken-extra"}, "this needs")
