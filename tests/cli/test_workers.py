"""``--workers``: what is refused, what the processes get, whose output is shown, signals and exit codes.

The processes run small programs here, without TensorFlow.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gpt2simple.cli import workers
from gpt2simple.cli.group import cli
from gpt2simple.cli.workers import run_in_processes
from tests.helpers.paths import ROOT

NUMBER = "import json, os, sys, time; number = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"


def program(lines: str) -> list[str]:
    return [sys.executable, "-c", NUMBER + textwrap.dedent(lines)]


def command(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize("name", ["finetune", "finetune-classifier"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "0"], r"Invalid value for '--workers': 0 is not in the range x>=1"),
        (
            ["--workers", "2", "--strategy", "mirrored"],
            r"--workers 2 starts workers, and --strategy mirrored uses none;",
        ),
        (["--workers", "2", "--strategy", "single"], r"--workers 2 starts workers, and --strategy single uses none;"),
    ],
)
def test_what_is_refused(name: str, options: list[str], message: str) -> None:
    result = command(name, "a.txt", *options)
    assert result.exit_code == 2
    assert re.search(message, result.output)


@pytest.mark.parametrize("words", [["-"], ["a.txt", "-"]])
def test_standard_input_is_read_once(words: list[str]) -> None:
    result = command("finetune", *words, "--workers", "2")
    assert (result.exit_code, "standard input - can be read once. Write the text to a file." in result.output) == (
        2,
        True,
    )


def test_workers_that_the_environment_names_are_not_mixed_with_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{}")
    result = command("finetune", "a.txt", "--workers", "2")
    assert result.exit_code == 2
    assert "TF_CONFIG in the environment names others; leave out the option" in result.output


def test_only_commands_that_train_have_it() -> None:
    having = {name for name, one in cli.commands.items() if any(p.name == "workers" for p in one.params)}
    assert having == {"finetune", "finetune-classifier"}


def test_the_command_runs_again_with_the_words_that_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(workers, "run_in_processes", lambda *given, **named: seen.append((given, named)) or 3)
    words = ["finetune", "a.txt", "--workers", "2", "--run_name", "x", "--threads", "1", "--strategy", "multiworker"]
    assert command(*words).exit_code == 3
    assert command("--debug", "finetune", "a.txt", "--workers=3").exit_code == 3
    assert seen == [
        (([sys.executable, "-P", "-m", "gpt2simple", *words], 2), {"threads": 1}),
        (
            ([sys.executable, "-P", "-m", "gpt2simple", "--debug", "finetune", "a.txt", "--workers=3"], 3),
            {"threads": None},
        ),
    ]


def test_one_worker_is_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "run_in_processes", lambda *_, **__: pytest.fail("no process is needed"))
    assert "There is no file 'none.txt'" in command("finetune", "none.txt", "--workers", "1").output


def test_a_worker_takes_its_threads_and_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2simple.api import functions

    seen = []
    monkeypatch.setattr(workers, "end_with_parent", lambda stream: seen.append("watches"))
    monkeypatch.setattr(functions, "finetune", lambda dataset, **settings: seen.append(settings) or sys.exit(0))
    monkeypatch.setenv("GPT2SIMPLE_WORKER", "3")
    command("finetune", "a.txt", "--workers", "2", "--steps", "5")
    assert seen == ["watches", {"steps": 5, "threads": 3, "strategy": "multiworker"}]


def test_each_gets_its_number_threads_and_the_same_addresses(tmp_path: Path) -> None:
    write = f"""
        config = json.loads(os.environ["TF_CONFIG"])
        with open({str(tmp_path)!r} + f"/{{number}}.json", "w") as file:
            json.dump([config, os.environ["GPT2SIMPLE_WORKER"]], file)
        """
    assert run_in_processes(program(write), 3, threads=None) == 0
    told = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(3)]
    clusters = [config["cluster"] for config, _ in told]
    assert clusters[0] == clusters[1] == clusters[2]
    assert len(set(clusters[0]["worker"])) == 3
    assert [config["task"] for config, _ in told] == [{"type": "worker", "index": number} for number in range(3)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert {threads for _, threads in told} == {str(max(cores // 3, 1))}
    assert run_in_processes(program(write), 2, threads=7) == 0
    assert json.loads((tmp_path / "1.json").read_text())[1] == "7"


def test_the_chiefs_output_is_shown_and_the_others_kept(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(program("print('out', number); print('err', number, file=sys.stderr)"), 2, threads=1) == 0
    assert capfd.readouterr() == ("out 0\n", "err 0\n")


def test_the_last_lines_of_a_worker_that_failed_first(capfd: pytest.CaptureFixture[str]) -> None:
    lines = """
        if number == 1:
            print(*range(30), sep="\\n")
            sys.exit("Error: no room")
        time.sleep(1)
        sys.exit(5)
        """
    assert run_in_processes(program(lines), 2, threads=1) == 1
    said = capfd.readouterr().err.splitlines()
    assert re.match(
        r"Worker 1 \(127\.0\.0\.1:\d+\) ended with exit code 1\. The last 10 lines that it wrote:$", said[0]
    )
    assert "  Error: no room" in said
    assert len(said) == 11


def test_a_killed_worker_and_one_that_wrote_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(program("os.kill(os.getpid(), 9) if number else time.sleep(1)"), 2, threads=1) == 137
    assert re.match(r"Worker 1 \(\S+\) ended with exit code 137\. It wrote nothing\.\n$", capfd.readouterr().err)


def test_a_killed_chief_could_not_say_so_itself(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(program("time.sleep(1) if number else os.kill(os.getpid(), 9)"), 2, threads=1) == 137
    said = capfd.readouterr().err
    assert re.match(r"Worker 0 \(127\.0\.0\.1:\d+\), the chief, was killed by signal 9\. To continue: run ", said)


def test_the_chiefs_failure_is_its_own_to_tell(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(program("sys.exit(4 if number == 0 else 0)"), 2, threads=1) == 4
    assert run_in_processes(program("sys.exit(2)"), 2, threads=1) == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("of_chief", "code"), [(0, 137), (3, 3)])
def test_those_that_do_not_end_are_ended(monkeypatch: pytest.MonkeyPatch, of_chief: int, code: int) -> None:
    monkeypatch.setattr(workers, "_OTHERS_SECONDS", 0.5)
    monkeypatch.setattr(workers, "_KILL_SECONDS", 0.5)
    deaf = f"""
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600) if number else sys.exit({of_chief})
        """
    assert run_in_processes(program(deaf), 2, threads=1) == code


LAUNCH = """
import sys
from gpt2simple.cli.workers import run_in_processes
sys.exit(run_in_processes([sys.executable, "-c", sys.argv[1]], 2, threads=1))
"""
WAITING = """
import signal, time, sys, os
from gpt2simple.cli.workers import end_with_parent
end_with_parent(sys.stdin)
def end(number, _):
    open(os.environ["SEEN"] + f"/ended-{os.getpid()}-{number}", "w").close()
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
open(os.environ["SEEN"] + f"/started-{os.getpid()}", "w").close()
time.sleep(600)
"""


def seen_in(folder: Path, start: str, count: int) -> list[str]:
    limit = time.monotonic() + 60
    while len(found := sorted(path.name for path in folder.glob(f"{start}-*"))) < count and time.monotonic() < limit:
        time.sleep(0.05)
    return found


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_signals_reach_every_worker_and_none_outlives_the_command(tmp_path: Path, number: signal.Signals) -> None:
    environment = os.environ | {"SEEN": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", LAUNCH, WAITING], env=environment) as launched:
        assert len(seen_in(tmp_path, "started", 2)) == 2
        launched.send_signal(number)
        code = launched.wait(60)
    ended = seen_in(tmp_path, "ended", 2)
    passed = signal.SIGTERM if number == signal.SIGKILL else number
    assert [int(name.rpartition("-")[2]) for name in ended] == [passed, passed]
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
