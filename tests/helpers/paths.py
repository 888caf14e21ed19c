"""Where the files are that tests read: the project's own, and what environment variables name outside it."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
PACKAGE = ROOT / "gpt2simple"
TINY = PACKAGE / "gpt2" / "tiny"  # the built-in model; some checkouts lack it
GOLDEN = TESTS / "golden"
EXAMPLES = ROOT / "examples"
SCRIPT = EXAMPLES / "script.txt"  # what the examples fine-tune on
BENCHMARKS = ROOT / "benchmarks"


def from_environment(variable: str, what: str) -> Path:
    """The path in an environment variable; without it the test that asks is skipped, and told what is missing."""
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set: it names {what}")
    return Path(path)


def outside_data(*parts: str) -> Path:
    """A path in the folder of data that others published."""
    what = "a folder with GPT-2's vocabulary, texts, known answers and others' checkpoints"
    return from_environment("GPT2SIMPLE_TEST_DATA", what).joinpath(*parts)
