"""Whether commands that are stopped at any instant lose, tear or leave anything behind.

    python benchmarks/kill_commands.py [--commands NAME ...] [--signals NAME ...] [--times 50] [--seed 1]

Runs each command in a process that gets SIGKILL, SIGTERM or SIGINT (Ctrl-C) at a random instant of its work, then again
to the end. Afterwards the folder, the models, the runs and the cache must hold what an undisturbed run leaves, file for
file: no temporary file, no lock, nothing of the user's replaced. Right after the kill no file may be torn: those under
final names are whole. SIGTERM ends with 143 and Ctrl-C with 130, without a traceback.

The processes are copies of this one, which has imported TensorFlow: the instants are spread over the work, not over the
imports. Needs no network: a small server publishes a model, slowly. A stop that came after the end is repeated. Prints
a line for each command and ends with one JSON line; exits 1 where something was found. Linux and macOS.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import functools
import hashlib
import json
import os
import random
import re
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kill_resume import make_model
from killing import Copy, warm_up

from gpt2simple.testing import sample_text

EXIT_CODES = {"SIGKILL": (-9,), "SIGTERM": (-15, 143), "SIGINT": (130,)}  # a shell calls -15 143
TIMES = ("seconds", "memory_bytes")  # in JSON: how long and how much it took is not compared
ADDRESS = "GPT2SIMPLE_BENCH_ADDRESS"  # environment variable: the server's
PUBLISHED = {
    "config.json": b"{}",
    "vocab.json": b'{"a": 0}',
    "merges.txt": b"#\n",
    "model.safetensors": random.Random(0).randbytes(1 << 20),
}


COMPILED = "cache/compiled/*/*@*.pb"  # what XLA compiled, by any of the runs


@dataclass(frozen=True)
class Command:
    """A command, and what of its outputs is the same each time.

    Attributes:
        arguments: of the command line; work: in place of it.
        same: patterns of the files whose content is compared, the others only by name; ignored: not even that.
        growing: a file that gets whole samples one by one, and is the user's from the first on.
    """

    arguments: tuple[str, ...] = ()
    work: Callable[[], Any] | None = None
    same: tuple[str, ...] = ("*",)
    ignored: tuple[str, ...] = ()
    growing: str = ""

    def start(self, folder: Path, said: Path) -> Copy:
        return Copy(functools.partial(self._run, folder), said)

    def _run(self, folder: Path) -> None:
        os.chdir(folder)
        os.environ["GPT2SIMPLE_CACHE"] = "cache"
        sys.argv = ["gpt2simple", *self.arguments]
        (self.work or run_command)()


def run_command() -> None:
    """As ``python -m gpt2simple`` does with the words in ``sys.argv``."""
    runpy.run_module("gpt2simple", run_name="__main__")


def download() -> None:
    """What the command does, of a small model."""
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.gpt2.hub.download import _fetch_model
    from gpt2simple.gpt2.hub.registry import KnownModel, PublishedFile

    known = KnownModel(
        name="124M",
        config=ModelConfig(n_vocab=8, n_ctx=8, n_embd=4, n_head=1, n_layer=1),
        hub_repo="org/small",
        hub_revision="c0ffee",
        hub_files=tuple(
            PublishedFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in PUBLISHED.items()
        ),
    )
    folder = Path("models/124M")
    try:
        _fetch_model(known, folder, source="huggingface", base_url=os.environ[ADDRESS], progress=False)
    except KeyboardInterrupt:  # as the command line does
        sys.exit(130)


class SlowServer(BaseHTTPRequestHandler):
    """Publishes the model's files, from any byte on, some at a time."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the other side was killed
            super().handle()

    def do_GET(self) -> None:
        content = PUBLISHED[self.path.rsplit("/", 1)[-1]]
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        for first in range(start, len(content), 1 << 16):
            self.wfile.write(content[first : first + (1 << 16)])
            time.sleep(0.02)


COMMANDS = {
    "encode": Command(("encode", "long.txt", "--model-name", "tiny"), ignored=("cache/keys/*",)),
    "download": Command(work=download),
    "tokenizer": Command(
        ("tokenizer", "text.txt", "--vocab-size", "400", "--n-layer", "2", "--n-head", "2", "--n-embd", "64")
    ),
    "report": Command(("report", "run1"), ignored=("cache/keys/*",)),
    "compare": Command(
        ("compare", "text.txt", "--model-name", "model", "--model-name", "other", "--tokens", "4000",
         "--evaluations", "4", "--nsamples", "2", "--length", "30", "--window", "16", "--precision", "float32"),
        same=("*.txt", "*/compare.json", "*/train.jsonl", "*/held-out.jsonl", "*/model.safetensors"),
        ignored=("*/tensorboard/*", "cache/keys/*"),
    ),
    "generate": Command(
        ("generate", "--run-name", "run1", "--seed", "1", "--nsamples", "12", "--batch-size", "2", "--length", "60",
         "--destination-path", "out.txt"),
        growing="out.txt",
    ),
}  # fmt: skip


def prepare(folder: Path, said: Path) -> None:
    """What every command starts from: texts, two models, a finished run, and files of the user's that must stay."""

    def work() -> None:
        import gpt2simple

        os.chdir(folder)
        os.environ["GPT2SIMPLE_CACHE"] = "cache"
        Path("text.txt").write_text(sample_text(sentences=150), encoding="utf-8")
        Path("long.txt").write_text(sample_text(sentences=40_000), encoding="utf-8")
        make_model(Path("model"))
        shutil.copytree("model", "other")
        gpt2simple.finetune("text.txt", model_name="model", steps=20, eval_every=5, sample_every=10, seed=1, window=16)
        for name in ("notes.txt", ".tmp-notes", "cache/notes.txt", "checkpoint/notes.txt", "models/124M/notes.txt"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text("mine\n")

    if Copy(work, said).wait():
        sys.exit(f"Preparing failed:\n{said.read_text()}")


def contents(folder: Path, command: Command) -> dict[str, Any]:
    """Each file's content, or only its name, in a form that can be compared."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(fnmatch.fnmatch(name, pattern) for pattern in (*command.ignored, COMPILED)):
            continue
        if not any(fnmatch.fnmatch(name, pattern) for pattern in command.same):
            found[name] = None
        elif path.suffix == ".json":
            found[name] = _without_times(json.loads(path.read_bytes()))
        else:
            found[name] = path.read_bytes()
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(item) for name, item in value.items() if name not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def hidden(name: str) -> bool:
    """Whether a file is known by its name to be unfinished."""
    return any(part.startswith(".") or part.endswith((".lock", ".new")) for part in Path(name).parts)


def after_the_stop(folder: Path, command: Command, expected: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """The files that are torn; a growing one is moved away, as its user would do."""
    torn = []
    if command.growing and (folder / command.growing).exists():
        text = (folder / command.growing).read_bytes()
        (folder / command.growing).unlink()
        whole = expected[command.growing]
        if not text or not whole.startswith(text) or not text.endswith(b"=\n"):
            torn.append(f"{command.growing}: {len(text)} bytes")
    try:
        found = contents(folder, command)
    except ValueError as error:
        return [*torn, f"JSON: {error}"]
    for name, content in found.items():
        if name in before:
            torn += [name] if content != before[name] and content != expected.get(name) else []
        elif "*" in command.same and not hidden(name) and content != expected.get(name):
            torn.append(name)
    return torn


def stop_again_and_again(
    name: str, number: signal.Signals, times: int, base: Path, draw: random.Random
) -> dict[str, Any]:
    """Figures on one command and one signal."""
    command, work, said = COMMANDS[name], base.parent / "work", base.parent / "said"

    def begin() -> Copy:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(base, work)
        return command.start(work, said)

    seconds = []
    for _ in range(2):
        began = time.monotonic()
        if begin().wait():
            sys.exit(f"{name} failed:\n{said.read_text()}")
        seconds.append(time.monotonic() - began)
    before, expected = contents(base, command), contents(work, command)
    odd = [
        f for f in expected if f not in before and hidden(f) and not f.startswith("checkpoint/")
    ]  # a run's .lock stays
    problems: list[str] = [f"undisturbed: {f} is left" for f in odd]
    stopped = 0
    for _ in range(3 * times):
        if stopped == times:
            break
        child, instant = begin(), draw.uniform(0, min(seconds))
        time.sleep(instant)
        child.send(number)
        status, text = child.wait(), said.read_text(errors="replace")
        if status == 0:
            continue
        stopped += 1
        where = f"{name}, {number.name} after {instant:.2f} s"
        if status not in EXIT_CODES[number.name] or "Traceback" in text:
            problems.append(f"{where}: status {status}, {text[-2000:]!r}")
        problems += [f"{where}: {f} is torn" for f in after_the_stop(work, command, expected, before)]
        if command.start(work, said).wait():
            problems.append(f"{where}: the next run failed: {said.read_text()[-2000:]!r}")
            continue
        found = contents(work, command)
        problems += [f"{where}: {f} is lost" for f in expected if f not in found]
        problems += [f"{where}: {f} is left" for f in found if f not in expected]
        problems += [f"{where}: {f} differs" for f in found if f in expected and found[f] != expected[f]]
    for problem in problems:
        print(f"  {problem}")
    print(
        f"{name}: {number.name} {stopped} times in {min(seconds):.1f} s of work, {len(problems)} problems", flush=True
    )
    return {"command": name, "signal": number.name, "stopped": stopped, "problems": problems}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS), metavar="NAME")
    parser.add_argument("--signals", nargs="*", default=list(EXIT_CODES), choices=list(EXIT_CODES), metavar="NAME")
    parser.add_argument("--times", type=int, default=50, help="stops of each command by each signal")
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    options = parser.parse_args()
    draw, rows = random.Random(options.seed), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowServer)
    server.daemon_threads = True
    os.environ[ADDRESS] = f"http://127.0.0.1:{server.server_address[1]}"
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name, "base")
        base.mkdir()
        prepare(base, Path(name, "said"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for command in options.commands:
            for number in map(signal.Signals.__getitem__, options.signals):
                rows.append(stop_again_and_again(command, number, options.times, base, draw))
    problems = sum(len(row["problems"]) for row in rows)
    print(json.dumps({"benchmark": "kill_commands", "stops": sum(row["stopped"] for row in rows), "rows": rows}))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
