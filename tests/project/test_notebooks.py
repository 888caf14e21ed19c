"""The notebooks in examples/ are what their sources give, were executed, and run from top to bottom, twice."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.helpers.paths import EXAMPLES

sys.path.append(str(EXAMPLES / "notebooks"))
import make_notebooks as build

SMALL = {
    "01_quickstart": {"steps": 4},
    "02_overfitting": {"steps": 24, "models": "made here"},
    "03_classifying": {"epochs": 1},
    "04_pairs": {"steps": 6},
}


@pytest.fixture(params=build.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


def pictures(notebook: dict[str, Any]) -> list[bytes]:
    """The PNGs of the outputs, those within HTML too."""
    found = []
    for output in outputs(notebook):
        data = output.get("data", {})
        found += [base64.b64decode(data["image/png"])] if "image/png" in data else []
        html = "".join(data.get("text/html", ""))
        found += map(base64.b64decode, re.findall(r"data:image/png;base64,([\w+/=]+)", html))
    return found


def test_every_source_is_a_notebook() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == sorted(build.NAMES)
    assert {path.stem for path in build.SOURCES.glob("[0-9]*.py")} == set(build.NAMES)


def test_the_notebook_is_what_its_source_gives(name: str) -> None:
    found = build.written(name)
    assert found is not None
    assert build.without_outputs(found) == build.notebook(name), (
        f"python examples/notebooks/make_notebooks.py --run {name}"
    )


def test_it_was_executed_without_an_error_and_its_outputs_are_small(name: str) -> None:
    found = build.written(name)
    assert found is not None
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == sorted(cell["execution_count"] for cell in code)
    assert not [output for output in outputs(found) if output["output_type"] == "error"]
    assert pictures(found)
    assert max(map(len, pictures(found))) < 100_000
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < 800_000
    shown = json.dumps([output for output in outputs(found)])
    assert not re.findall(r"/(?:tmp|home|root|Users|work)/[\w./-]*", shown), "a path of the computer that ran it"


def test_it_begins_with_one_cell_that_installs_and_says_how_long_it_takes(name: str) -> None:
    cells = build.notebook(name)["cells"]
    first, *others = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "prepare(takes=" in first
    assert not [code for code in others if re.search(r"pip|^!|^%", code, re.MULTILINE)]
    assert "Tested on" in "".join(cells[0]["source"])
    forms = [code for code in others if code.startswith("#@title")]
    assert forms
    assert re.search(r"^\w+ = .*  #@param", forms[0], re.MULTILINE)


def test_a_field_that_no_form_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no form has a field 'stepz' with another value than 4"):
        build.notebook("01_quickstart", {"stepz": 4})


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """The install cell's names, with what it would run."""
    ran: list[list[str]] = []
    kept: list[str] = []
    missing: list[str] = []

    def run(command: list[Any], **_: Any) -> SimpleNamespace:
        ran.append([str(word) for word in command[1:]])
        if "-c" in command:
            kept.extend(Path(command[command.index("-c") + 1]).read_text().splitlines())
        facts = {"missing": list(missing), "device": "CPU, no GPU found", "precision": "float32"}
        if "pip" in command:
            missing.clear()
        return SimpleNamespace(stdout=json.dumps(facts))

    cell = ModuleType("install")
    exec((build.SOURCES / "install.py").read_text(encoding="utf-8"), vars(cell))
    monkeypatch.setattr(subprocess, "run", run)
    return SimpleNamespace(cell=cell, ran=ran, kept=kept, missing=missing, shown=lambda: capsys.readouterr().out)


def test_where_all_is_there_nothing_is_installed(install: SimpleNamespace) -> None:
    assert install.cell.prepare(takes="a minute", numpy="numpy>=1") is False
    assert install.ran == [["-m", "gpt2simple", "info", "tiny", "--json"]]
    assert install.shown().startswith("Computes on: CPU, no GPU found. Matrix products in float32.\n")


def test_only_what_is_missing_is_installed_and_every_version_that_is_there_is_kept(install: SimpleNamespace) -> None:
    install.missing.append("'tiktoken>=0.14'")
    install.cell.prepare(takes="a minute", no_such_module="no-such-package>=1")
    _, pip, _ = install.ran
    assert pip[:4] == ["-m", "pip", "install", "-q"]
    assert pip[6:] == ["tiktoken>=0.14", "no-such-package>=1"]
    assert f"numpy=={importlib.metadata.version('numpy')}" in install.kept


def test_the_package_itself_comes_without_its_dependencies_from_a_wheel_beside_the_notebook(
    install: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    real = install.cell.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gpt2simple" else real(name))
    install.cell.prepare(takes="a minute")
    assert install.ran[0][6:] == ["--no-deps", "gpt2simple"]
    (tmp_path / "gpt2simple-0.1.0-py3-none-any.whl").touch()
    install.ran.clear()
    install.cell.prepare(takes="a minute")
    assert install.ran[0][6:] == ["--no-deps", "gpt2simple-0.1.0-py3-none-any.whl"]


def test_a_file_is_an_example_a_path_or_uploaded_in_colab(
    install: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = install.cell.chosen_file
    assert (choose("play", play="play.txt"), choose("my.txt", play="play.txt")) == ("play.txt", "my.txt")
    with pytest.raises(ValueError, match="Uploading works in Colab"):
        choose("upload", play="play.txt")
    colab = ModuleType("google.colab")
    mounted: list[str] = []
    colab.files = SimpleNamespace(upload=lambda: {"mine.txt": b"text"})  # type: ignore[attr-defined]
    colab.drive = SimpleNamespace(mount=mounted.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    install.cell.IN_COLAB = True
    assert choose("upload", play="play.txt") == "mine.txt"
    assert choose("/content/drive/MyDrive/a.txt") == "/content/drive/MyDrive/a.txt"
    assert mounted == ["/content/drive"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs_from_top_to_bottom_twice(name: str, tmp_path: Path) -> None:
    found = build.executed(build.notebook(name, SMALL[name]), tmp_path, times=2)
    assert not [output for output in outputs(found) if output["output_type"] == "error"]
    assert pictures(found)
    streams = "".join("".join(output.get("text", "")) for output in outputs(found))
    assert "Computes on: " in streams
    assert "Traceback" not in streams
    assert not re.search("warning", streams, re.IGNORECASE), streams
    if name != "02_overfitting":
        assert list(tmp_path.glob("my-*.zip"))
        live = [output for output in outputs(found) if "image/png" in output.get("data", {})]
        assert live, "the loss plot below the cell"
