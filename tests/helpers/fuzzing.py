"""Reading files that were damaged at random: each try ends in a result, or in one clear error, soon, in little memory.

    python -m tests.helpers.fuzzing [--tries 5000] [--seed 1]

Each try damages one file of a whole folder (`mutations`) and reads the folder as the package does. Where digests were
kept, what is read must be what was written. Prints every fault, and ends with one JSON line of counts by kind; exits 1
if there was a fault. Tries run in processes of their own: some readers are not written in Python.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import logging
import lzma
import queue
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from gpt2simple.data.export import encode_csv
from gpt2simple.errors import Gpt2SimpleError
from gpt2simple.evaluation.report.data import run_report
from gpt2simple.evaluation.report.language_models import CompareRow
from gpt2simple.evaluation.report.page import page
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.hub.download import holds_model
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings.text import TextSettings
from gpt2simple.storage.contents import json_text
from gpt2simple.testing import sample_text
from tests.helpers.hostile import LONGEST_MESSAGE
from tests.helpers.mutations import damage_one
from tests.helpers.records import HEALTHY, make_run
from tests.helpers.run_folders import begin
from tests.helpers.texts import BYTES, encode
from tests.helpers.weight_layouts import random_weights, write_keras, write_pytorch, write_tf1

LONGEST_SECONDS = 30
MOST_MEMORY = 1 << 30  # bytes that a try may add to the peak of its process


@dataclass(frozen=True)
class Target:
    """A kind of folder.

    Attributes:
        make: writes it, whole. read: reads it and returns something to compare; the second folder is an empty one.
        kept: whether digests were kept, so that a result must be the whole folder's.
    """

    make: Callable[[Path], None]
    read: Callable[[Path, Path], Any]
    kept: bool = False


def _texts(folder: Path) -> None:
    text, rows = sample_text(40), [f"line {number}, said" for number in range(30)]
    lines = [json.dumps({"text": row, "id": number, "tags": [1, {"a": None}]}) for number, row in enumerate(rows)]
    table = "id,text\n" + "".join(f'{number},"{row}"\n' for number, row in enumerate(rows))
    ids = np.array(BYTES.encode(text[:500]), dtype=np.uint16)
    contents = {
        "a.txt": text, "b.txt": text.encode("utf-16"), "a.csv": table, "a.tsv": table.replace(",", "\t"),
        "a.jsonl": "\n".join(lines), "a.json": f"[{','.join(lines)}]", "a.txt.gz": gzip.compress(text.encode()),
        "a.jsonl.xz": lzma.compress("\n".join(lines).encode()),
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
        archive.writestr("b/c.jsonl", "\n".join(lines))
    np.savez_compressed(folder / "a.npz", ids, ids)
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:  # an extra
        return
    parquet.write_table(pa.table({"id": list(range(30)), "text": rows}), folder / "a.parquet")


def _read_texts(folder: Path, spare: Path) -> Any:
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix == ".csv":
                encode_csv(path, spare / "out.txt", TextSettings(column="text"))
            encode(path, spare / "cache")
        except Gpt2SimpleError as error:
            raise_if_endless(error, folder)
    return None


def _read_weights(folder: Path, _spare: Path) -> Any:
    holds_model(folder)
    with open_checkpoint(folder) as source:
        return [float(source.read(name).sum()) for name in ("wte.weight", "h.1.mlp.c_fc.bias", "ln_f.weight")]


def _vocabulary(folder: Path) -> None:
    Tokenizer.train([sample_text(300)], 300).save(folder)


def _pair(folder: Path) -> None:
    _vocabulary(folder)
    (folder / "tokenizer.json").unlink()


def _read_tokenizer(folder: Path, _spare: Path) -> Any:
    tokenizer = Tokenizer.load(folder)
    return tokenizer.decode(tokenizer.encode("some text, 12 caf\u00e9"))


def _whole_run(folder: Path) -> None:
    begin(folder, 3, 6, best=3)


def _chosen(run: RunFolder) -> Any:
    """Steps are chosen by what is whole, so a damaged run may give another; but each step must be all of that step."""
    for found in (run.best(), run.latest()):
        if found is not None:
            values = [array for _, array in (*found.weights(), *found.optimizer())]
            assert found.state == {"step": found.step}, "state"
            assert all(np.all(np.abs(value) == found.step) for value in values), "values"
    return "whole"


def _read_run(folder: Path, _spare: Path) -> Any:
    run = RunFolder(folder)
    json.dumps(run.info.to_json()).encode()
    run.best_mark()
    run.model_folder()
    return _chosen(run)


def _repair_run(folder: Path, _spare: Path) -> Any:
    run = RunWriter(folder)
    with run.lock():
        run.repair()
        return _chosen(run)


def _reported(folder: Path) -> None:
    text = folder.with_name("text.txt")
    text.write_text(sample_text(100))
    made = make_run(folder.with_name("made"), text, HEALTHY, ["A sample.", "Another one."])
    shutil.copytree(made, folder, dirs_exist_ok=True)


def _read_report(folder: Path, _spare: Path) -> Any:
    report = run_report(folder, RunInfo.read(folder), None, "The text was not found.")
    json_text(report.to_json())
    page([report], [""]).encode("utf-8")
    return None


ROW = CompareRow(
    model_name="a", run_name="b", parameters=10, tokens_per_parameter=1.0, steps=2, best_step=1, bits_per_byte=1.0,
    loss=2.0, standard_error=None, base_bits_per_byte=3.0, gap=None, verdict="fine", copied_share=0.5,
    natural_share=None, longest_copy=9, seconds=1.0, memory_bytes=1000, samples=("text",), copied_spans=(((0, 1),),),
    evaluations=((0.0, 3.0), (10.0, 1.0)),
)  # fmt: skip
ASKED = {"tokens": 100, "window": 8, "learning_rate": 1e-4, "text": "abc", "validation_file": None}


def _comparison(folder: Path) -> Any:
    from gpt2simple.api import compare  # here: loads TensorFlow
    from gpt2simple.api.comparison import Candidate
    from gpt2simple.gpt2.config import ModelConfig
    from gpt2simple.settings import CompareSettings, SessionSettings

    compare._measured = lambda *_: ROW  # type: ignore[assignment]
    comparison = compare.LanguageComparison(
        folder=folder, train_tokens=100, window=8, steps=2, settings=CompareSettings(), place=SessionSettings(),
        cache_dir=None, asked=ASKED,
    )  # fmt: skip
    comparison.begin()
    shape = ModelConfig(n_vocab=9, n_ctx=8, n_embd=4, n_head=2, n_layer=1)
    return lambda: compare._row(Candidate("a", "full", {}), shape, comparison)


def _compared(folder: Path) -> None:
    row = _comparison(folder)
    _write_compared_texts(folder)
    row()


def _write_compared_texts(folder: Path) -> None:
    for name in ("train.jsonl", "held-out.jsonl"):
        path = folder / name
        if not path.is_file() or path.read_bytes() != b'"a text"\n':  # as the call does before it reads the results
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            path.write_bytes(b'"a text"\n')


def _read_comparison(folder: Path, _spare: Path) -> Any:
    _write_compared_texts(folder)
    return asdict(_comparison(folder)())


def _cached(folder: Path) -> None:
    encode(["first text", "second"], folder)
    path = folder.with_name("source.txt")
    path.write_text(sample_text(20))
    encode(path, folder)


def _read_cached(folder: Path, _spare: Path) -> Any:
    found = encode(folder.with_name("source.txt"), folder)
    rows = [found.document_starts, found.document_bytes, found.document_digests]
    digest = hashlib.sha256(found.ids.tobytes()).hexdigest()
    return [found.fingerprint, digest, found.characters, np.stack(rows).tolist()]


TARGETS: dict[str, Target] = {
    "texts": Target(_texts, _read_texts),
    "texts, again": Target(_texts, _read_texts),
    "safetensors": Target(lambda folder: write_pytorch(folder, random_weights(), shards=2), _read_weights),
    "h5": Target(lambda folder: write_keras(folder, random_weights(), safetensors=False), _read_weights),
    "TF1": Target(lambda folder: write_tf1(folder, random_weights()), _read_weights),
    "tokenizer.json": Target(_vocabulary, _read_tokenizer),
    "vocab.json and merges.txt": Target(_pair, _read_tokenizer),
    "run": Target(_whole_run, _read_run, kept=True),
    "run to repair": Target(_whole_run, _repair_run, kept=True),
    "report": Target(_reported, _read_report),
    "comparison": Target(_compared, _read_comparison, kept=True),
    "cache": Target(_cached, _read_cached, kept=True),
}  # fmt: skip


def raise_if_endless(error: Gpt2SimpleError, folder: Path) -> None:
    message = str(error).replace(str(folder), "")
    message.encode("utf-8")
    if len(message) > LONGEST_MESSAGE:
        raise ValueError(f"a message of {len(message)} characters: {message[:200]}") from error


class Fuzzer:
    """Whole folders, and tries on copies of them."""

    def __init__(self, folder: Path, targets: dict[str, Target]) -> None:
        self._folder, self._targets = folder, targets
        self._wanted: dict[str, Any] = {}

    def attempt(self, number: int, seed: int) -> dict[str, Any]:
        """One try: the file, what was done to it, and what came of it: "read", "refused", or a fault."""
        draw = Random(f"{seed} {number}")
        name = list(self._targets)[number % len(self._targets)]
        target, whole = self._targets[name], self._folder / name / "whole"
        if name not in self._wanted:
            whole.mkdir(parents=True)
            target.make(whole)
            first = Path(shutil.copytree(whole, whole.with_name("first"), symlinks=True))
            self._wanted[name] = target.read(first, whole)
        tried, spare = whole.with_name("tried"), whole.with_name("spare")
        for folder in (tried, spare):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, tried, symlinks=True)
        spare.mkdir()
        file, how = damage_one(draw, tried)
        before, started = _peak(), time.monotonic()
        outcome, detail = "read", ""
        try:
            if target.read(tried, spare) != self._wanted[name] and target.kept:
                outcome = "believed"
        except Gpt2SimpleError as error:
            outcome = "refused"
            try:
                raise_if_endless(error, tried)
            except ValueError as wrong:
                outcome, detail = "endless", str(wrong)
        except AssertionError as error:
            outcome, detail = "believed", str(error)
        except BaseException as error:
            outcome, detail = "foreign", f"{type(error).__name__}: {str(error)[:300]}"
        if time.monotonic() - started > LONGEST_SECONDS:
            outcome = "slow"
        if _peak() - before > MOST_MEMORY:
            outcome = "memory"
        return {"try": number, "target": name, "file": file, "how": how, "outcome": outcome, "detail": detail}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _worker(first: int, tries: int, seed: int) -> None:
    logging.getLogger("gpt2simple").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), TARGETS)
        for number in range(first, tries):
            print(json.dumps(fuzzer.attempt(number, seed)), flush=True)


def _attempts(tries: int, seed: int) -> Iterator[dict[str, Any]]:
    """All tries; one that ends its process or does not end is a fault of its own, and the next process goes on."""
    first = 0
    while first < tries:
        command = [sys.executable, "-m", "tests.helpers.fuzzing"]
        command += [f"--worker={first}", f"--tries={tries}", f"--seed={seed}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            lines: queue.Queue[str] = queue.Queue()
            assert process.stdout is not None
            reader = threading.Thread(target=lambda put=lines.put, file=process.stdout: [*map(put, file), put("")])
            reader.start()
            outcome = "crash"
            patience = 20 * LONGEST_SECONDS  # the first try makes the folders
            try:
                while line := lines.get(timeout=patience):
                    found = json.loads(line)
                    first, patience = found["try"] + 1, 4 * LONGEST_SECONDS
                    yield found
            except queue.Empty:
                outcome = "hang"
            process.kill()
            reader.join()
        if first < tries:
            yield {"try": first, "target": list(TARGETS)[first % len(TARGETS)], "outcome": outcome}
            first += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        _worker(options.worker, options.tries, options.seed)
        return
    counts: Counter[str] = Counter()
    by_target: dict[str, Counter[str]] = {name: Counter() for name in TARGETS}
    for found in _attempts(options.tries, options.seed):
        counts[found["outcome"]] += 1
        by_target[found["target"]][found["outcome"]] += 1
        if found["outcome"] not in ("read", "refused"):
            print(found, flush=True)
    print(json.dumps({"tries": options.tries, "seed": options.seed, **counts, "by_target": by_target}))
    sys.exit(0 if counts.keys() <= {"read", "refused"} else 1)


if __name__ == "__main__":
    main()
