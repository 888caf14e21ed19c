"""The exceptions: where they are found, and that no message is too long or unprintable."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from gpt2simple import errors
from gpt2simple.errors import Gpt2SimpleError, SettingsError, StorageError

ALL = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Gpt2SimpleError)]


@pytest.mark.parametrize("error", ALL)
def test_a_long_message_keeps_its_beginning_and_its_end(error: type[Gpt2SimpleError]) -> None:
    message = str(error(f"text is {'x' * 108_000}; expected less. Do this."))
    assert len(message) < 1600
    assert message.startswith("text is xxx")
    assert " [...] " in message
    assert message.endswith("; expected less. Do this.")


@pytest.mark.parametrize("error", ALL)
def test_a_short_message_stays_as_it_is(error: type[Gpt2SimpleError]) -> None:
    assert str(error("zoë €5")) == "zoë €5"
    assert str(pickle.loads(pickle.dumps(error("zoë €5")))) == "zoë €5"


def test_half_a_character_is_shown_as_its_code() -> None:
    assert str(SettingsError("a\udce9b")) == "a\\udce9b"
    assert str(StorageError("a\udce9b")) == "a\\udce9b"


def test_the_errors_are_there_after_a_plain_import() -> None:
    script = "import gpt2simple; print(gpt2simple.errors.RunLockedError.__name__, 'errors' in dir(gpt2simple))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("RunLockedError True\n", "")
