"""What other programs answer: scripts of tests/reference and tests/golden, run in environments of their own."""

from __future__ import annotations

import subprocess

from tests.helpers.paths import TESTS, from_environment

PYTHONS = {
    "GPT2SIMPLE_REFERENCE_PYTHON": "a Python with PyTorch, transformers 5 and peft",
    "GPT2SIMPLE_REFERENCE4_PYTHON": "a Python with PyTorch and transformers 4",
    "GPT2SIMPLE_CT2_PYTHON": "a Python with ctranslate2, PyTorch and transformers 4",
    "GPT2SIMPLE_ORIGINAL_PYTHON": "a Python with gpt-2-simple 0.8.1",
    "GPT2SIMPLE_LLAMA_PYTHON": "a Python with llama-cpp-python",
}


def printed_by(script: str, *arguments: object, python: str = "GPT2SIMPLE_REFERENCE_PYTHON") -> str:
    """What a script, named by its path in tests/, prints in the Python that a variable names; it must not fail."""
    interpreter = from_environment(python, PYTHONS[python])
    command = [str(interpreter), str(TESTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
