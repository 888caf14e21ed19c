"""Whether one process can go on for long: memory, open files and compilations over many calls.

    python benchmarks/long_process.py [--trainings 100] [--generations 300] [--evaluations 30] [--model tiny]

Fine-tunes again and again with another learning rate and seed, generates with lengths and batch sizes that vary,
evaluates, all in one process and through the public API. Prints what the process holds after the third call of each
kind and after the last, and ends with one JSON line; exits 1 where memory or files have grown by more than 5 % or
anything was compiled anew. The third generation has used each batch size and length of cache there is.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

MOST_GROWTH = 0.05
WARM_UP = 3  # calls before the first figures
LENGTHS, BATCHES = (8, 40, 100), (1, 2, 4)


def held() -> dict[str, int]:
    """What this process holds: resident bytes, open descriptors, and how often anything was traced."""
    from gpt2simple.gpt2.network.xla import traces

    gc.collect()
    process = psutil.Process()
    files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return {"bytes": process.memory_info().rss, "files": files, "traces": sum(traces.values())}


def repeated(call: Callable[[int], object], times: int) -> dict[str, dict[str, int]]:
    """What is held after the third call with a number from 0 on, and after the last."""
    found = {}
    for number in range(times):
        call(number)
        if number == WARM_UP - 1:
            found["third"] = held()
    found["last"] = held()
    return found


def kept(found: dict[str, dict[str, int]]) -> bool:
    """Whether memory and files stayed within 5 %, and nothing was compiled after the third call."""
    third, last = found["third"], found["last"]
    grown = any(last[name] > third[name] * (1.0 + MOST_GROWTH) for name in ("bytes", "files"))
    return not grown and last["traces"] == third["traces"]


def measure(model: str, trainings: int, generations: int, evaluations: int) -> dict[str, dict[str, dict[str, int]]]:
    """The three kinds of calls, one after the other."""
    import gpt2simple
    from gpt2simple.testing import sample_text

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        text.write_text(sample_text(400), encoding="utf-8")

        def train(number: int) -> None:
            gpt2simple.finetune(
                text, model_name=model, checkpoint_dir=folder, run_name="run", overwrite=True, restore_from="fresh",
                steps=2 + number % 2, learning_rate=1e-4 * (1 + number % 7), seed=number, sample_every=0,
            )  # fmt: skip

        found = {"trainings": repeated(train, trainings)}
        with gpt2simple.start_session(run_name="run", checkpoint_dir=folder) as session:

            def generate(number: int) -> None:
                shapes = [(length, rows) for length in LENGTHS for rows in BATCHES]
                for length, rows in shapes if number < WARM_UP else [shapes[number * 7 % len(shapes)]]:
                    session.generate(length=length, nsamples=rows, batch_size=rows, seed=number)

            found["generations"] = repeated(generate, generations)
            found["evaluations"] = repeated(lambda _: session.evaluate(text), evaluations)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--generations", type=int, default=300)
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    found = measure(options.model, options.trainings, options.generations, options.evaluations)
    for name, figures in found.items():
        for when, values in figures.items():
            megabytes = f"{values['bytes'] / 1e6:.0f} MB, {values['files']} files, {values['traces']} traces"
            print(f"{name}, after the {when}: {megabytes}")
    steady = all(map(kept, found.values()))
    print(json.dumps({"benchmark": "long-process", "model": options.model, **found, "steady": steady}))
    return 0 if steady else 1


if __name__ == "__main__":
    sys.exit(main())
