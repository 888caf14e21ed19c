"""Random values for every argument of every public call, and random command lines: what ends in no error of ours?

    python benchmarks/fuzz.py [--calls 5000] [--lines 5000] [--processes 200] [--seed 1]

Calls and command lines run in this process, the last ones as processes. Each has 30 seconds. Nothing is patched: models
and texts are small, and no value lets a run be long. Prints each fault and ends with one JSON line: how many there were
of calls that ended in an exception that is none of ours, of hangs, and of messages of more than 2,000 characters. Exits
1 where there is a fault. Linux and macOS.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.testing import CliRunner

import gpt2simple
import gpt2simple.compat as compat
from gpt2simple.cli.group import cli
from gpt2simple.errors import Gpt2SimpleError
from gpt2simple.gpt2.container import build_model
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, sample_text
from tests.helpers.models import weight_reader

SECONDS, LONGEST = 30, 2000
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 10**6, 2**31, 2**63, 10**30, 10**5000, 0.0, 0.5, -0.5, 1e-300, 1e300,
    float("nan"), float("inf"), "", " ", ".", "..", "~", "-", "*", "[", "a\0b", "\ud800", "é" * 300, "x" * 10**5,
    "run1", "best", "latest", "fresh", "small", "text.txt", "text.txt/below", "absent/file", "folder", "/dev/null",
    "{0}", "{", "utf-8", "tfds:no", b"bytes", Path("text.txt"), Path("a\0b"), Path("y" * 300), [], [1], ["a", "b"],
    ("a",), {}, {"a": 1}, {1}, object(), object, len, np.int64(2), np.float32(0.5), np.bool_(True), np.array(3),
    np.array([1, 2]), np.str_("a"), 1j, range(3),
)  # fmt: skip
FITTING = {
    "dataset": "text.txt", "model_name": "small", "model_dir": ".", "texts": "a text", "csv_path": "table.csv",
    "model_names": ["small", "other"], "file_path": "text.txt", "steps": 1, "window": 16, "sample_every": 0,
    "length": 2, "combine": 100, "vocab_size": 260, "tokens": 64, "evaluations": 1, "samples": 1, "eval_every": 1,
    "restore_from": "latest",
}  # fmt: skip
# Of these a large number only takes long, and is lowered to 2.
LONG = (
    "steps", "epochs", "length", "nsamples", "sample_length", "sample_num", "nfiles", "tokens", "evaluations",
    "samples", "accumulate_gradients", "batch_size", "early_stopping_patience", "vocab_size", "n_layer", "n_embd",
    "n_ctx",
)  # fmt: skip
NOT_CALLED = ("mount_gdrive", "is_mounted", "cmd", "download_file_with_progress")


class Hang(BaseException):
    """A call took too long; no Exception, so that nothing catches it."""


def make_place(folder: Path) -> None:
    """Models, texts and a run to work with, in the current folder from now on; its parent holds nothing else."""
    folder = folder / "place"
    folder.mkdir()
    os.chdir(folder)
    os.environ["GPT2SIMPLE_CACHE"] = str(folder / "cache")
    os.environ["HF_ENDPOINT"] = os.environ["GPT2SIMPLE_OPENAI_URL"] = "http://127.0.0.1:9"  # nothing is downloaded
    for seed, name in enumerate(("small", "other")):
        model = build_model(SMALL_CONFIG, seed=seed)
        write_model_folder(folder / name, SMALL_CONFIG, weight_reader(model), byte_tokenizer())
    Path("text.txt").write_text(sample_text(60), encoding="utf-8")
    Path("table.csv").write_text("text\nA story.\nAnother.\n", encoding="utf-8")
    Path("folder").mkdir()
    gpt2simple.finetune("text.txt", model_name="small", model_dir=".", steps=1, sample_every=0)


def public_calls() -> list[tuple[str, Callable[..., Any]]]:
    """Every public function, and the methods of a session."""
    of_package = [(name, getattr(gpt2simple, name)) for name in gpt2simple.__all__]
    of_compat = [(f"compat.{name}", getattr(compat, name)) for name in compat.__all__ if name not in NOT_CALLED]
    session = gpt2simple.start_session("small", model_dir=".")
    of_session = [(f"Session.{name}", getattr(session, name)) for name in dir(gpt2simple.Session) if name[0] != "_"]
    calls = [*of_package, *of_compat, *[pair for pair in of_session if pair[0] != "Session.close"]]
    return [(name, call) for name, call in calls if inspect.isroutine(call) and not name.endswith(("_of", "reset"))]


def arguments_for(call: Callable[..., Any], dice: random.Random) -> dict[str, Any]:
    """What fits, and one to three arguments that are odd."""
    names = [p.name for p in inspect.signature(call).parameters.values() if p.kind is not p.VAR_KEYWORD]
    given = {name: FITTING[name] for name in names if name in FITTING}
    if "run_name" in names and "dataset" not in names:
        given.pop("model_name", None)
    if "sess" in names:
        given["sess"] = compat.start_tf_sess()
    for name in dice.sample(names, min(len(names), dice.randint(1, 3))):
        value = dice.choice(ODD)
        # gpt-2-simple's steps=-1 is a run without an end.
        numeric = isinstance(value, (int, float)) and (abs(value) > 3 or (name == "steps" and value < 0))
        given[name] = 2 if name in LONG and numeric and value < 2**63 else value
    return given


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise Hang in the block after half a minute."""

    def stop(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def fault_of_call(call: Callable[..., Any], given: dict[str, Any]) -> tuple[str, str] | None:
    """The kind of fault and what there is to see, or None."""
    try:
        with limited(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = call(**given)
            list(made) if inspect.isgenerator(made) else None
    except Gpt2SimpleError as error:
        return ("long", f"{len(str(error))} characters") if len(str(error)) > LONGEST else None
    except Hang:
        return "hang", ""
    except TypeError as error:
        missing = "missing" in str(error) and "argument" in str(error)  # Python's own word for a call like that
        return None if missing else ("foreign", traceback.format_exc(limit=-4))
    except (Exception, SystemExit):
        return "foreign", traceback.format_exc(limit=-4)
    return None


def random_line(dice: random.Random) -> list[str]:
    """The words of a random command line, which no operating system would refuse."""
    name = dice.choice([*cli.commands, "nonsense"])
    words, command = [name], cli.commands.get(name)
    for parameter in command.params if command is not None else []:
        if parameter.name == "debug":  # shows tracebacks
            continue
        fitting = FITTING.get(parameter.name or "")
        odd = str(dice.choice([value for value in ODD if not isinstance(value, int) or value < 2**63]))
        value = odd if dice.random() < 0.3 else str(fitting if isinstance(fitting, (str, int)) else "run1")
        if isinstance(parameter, click.Argument) and dice.random() < 0.95:
            words.append(value)
        elif isinstance(parameter, click.Option) and (fitting is not None or dice.random() < 0.06):
            if parameter.name in LONG and value.isdigit():
                value = "2"
            words += [parameter.opts[0], *([] if parameter.is_flag else [value])]
    return words


def fault_of_output(text: str) -> tuple[str, str] | None:
    if "Traceback (most recent call last)" in text:
        return "foreign", text[-1500:]
    errors = text[text.rfind("Error: ") :] if "Error: " in text else ""
    return ("long", f"{len(errors)} characters") if len(errors) > LONGEST else None


def fault_of_line(words: list[str]) -> tuple[str, str] | None:
    try:
        with limited():
            done = CliRunner().invoke(cli, words, input=b"\xe9")
    except Hang:
        return "hang", ""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        if isinstance(done.exception, Hang):
            return "hang", ""
        return "foreign", "".join(traceback.format_exception(done.exception, limit=-4))
    return fault_of_output(done.stderr)


def fault_of_process(words: list[str]) -> tuple[str, str] | None:
    command = [sys.executable, "-m", "gpt2simple", *(word.replace("\0", "") for word in words)]
    try:
        encoded = [os.fsencode(word.encode("utf-8", "replace").decode()) for word in command]
        done = subprocess.run(encoded, input=b"\xe9", capture_output=True, check=False, timeout=4 * SECONDS)
    except subprocess.TimeoutExpired:
        return "hang", ""
    return fault_of_output(done.stderr.decode("utf-8", "replace"))


def _tell(text: str) -> None:
    print(text, flush=True)


def fuzz(calls: int, lines: int, processes: int, seed: int, tell: Callable[[str], None] = _tell) -> dict[str, Any]:
    """Run so many of each in the current folder, made by ``make_place``, and count the faults."""
    dice, found, public = random.Random(seed), Counter[str](), public_calls()
    trials: Iterator[tuple[str, Any, Callable[[], tuple[str, str] | None]]] = (
        *(_call_trial(*dice.choice(public), dice) for _ in range(calls)),
        *((words[0][:40], words, lambda words=words: fault_of_line(words)) for words in _lines(lines, dice)),
        *((words[0][:40], words, lambda words=words: fault_of_process(words)) for words in _lines(processes, dice)),
    )  # type: ignore[assignment]
    for name, given, trial in trials:
        fault = trial()
        if fault is not None:
            found[fault[0]] += 1
            tell(f"{fault[0]}: {name} {given if len(str(list(given))) < 600 else '...'!a}\n{fault[1]}")
    kinds = {kind: found[kind] for kind in ("foreign", "hang", "long")}
    return {"seed": seed, "calls": calls, "lines": lines, "processes": processes, **kinds}


def _lines(count: int, dice: random.Random) -> list[list[str]]:
    return [random_line(dice) for _ in range(count)]


def _call_trial(
    name: str, call: Callable[..., Any], dice: random.Random
) -> tuple[str, Any, Callable[[], tuple[str, str] | None]]:
    given = arguments_for(call, dice)
    shown = {
        argument: repr(type(value)) if isinstance(value, int) else repr(value)[:60] for argument, value in given.items()
    }
    return name, shown, lambda: fault_of_call(call, given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("calls", 5000), ("lines", 5000), ("processes", 200), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        make_place(Path(folder))
        found = fuzz(**wanted)
        os.chdir("/")
    print(json.dumps(found))
    sys.exit(1 if found["foreign"] or found["hang"] or found["long"] else 0)


if __name__ == "__main__":
    main()
