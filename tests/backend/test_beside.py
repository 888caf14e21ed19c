"""What is computed in another thread, while the program goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpt2simple.backend.tensorflow import own_context, quiet_stderr, start_beside, tf
from tests.helpers.paths import ROOT


def test_it_computes_in_a_thread_of_its_own_and_gives_its_result_at_each_call() -> None:
    ran = []

    def compute() -> int:
        ran.append((threading.current_thread() is threading.main_thread(), tf.executing_eagerly()))
        return 7

    with own_context():
        result = start_beside(compute)
        assert (result(), result()) == (7, 7)
    assert ran == [(False, True)]


def test_what_fails_is_raised_where_it_is_waited_for() -> None:
    def compute() -> None:
        raise ValueError("beside")

    result = start_beside(compute)
    with pytest.raises(ValueError, match="beside"):
        result()


def test_where_the_program_has_switched_tensorflow_2_off_it_waits_to_be_asked_for() -> None:
    ran = []
    tf.compat.v1.disable_resource_variables()
    try:
        with own_context():
            result = start_beside(lambda: ran.append(threading.current_thread() is threading.main_thread()))
            assert ran == []
            result()
            result()
    finally:
        tf.compat.v1.enable_resource_variables()
    assert ran == [True]


def test_what_the_program_writes_meanwhile_is_not_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    holds, written = threading.Event(), threading.Event()

    def compute() -> None:
        with quiet_stderr():
            holds.set()
            assert written.wait(10)

    result = start_beside(compute)
    assert holds.wait(10)
    print("a line of the program", file=sys.stderr, flush=True)
    written.set()
    result()
    assert capfd.readouterr().err == "a line of the program\n"


def test_two_threads_that_hold_stderr_back_give_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2)

    def hold() -> None:
        with quiet_stderr():
            both.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("afterwards", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "afterwards\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        pytest.param(
            "CheckpointError('torn. Copy it again.')", 1, "Error: torn. Copy it again.\n", marks=pytest.mark.slow
        ),
        ("KeyboardInterrupt()", 130, "Interrupted.\n"),
    ],
)
def test_a_command_that_fails_meanwhile_says_so(tmp_path: Path, error: str, code: int, line: str) -> None:
    """The process ends at once after a command: what it wrote must have arrived."""
    program = (
        "import sys; from gpt2simple.errors import CheckpointError\n"
        "from gpt2simple.generation.batch import CachedBatch\n"
        "read = CachedBatch.prefill\n"
        f"def prefill(*arguments):\n    read(*arguments)\n    raise {error}\n"
        "CachedBatch.prefill = prefill\n"
        "sys.argv = ['gpt2simple', 'generate', '--model-name', 'tiny', '--seed', '1']\n"
        "from gpt2simple.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.endswith(line)
