"""How fast GPT-2 is fine-tuned, and in how much memory, beside other tools on the same machine in the same minutes.

    python benchmarks/training.py [--peers NAME ...] [--cases NAME ...] [--rounds 5] [--steps 3]
                                  [--size tiny] [--rows 4] [--label WORDS]

GPT-2 124M with random weights, steps of 1 x 1,024 uniformly drawn tokens (--size tiny: the built-in model's shape,
1 x 512; --rows: so many windows), default settings, both sides in the precision that the peer's name ends with
("defaults": gpt-2-simple's float32 beside what this package chooses). Every tool runs in a process of its own that
keeps model and optimizer. This package and one peer take turns, a few steps each, so that the machine's moods meet both
alike. Before and after this package's turn a third process multiplies 4,096 x 4,096 matrices
in its precision: the ceiling, the products timed together as the steps are. (The fastest product would meet no
neighbours, the steps do; the share of that is given too.) A figure is the median of the rounds, a ratio the median of
the rounds' ratios, both with lowest and highest.
Compilation is apart: each process's first job, one step, is reported and not counted.

Cases: "speed" (beside each peer); "large" (peak memory of 355M with gradient checkpointing, two steps); "outside" (the
share of a whole `finetune` that is spent outside the compiled step: data, callbacks, logging; looking at the held-out
text and saving checkpoints are not in it).

A peer's Python is named by an environment variable: GPT2SIMPLE_BENCH_TORCH_PYTHON, _KERAS_HUB_PYTHON and
_ORIGINAL_PYTHON (gpt-2-simple). Peers without one are left out, and the output says so. Memory is the highest resident
memory of the process, from getrusage: Linux and macOS. A pair of workers needs up to 12 GB. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from harness import environment, finish, median_and_spread
from peers import Peer, Worker, available, workers

SCRIPTS = Path(__file__).parent / "training_peers"
# Tokens of a window, and the operations for it: 6 a parameter and token, and the half of attention's square that is not
# masked.
WINDOWS = {"124M": (1024, 822e9), "tiny": (512, 12.9e9)}
PRODUCTS = 6  # before and after a turn: of 0.3 s each in bfloat16
_ORIGINAL, _TORCH, _KERAS = (
    f"GPT2SIMPLE_BENCH_{tool}_PYTHON" for tool in ("ORIGINAL", "TORCH", "KERAS_HUB")
)  # variables that name interpreters
PEERS = {  # the last word is the peer's precision, and ours beside it
    "gpt-2-simple float32": Peer(SCRIPTS / "gpt2_simple_worker.py", (), _ORIGINAL),
    "pytorch bfloat16": Peer(SCRIPTS / "pytorch_worker.py", ("bfloat16",), _TORCH),
    "pytorch float32": Peer(SCRIPTS / "pytorch_worker.py", ("float32",), _TORCH),
    "pytorch compiled bfloat16": Peer(SCRIPTS / "pytorch_compiled_worker.py", ("bfloat16",), _TORCH),
    "pytorch compiled float32": Peer(SCRIPTS / "pytorch_compiled_worker.py", ("float32",), _TORCH),
    "keras-hub tensorflow bfloat16": Peer(SCRIPTS / "keras_hub_worker.py", ("tensorflow", "mixed_bfloat16"), _KERAS),
    "keras-hub tensorflow float32": Peer(SCRIPTS / "keras_hub_worker.py", ("tensorflow", "float32"), _KERAS),
    "keras-hub jax bfloat16": Peer(SCRIPTS / "keras_hub_worker.py", ("jax", "mixed_bfloat16"), _KERAS),
    "keras-hub jax float32": Peer(SCRIPTS / "keras_hub_worker.py", ("jax", "float32"), _KERAS),
}
# gpt-2-simple has no other precision: with ours as well, what each does by default can be compared.
DEFAULTS = "gpt-2-simple float32, defaults"
PEERS[DEFAULTS] = PEERS["gpt-2-simple float32"]


def precisions(name: str) -> tuple[str, str]:
    """A peer's, and ours beside it."""
    theirs = "float32" if name == DEFAULTS else name.split()[-1]
    return theirs, "auto" if name == DEFAULTS else theirs


OUTSIDE_SHAPES = {
    "124M": {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_ctx": 1024},
    "11M": {"n_layer": 6, "n_head": 6, "n_embd": 384, "n_ctx": 512},
}  # layers as 124M has them; the vocabulary is that of the text
CASES = ("speed", "large", "outside")


def ours(precision: str, size: str = "124M", *more: str) -> Peer:
    return Peer(SCRIPTS / "ours_worker.py", (precision, size, *more))


def of_shape(peer: Peer, size: str, rows: int) -> Peer:
    """A peer that trains that many windows a step, of a model of that size."""
    shape = {"GPT2SIMPLE_BENCH_SIZE": size, "GPT2SIMPLE_BENCH_ROWS": str(rows)}
    return replace(peer, environ={**peer.environ, **shape})


def products(precision: str) -> Peer:
    return Peer(SCRIPTS / "products_worker.py", (precision,))


def compare(name: str, rounds: int, steps: int, size: str, rows: int) -> dict[str, Any]:
    """Tokens per second and peak memory of this package and one peer, taking turns."""
    tools = {"gpt2simple": ours(precisions(name)[1], size), name: PEERS[name]}
    tokens, work = (steps * rows * of_window for of_window in WINDOWS[size])
    with workers({tool: of_shape(peer, size, rows) for tool, peer in tools.items()}) as running:
        mine, theirs = running["gpt2simple"], running[name]
        first = {tool: worker.run(steps=1) for tool, worker in running.items()}
        with workers({"products": products(first["gpt2simple"]["precision"])}) as third:
            third["products"].run(products=1)
            turns = [_turn(mine, theirs, third["products"], steps) for _ in range(rounds)]
        our_memory, their_memory = (mine.run(steps=1)["peak_bytes"], theirs.run(steps=1)["peak_bytes"])
    speeds = [tokens / turn.mine for turn in turns]
    operations = [work / turn.mine for turn in turns]
    measured = {
        "precision": first["gpt2simple"]["precision"],
        "peer_precision": precisions(name)[0],
        "tokens_per_second": median_and_spread(speeds),
        "peer_tokens_per_second": median_and_spread([tokens / turn.theirs for turn in turns]),
        "ratio": median_and_spread([turn.theirs / turn.mine for turn in turns]),
        "ceiling_operations_per_second": median_and_spread([turn.ceiling for turn in turns]),
        "share_of_ceiling": _shares(operations, [turn.ceiling for turn in turns]),
        "share_of_fastest_product": _shares(operations, [turn.fastest for turn in turns]),
        "peak_bytes": our_memory,
        "peer_peak_bytes": their_memory,
        "memory_ratio": our_memory / their_memory,
        "first_step_seconds": {tool: answer["seconds"] for tool, answer in first.items()},
        "load_seconds": {tool: worker.load_seconds for tool, worker in running.items()},
    }
    _show(name, measured)
    return measured


class Turn(NamedTuple):
    """Seconds of a job here and there, and the ceiling around ours, in operations per second."""

    mine: float
    theirs: float
    ceiling: float
    fastest: float


def _turn(mine: Worker, theirs: Worker, products: Worker, steps: int) -> Turn:
    before = products.run(products=PRODUCTS)
    our_seconds = mine.run(steps=steps)["seconds"]
    after = products.run(products=PRODUCTS)
    their_seconds = theirs.run(steps=steps)["seconds"]
    # The mean of the times, not of the speeds.
    ceiling = 2.0 / sum(1.0 / half["operations_per_second"] for half in (before, after))
    fastest = max(half["fastest_operations_per_second"] for half in (before, after))
    return Turn(our_seconds, their_seconds, ceiling, fastest)


def _shares(ours: list[float], ceilings: list[float]) -> dict[str, Any]:
    return median_and_spread([mine / ceiling for mine, ceiling in zip(ours, ceilings, strict=True)])


def _show(name: str, measured: dict[str, Any]) -> None:
    def line(label: str, key: str, unit: float = 1.0, digits: int = 0) -> None:
        row = measured[key]
        low, median, high = (f"{row[which] / unit:.{digits}f}" for which in ("low", "median", "high"))
        print(f"  {label:34s} {median:>6s}  ({low} to {high})")

    theirs, mine = measured["peer_precision"], measured["precision"]
    print(f"{name}: {theirs}, beside gpt2simple in {mine}; random weights in both")
    line("gpt2simple, tokens/s", "tokens_per_second")
    line(f"{name}, tokens/s", "peer_tokens_per_second")
    line("ratio", "ratio", digits=2)
    line("matrix products, GFLOP/s", "ceiling_operations_per_second", 1e9)
    line("share of that, %", "share_of_ceiling", 0.01, 1)
    line("share of the fastest of them, %", "share_of_fastest_product", 0.01, 1)
    print(
        f"  peak memory, GB                    {measured['peak_bytes'] / 1e9:.2f} to "
        f"{measured['peer_peak_bytes'] / 1e9:.2f}: x {measured['memory_ratio']:.2f}"
    )
    sys.stdout.flush()


def large() -> dict[str, Any]:
    """355M with gradient checkpointing."""
    with workers({"gpt2simple": ours("auto", "355M", "checkpointing")}) as running:
        worker = running["gpt2simple"]
        first = worker.run(steps=1)
        second = worker.run(steps=1)
    print(f"355M with gradient checkpointing: {second['peak_bytes'] / 1e9:.2f} GB, {second['seconds']:.1f} s a step")
    return {
        "precision": first["precision"],
        "peak_bytes": second["peak_bytes"],
        "seconds_per_step": second["seconds"],
        "first_step_seconds": first["seconds"],
    }


def outside(steps: dict[str, int]) -> dict[str, Any]:
    """Share of a whole `finetune` outside the compiled step, by shape."""
    from gpt2simple.api.prepare import make_tokenizer
    from gpt2simple.testing import sample_text

    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        text.write_text(sample_text(20_000), encoding="utf-8")
        for name, shape in OUTSIDE_SHAPES.items():
            model = Path(folder, name)
            make_tokenizer(str(text), model, vocab_size=2048, **shape)
            with workers({name: Peer(SCRIPTS / "whole_call_worker.py", (str(model), str(text)))}) as running:
                measured[name] = running[name].run(steps=steps[name])
            share, seconds = (measured[name][key] for key in ("share_outside_step", "seconds_per_step"))
            print(f"outside the compiled step at {name}: {share:.2%} of {seconds * 1000:.0f} ms a step", flush=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS), metavar="NAME")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps per job")
    parser.add_argument("--size", default="124M", choices=WINDOWS, help="of the case speed")
    parser.add_argument("--rows", type=int, default=1, help="windows per step of that case")
    parser.add_argument("--label", default="training")
    options = parser.parse_args()
    can, cannot = available(PEERS, options.peers)
    result: dict[str, Any] = {
        "weights": "random",
        "size": options.size,
        "windows_per_step": options.rows,
        "operations_per_step": options.rows * WINDOWS[options.size][1],
        "left_out": cannot,
        "rounds": options.rounds,
        "steps_per_job": options.steps,
    }
    if "speed" in options.cases:
        result["beside"] = {
            name: compare(name, options.rounds, options.steps, options.size, options.rows) for name in can
        }
        ratios = [row["ratio"]["median"] for row in result["beside"].values()]
        result["lowest_ratio"] = min(ratios) if ratios else None
    if "large" in options.cases:
        result["355M"] = large()
    if "outside" in options.cases:
        result["outside_step"] = outside({"124M": 20, "11M": 60})
    finish(options.label, environment("tensorflow", "tf-keras", "transformers", "numpy"), result)


if __name__ == "__main__":
    main()
