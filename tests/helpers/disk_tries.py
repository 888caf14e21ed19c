"""Commands on disks that fail and under odd names: each try ends well or in one clear error, and nothing is lost.

    python -m tests.helpers.disk_tries [--tries 100] [--seed 1]

Each try gives one command one fault: a disk that takes no more from some write on (full, read-only, broken),
a small disk (a limit on the size of files), a folder that is removed meanwhile, or an odd name for what is read or
written. Files of the user, an earlier run and its weights must be as before. Prints every fault, and ends with one JSON
line of counts; exits 1 if there was a fault. Linux and macOS.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from click.testing import CliRunner

from gpt2simple.cli.group import cli
from gpt2simple.runs.writer import RunWriter
from tests.helpers.run_folders import disk_operations
from tests.helpers.small_runs import QUICK, as_options, write_model_and_text, write_text

NAMES = (
    "a\nb", "-x", "--help", "\U0001f600", "n" * 255, "n" * 256, "\u00fc" * 200, "dot.", "blank ", " ", ".", "..", "...",
    "CON", "a:b", "a/../b", "none/there", "~", "~nobody", "a*b?", "[a]", "a%20b", "a\x1b[31mb", "a\u202eb", "A",
    "\udce9", "loop", "dangling", "socket", "folder", "precious", "text.txt", "text.txt/x", "/dev/null", "/dev/full",
    "/proc/x", "", "$(touch x)", "a;b", "a'b\"c",
)  # fmt: skip
SMALL = ["--model-name=small", "--model-dir=."]
TRAINING = [*SMALL, *as_options(QUICK), "--steps", "2", "--save-every", "1"]
CLASSES = [*SMALL, *as_options({k: v for k, v in QUICK.items() if k != "sample_every"}), "--steps=2", "--save-every=1"]
RUNS = ("done", "classes")

# The words of each command, from the names of what it reads and writes.
COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "finetune": lambda text, out: ["finetune", *TRAINING, "--run-name", out, "--", text],
    "finetune, go on": lambda text, _: ["finetune", "--run-name=done", "--steps=3", "--model-dir=.", "--", text],
    "encode": lambda text, out: ["encode", *SMALL, f"--out-path={out}", "--", text],
    "tokenizer": lambda text, out: ["tokenizer", f"--folder={out}", "--vocab-size", "300", "--", text],
    "generate": lambda text, out: [
        "generate", "--run-name", "done", "--length", "3", "--seed", "1", f"--destination-path={out}"
    ],
    "generate from a run": lambda text, out: ["generate", f"--run-name={out}", "--length", "3", "--seed", "1"],
    "report": lambda text, out: ["report", f"--destination-path={out}", "done"],
    "report on a run": lambda text, out: ["report", "--dataset", text, "--", out],
    "evaluate": lambda text, out: ["evaluate", "--run-name", "done", "--part", "all", "--", text],
    "finetune-classifier": lambda text, out: [
        "finetune-classifier", *CLASSES, "--run-name", out, "--", text, "other.txt"
    ],
    "finetune-classifier, go on": lambda text, _: [
        "finetune-classifier", "--run-name=classes", "--steps=3", "--model-dir=.", "--", text, "other.txt"
    ],
    "classify": lambda text, _: ["classify", "--run-name=classes", "--csv", f"--file={text}"],
    "report on a classifier": lambda _, out: ["report", f"--destination-path={out}", "classes"],
    "download": lambda text, out: ["download", "--model-name", "tiny", f"--model-dir={out}"],
    "compare": lambda text, out: [
        "compare", *SMALL, "--model-name=other", f"--name={out}", "--tokens=64", "--window=8", "--batch-size=2",
        "--nsamples=1", "--evaluations=1", "--", text,
    ],
}  # fmt: skip
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES, errno.EDQUOT, errno.ENOENT)


def _make_place(folder: Path) -> None:
    """A folder with models, two texts, a run of two steps of each task, and things of the user's."""
    write_model_and_text(folder)
    shutil.copytree(folder / "small", folder / "other")
    with contextlib.chdir(folder):
        write_text(Path("other.txt"), seed=1)
        for command, name in (("finetune", "done"), ("finetune-classifier", "classes")):
            result = CliRunner().invoke(cli, COMMANDS[command]("text.txt", name))
            assert result.exit_code == 0, result.output
        for path in (Path("precious"), Path("checkpoint", "precious")):
            path.write_text("precious")
        Path("folder").mkdir()
        Path("folder", "precious").write_text("precious")


def _add_odd_entries(folder: Path) -> None:
    for place in (folder, folder / "checkpoint"):
        os.symlink("loop", place / "loop")
        os.symlink("nowhere", place / "dangling")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as made, contextlib.chdir(place):
            made.bind("socket")


def _kept(folder: Path) -> dict[str, Any]:
    """What no command may change: everything of the user's, and a whole checkpoint of each run."""
    latest = [RunWriter(folder / "checkpoint" / name).latest() for name in RUNS]
    kept = [
        *folder.glob("**/precious"),
        folder / "text.txt",
        folder / "other.txt",
        *folder.glob("small/*"),
        *folder.glob("other/*"),
    ]
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in kept if path.is_file()}
    return {**contents, "latest": all(found is not None and found.step >= 2 for found in latest)}


@contextlib.contextmanager
def _limited(n_bytes: int) -> Iterator[None]:
    """No file grows beyond this, as on a small disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _failing(operation: int, code: int) -> Callable[[str], None]:
    left = operation

    def before(name: str) -> None:
        nonlocal left
        left -= name in ("open", "write", "mkdir", "fsync", "link", "replace")
        if left <= 0 and name != "unlink" and name != "rmdir":
            raise OSError(code, os.strerror(code))

    return before


def _removing(operation: int, folders: list[Path]) -> Callable[[str], None]:
    left = operation

    def before(_name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    return before


def attempt(draw: Random, place: Path) -> dict[str, Any]:
    """One command with one fault, in a place of its own."""
    command = draw.choice(list(COMMANDS))
    fault = draw.choice(("failing", "small", "vanishing", "odd output", "odd output", "odd input"))
    text, out = "text.txt", draw.choice(("new", "new.html", "new/inside"))
    if command in ("generate from a run", "report on a run"):
        out = "done"
    with contextlib.ExitStack() as held:
        detail: Any = ""
        if fault == "failing":
            code, operation = draw.choice(ERRORS), int(10 ** draw.uniform(0, 2))
            held.enter_context(disk_operations(_failing(operation, code)))
            detail = [errno.errorcode[code], operation]
        elif fault == "small":
            detail = int(10 ** draw.uniform(0, 6))
            held.enter_context(_limited(detail))
        elif fault == "vanishing":
            detail = int(10 ** draw.uniform(0, 2))
            gone = [place / name for name in ("cache", "new", f"checkpoint/{out}", f"checkpoint/{out}/step-000001")]
            gone = [path for path in gone if path.name not in RUNS]
            held.enter_context(disk_operations(_removing(detail, gone)))
        elif fault == "odd output":
            out = detail = draw.choice(NAMES)
        else:
            text = detail = draw.choice(NAMES)
        result = CliRunner().invoke(cli, COMMANDS[command](text, out))
    error = result.exception
    told = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    outcome = "done" if result.exit_code == 0 else "refused"
    if error is not None and not isinstance(error, SystemExit):
        outcome = f"foreign: {type(error).__name__}: {str(error)[:200]}"
    elif result.exit_code != 0 and (not told or "[Errno" in told[-1] or len(told[-1]) > 1500):
        outcome = f"unclear: {result.output[-300:]}"
    return {"command": command, "fault": fault, "detail": detail, "outcome": outcome, "told": (told or [""])[-1][:160]}


def run(tries: int, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """All tries, each in a copy of the same place."""
    _make_place(folder / "whole")
    os.environ["GPT2SIMPLE_CACHE"] = "cache"
    wanted = _kept(folder / "whole")
    for number in range(tries):
        place = Path(shutil.copytree(folder / "whole", folder / "tried"))
        _add_odd_entries(place)
        signal.alarm(120)
        with contextlib.chdir(place):
            found = attempt(Random(f"{seed} {number}"), place)
        signal.alarm(0)
        if _kept(place) != wanted:
            found["outcome"] = "lost"
        yield {"try": number, **found}
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="print what came of every try")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for found in run(options.tries, options.seed, Path(folder)):
            kind = found["outcome"].split(":")[0]
            counts[kind] += 1
            if options.all or kind not in ("done", "refused"):
                print(json.dumps(found), flush=True)
    print(json.dumps({"tries": options.tries, "seed": options.seed, **counts}))
    sys.exit(0 if counts.keys() <= {"done", "refused"} else 1)


if __name__ == "__main__":
    main()
