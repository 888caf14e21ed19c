"""The heavy packages that each command loads, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2simple.backend import process
from gpt2simple.backend.tensorflow import importing
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import write_model_and_text

TENSORFLOW = {"tensorflow"}
TRAINING = {"tensorflow", "tf_keras", "tensorboard"}
COMMANDS = {
    "--help": set[str](),
    "generate --help": set[str](),
    "download tiny": set[str](),
    "check text.txt": set[str](),
    "encode text.txt --model-name models/small": set[str](),
    "tokenizer text.txt --vocab-size 300": set[str](),
    "info": TENSORFLOW,
    "generate --model-name models/small --length 3": TENSORFLOW,
    "evaluate text.txt --model-name models/small": TENSORFLOW,
    "score abc --model-name models/small": TENSORFLOW,
    "finetune text.txt --model-name models/small --steps 1 --window 16 --sample-every 0": TRAINING,
}
PROGRAM = """
import atexit, gc, sys
atexit.register(lambda: print("LOADED", *sorted(HEAVY & {name.partition(".")[0] for name in sys.modules})))
atexit.register(lambda: print("FROZEN", gc.get_freeze_count()))
from gpt2simple.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    write_model_and_text(folder, "models/small")
    return folder


ALIKE = [command for command in COMMANDS if command.split()[0] in ("evaluate", "score")]  # to `generate`


@pytest.mark.parametrize(
    "command", [pytest.param(line, marks=pytest.mark.slow) if line in ALIKE else line for line in COMMANDS]
)
def test_a_command_loads_what_it_needs(place: Path, command: str) -> None:
    # transformers asks there for tf_keras in place of Keras 3, for whatever process comes after it.
    kept = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    program = PROGRAM.replace("HEAVY", repr(TRAINING | {"transformers", "tensorflow_datasets", "pyarrow"}))
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()], cwd=place, capture_output=True, text=True, check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": "cache"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert set(line.split()[1:]) == COMMANDS[command]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FROZEN")]
    assert (int(line.split()[1]) > 100_000) == bool(COMMANDS[command]), "what imports made is collected in vain"


@pytest.mark.parametrize("is_a_command", [True, False])
def test_the_objects_of_a_program_stay_in_its_collections(monkeypatch: pytest.MonkeyPatch, is_a_command: bool) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(process, "is_a_command", is_a_command)
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(True))
    with importing():
        pass
    assert frozen == [True] * is_a_command
