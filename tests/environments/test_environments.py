"""Other versions of Python, TensorFlow and the dependencies do the same, and runs go on from one to another."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT, TESTS, from_environment

NAMES = (
    "oldest", "tensorflow-2.18", "tensorflow-2.19", "tensorflow-2.20", "newest", "transformers-5", "no-transformers",
)  # fmt: skip
# Of one TensorFlow, with and without a `TFGPT2LMHeadModel`: runs go on bit for bit.
WITH, WITHOUT = "tensorflow-2.20", ("transformers-5", "no-transformers")


def python_of(name: str) -> Path:
    folder = Path(from_environment("GPT2SIMPLE_ENVIRONMENTS", "a folder made by .ci/environments"))
    if not (folder / name / ".complete").exists():
        pytest.skip(f"{folder} has no environment {name}")
    return folder / name / "bin" / "python"


def exercise(name: str, folder: Path, what: str) -> dict[str, Any]:
    """What tests/environments/exercise.py prints in an environment."""
    command = [str(python_of(name)), str(TESTS / "environments" / "exercise.py"), str(folder), what]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The results of an environment in which everything was done, by name."""
    return functools.cache(lambda name: exercise(name, tmp_path_factory.mktemp(name), "all"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_everything_works(whole: Any, name: str) -> None:
    found = whole(name)
    has_class = name not in WITHOUT
    assert found["model"] == ("TFGPT2LMHeadModel" if has_class else "GPT2Container")
    assert found["report"]
    assert found["shape"][:2] == [1, 3]
    assert found["texts"][0].startswith("The rain")
    assert found["compat"].startswith("The")
    assert ("transformers" in found["versions"]) == (name != "no-transformers")


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT)
def test_the_container_of_ours_holds_the_same_variables_and_trains_to_the_same_weights(whole: Any, name: str) -> None:
    ours, theirs = whole(name), whole(WITH)
    assert ours["versions"]["tensorflow"] == theirs["versions"]["tensorflow"]
    for same in ("weights", "texts", "loss", "score", "variables", "saved", "compat"):
        assert ours[same] == theirs[same], same


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("begun_with_class", [True, False])
def test_a_run_goes_on_in_the_other_environment_bit_for_bit(
    whole: Any, tmp_path: Path, name: str, begun_with_class: bool
) -> None:
    first, second = (WITH, name) if begun_with_class else (name, WITH)
    exercise(first, tmp_path, "begin")
    assert exercise(second, tmp_path, "go-on")["weights"] == whole(WITH)["weights"]
