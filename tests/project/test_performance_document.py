"""The figures of docs/performance.md and of the README are those of benchmarks/results."""

from __future__ import annotations

import json
from typing import Any

from tests.helpers.paths import BENCHMARKS, ROOT


def words_of(*path: str) -> str:
    """A document as one line."""
    return " ".join(ROOT.joinpath(*path).read_text(encoding="utf-8").split())


DOCUMENT, README = words_of("docs", "performance.md"), words_of("README.md")

TRAINING_PEERS = {  # without the precision
    "gpt-2-simple": "gpt-2-simple 0.8.1",
    "keras-hub tensorflow": "KerasHub on TensorFlow",
    "keras-hub jax": "KerasHub on JAX",
    "pytorch compiled": "PyTorch with torch.compile",
    "pytorch": "PyTorch and transformers' Trainer",
}
GENERATION_PEERS = TRAINING_PEERS | {
    "ctranslate2": "ctranslate2",
    "pytorch": "PyTorch and transformers",
    "llama.cpp": "llama.cpp",
    "transformers tf xla": "transformers' TFGPT2 with XLA",
}
DEFAULTS = "gpt-2-simple float32, defaults"


def results(ending: str) -> list[dict[str, Any]]:
    """The results whose file names end so, oldest first."""
    paths = sorted((BENCHMARKS / "results").glob(f"*-{ending}.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def with_spread(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def lacking(figures: list[str], document: str = DOCUMENT) -> list[str]:
    return [figure for figure in figures if figure not in document]


def test_the_rows_on_training_are_those_of_the_results() -> None:
    for result in results("training-*"):
        for peer, row in result.get("beside", {}).items():
            name, theirs = peer.partition(",")[0].rsplit(" ", 1)
            assert theirs == row["peer_precision"]
            assert peer == DEFAULTS or theirs == row["precision"]
            line = (
                f"| {TRAINING_PEERS[name]} | {theirs} | {row['peer_tokens_per_second']['median']:.0f} "
                f"| {row['precision']} | {row['tokens_per_second']['median']:.0f} "
                f"| {with_spread(row['ratio'])} "
                f"| {row['peer_peak_bytes'] / 1e9:.1f} | {row['peak_bytes'] / 1e9:.1f} |"
            )
            assert line in DOCUMENT


def test_what_else_is_said_of_training_is_too() -> None:
    (large,), (speed,) = results("training-large-outside"), results("training-equal-precisions")
    shares, fastest = (
        [row[key]["median"] for row in speed["beside"].values()]
        for key in ("share_of_ceiling", "share_of_fastest_product")
    )
    assert not lacking(
        [
            f"{large['355M']['peak_bytes'] / 1e9:.1f} GB and {large['355M']['seconds_per_step']:.1f} s a step",
            f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %",
            f"{100 * min(fastest):.0f} to {100 * max(fastest):.0f} %",
            *(f"{row['share_outside_step']:.1%}".replace("%", " %") for row in large["outside_step"].values()),
        ]
    )


def test_the_rows_on_generating_are_those_of_the_results() -> None:
    lines = []
    (result,) = results("generation-equal-precisions")
    for block in result["tokens_per_second"].values():
        rows = block["batch 1"]
        for peer in [peer for peer in rows if not peer.startswith("gpt2simple")]:
            name, precision = peer.rsplit(" ", 1)
            ours = [rows[f"gpt2simple {own}"] for own in ("float32", "bfloat16", "int8")]
            cells = [f"{own['median']:.1f} ({own['times'][peer]:.2f})" for own in ours]
            lines.append(
                f"| {GENERATION_PEERS[name]} | {precision} | {rows[peer]['median']:.1f} | {' | '.join(cells)} |"
            )
    assert lines
    assert not lacking(lines)


def test_the_rows_on_generating_with_the_built_in_model_are_too() -> None:
    lines = []
    (result,) = results("generation-tiny")
    for block in result["tokens_per_second"].values():
        for case, rows in block.items():
            for peer in [peer for peer in rows if not peer.startswith("gpt2simple")]:
                name, precision = peer.rsplit(" ", 1)
                ours = [rows[f"gpt2simple {own}"] for own in ("float32", "bfloat16", "int8")]
                cells = [f"{own['median']:.0f} ({own['times'][peer]:.2f})" for own in ours]
                start = f"| {case.removeprefix('batch ')} | {GENERATION_PEERS[name]} | {precision} "
                lines.append(f"{start}| {rows[peer]['median']:.0f} | {' | '.join(cells)} |")
    assert lines
    assert not lacking(lines)


def several_texts(peers: dict[str, Any]) -> list[str]:
    """The rows on eight and 32 texts."""
    lines = []
    for texts in (8, 32):
        rows = peers[f"batch {texts}"]
        ours = [rows[f"gpt2simple {precision}"] for precision in ("float32", "bfloat16", "int8")]
        cells = [f"{row['median']:.0f} ({row['times']['ctranslate2 float32']:.2f})" for row in ours]
        exact, whole = (f"{rows[f'ctranslate2 {precision}']['median']:.0f}" for precision in ("float32", "int8"))
        lines += [f"| gpt2simple | {texts} | {' | '.join(cells)} |", f"| ctranslate2 | {texts} | {exact} | | {whole} |"]
    return lines


def test_what_else_is_said_of_generating_is_too() -> None:
    (batches,) = results("generation-batches")
    (latency,) = results("generation-latency")
    (beside_llama,) = (found["batch 1"] for found in results("generation-llama")[0]["tokens_per_second"].values())
    whole, exact = beside_llama["llama.cpp int8"], beside_llama["llama.cpp float32"]
    our_whole, our_exact = beside_llama["gpt2simple int8"], beside_llama["gpt2simple float32"]
    (peers,) = batches["tokens_per_second"].values()
    long = latency["tokens_per_second"]["ctranslate2 float32"]["1000 tokens"]
    first = {int(length): row["median"] for length, row in latency["first_token_seconds"].items()}
    short = [seconds for length, seconds in first.items() if length <= 64]
    ours, theirs = long["gpt2simple float32"], long["ctranslate2 float32"]
    assert not lacking(
        [
            *several_texts(peers),
            f"{ours['median']:.1f} tokens/s, ctranslate2 in float32 {theirs['median']:.1f} "
            f"(ratio {ours['times']['ctranslate2 float32']:.2f})",
            f"{min(short):.2f} to {max(short):.2f} s",
            f"{whole['median']:.1f} tokens/s, our int8 {our_whole['median']:.1f} "
            f"({our_whole['times']['llama.cpp int8']:.2f})",
            f"{exact['median']:.1f}, and we {our_exact['median']:.1f} ({our_exact['times']['llama.cpp float32']:.2f})",
            f"{first[512]:.2f} s for a prompt of 512",
        ]
    )


def test_the_rows_on_evaluating_are_those_of_the_result() -> None:
    lines = []
    (result,) = results("evaluating")
    for precision, rows in result["beside"].items():
        ours = rows.pop("gpt2simple")
        for peer, row in rows.items():
            name = {"pytorch": "PyTorch", "pytorch compiled": "PyTorch with torch.compile"}[peer]
            lines.append(
                f"| {name} | {precision} | {row['tokens_per_second']['median']:.0f} "
                f"| {ours['tokens_per_second']['median']:.0f} | {with_spread(row['ratio'])} "
                f"| {row['peak_bytes'] / 1e9:.1f} | {ours['peak_bytes'] / 1e9:.1f} |"
            )
    assert lines
    assert not lacking(lines)


def test_the_figures_of_a_whole_run_are_those_of_the_result() -> None:
    (result,) = results("whole-run")
    kept, empty = (result["finetune"][name] for name in ("cache", "empty cache"))
    assert not lacking(
        [
            f"{kept['whole']['median']:.1f} s with what earlier runs compiled",
            f"{empty['whole']['median']:.1f} s without",
            f"`import tensorflow` alone takes {result['import_tensorflow']['median']:.1f} s",
            f"as long as the median one, {kept['steps']['median']:.1f} s",
            f"{kept['beyond']['median']:.1f} s ({empty['beyond']['median']:.1f} s without)",
        ]
    )


def test_the_figures_of_several_workers_are_those_of_the_results() -> None:
    (result,), (alone,) = results("epyc-workers"), results("beside-before-workers")
    lines = []
    for method, name in (("full", "full"), ("LoRA", "LoRA, rank 16")):
        found = result["methods"][method]
        seconds = [f"{step['median']:.2f}" for step in found["seconds_per_step"].values()]
        shares = [
            f"{100 * share['median']:.0f} % ({100 * share['low']:.0f} to {100 * share['high']:.0f})"
            for share in (found["efficiency"], found["of_the_ideal"])
        ]
        lines.append(f"| {' | '.join([name, *seconds, *shares])} |")
    now, before = (alone["finetune"][name]["whole"] for name in ("cache", "before"))
    lines.append(
        f"{now['median']:.1f} s ({now['low']:.1f} to {now['high']:.1f}), before {before['median']:.1f} "
        f"({before['low']:.1f} to {before['high']:.1f})"
    )
    assert not lacking(lines)


def test_the_figures_of_a_gpu_are_those_of_the_result() -> None:
    (result,) = results("gpu")
    jobs = result["sizes"]["124M"]
    ours, compiled, eager = (jobs["training"][tool] for tool in ("gpt2simple", "pytorch compiled", "pytorch"))
    mine, fastest, plain = (min(tool["seconds_of_20_steps"]) for tool in (ours, compiled, eager))
    speeds = [f"{20 * 1024 / seconds:,.0f}" for seconds in (mine, fastest, plain)]
    memory = [f"{tool['device_peak_bytes'] / 1e9:.2f}" for tool in (ours, compiled, eager)]
    one = {tool: min(row["seconds_of_200_tokens"]) for tool, row in jobs["generating, 1 rows"].items()}
    (eight,) = jobs["generating, 8 rows"]["gpt2simple"]["seconds_of_200_tokens"]
    theirs = f"{200 / one['pytorch']:.0f} ({one['pytorch'] / one['gpt2simple']:.2f})"
    times = f"{fastest / mine:.2f}"
    assert not lacking(
        [
            f"| {speeds[0]} | {speeds[1]} (we: {times} times) | {speeds[2]} ({plain / mine:.2f}) |",
            f"| {' | '.join(memory)} |",
            f"| generating one text, tokens/s | {200 / one['gpt2simple']:.0f} | | {theirs}",
            f"| generating eight texts, tokens/s | {200 * 8 / eight:.0f} |",
        ]
    )
    assert not lacking([f"on an NVIDIA H200, training in bfloat16 had {times} times the speed of PyTorch"], README)


def test_the_figures_on_a_new_process_are_those_of_the_result() -> None:
    (result,) = results("startup")
    rows = result["generate"]
    lines = [f"TensorFlow alone takes {result['import_tensorflow']['median']:.2f} s"]
    for precision in ("float32", "bfloat16", "int8"):
        kept, before = rows[f"{precision}, cache"], rows[f"{precision}, before"]
        times = [f"{figure['median']:.2f} s" for figure in (kept["first"], kept["whole"], before["whole"])]
        peaks = [f"{row['peak_bytes']['high'] / 1e9:.2f}" for row in (kept, before)]
        lines.append(f"| {precision} | {' | '.join([*times, *peaks])} |")
    first = [rows[f"{precision}, empty cache"] for precision in ("float32", "bfloat16", "int8")]
    one, two, three = (f"{row['whole']['median']:.2f}" for row in first)
    lines.append(f"{one}, {two} and {three} s")
    one, two, three = (f"{row['peak_bytes']['high'] / 1e9:.2f}" for row in first)
    lines.append(f"{one}, {two} and {three} GB")
    assert not lacking(lines)


def test_the_figures_on_encoding_and_loading_are_those_of_the_results() -> None:
    (encoding,) = results("data-encoders-windows-memory")
    tools, memory = encoding["encoders"], encoding["memory"]
    ours, library, original = (tools[tool]["median"] for tool in ("gpt2simple", "tokenizers", "gpt-2-simple"))
    windows = encoding["windows"]["batches of 1 x 1024"]["median"]
    lines = [
        f"| {ours:.1f} | {library:.1f} ({ours / library:.1f}) | {original:.1f} ({ours / original:.1f}) |",
        f"took {memory['first']['seconds']:.0f} s and {memory['first']['peak_megabytes'] / 1000:.2f} GB of memory",
        f"took {memory['second']['seconds']:.1f} s",
        f"{windows / 1e6:.0f} million tokens/s",
    ]
    (loading,) = (BENCHMARKS / "results").glob("*-load-memory.jsonl")
    ratios = [f"{json.loads(line)['ratio']:.2f} from" for line in loading.read_text(encoding="utf-8").splitlines()]
    assert not lacking([*lines, *ratios])


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    (speed,) = results("training-equal-precisions")
    (large,) = results("training-large-outside")
    (generating,) = results("generation-equal-precisions")
    (batches,) = results("generation-batches")
    training, original = speed["beside"], speed["beside"][DEFAULTS]
    ratios = {name: f"{row['ratio']['median']:.2f}" for name, row in training.items()}
    rows = {peer: block["batch 1"] for block in generating["tokens_per_second"].values() for peer in block["batch 1"]}
    times = {
        f"{own} {peer}": f"{rows[peer][f'gpt2simple {own}']['times'][peer]:.2f}"
        for own in ("float32", "int8")
        for peer in rows
        if not peer.startswith("gpt2simple")
    }
    (blocks,) = batches["tokens_per_second"].values()
    eight = {tool: f"{row['median']:.0f}" for tool, row in blocks["batch 8"].items()}
    adapters = {
        name: f"{result['first']['peak_bytes']['trained'] / 1e9:.1f}"
        for name in ("355M-bfloat16", "355M-int8", "774M-bfloat16", "774M-int8", "1558M-bfloat16", "1558M-int8")
        for (found,) in [results(f"lora-memory-{name}")]
        for result in found["results"].values()
    }
    figures = [
        f"{ratios['pytorch compiled bfloat16']} times the speed of PyTorch with `torch.compile`",
        f"{ratios['pytorch bfloat16']} times that of transformers' Trainer",
        f"in float32 {ratios['pytorch compiled float32']} times",
        f"{ratios[DEFAULTS]} times the speed of gpt-2-simple",
        f"in {original['peak_bytes'] / 1e9:.1f} GB instead of {original['peer_peak_bytes'] / 1e9:.1f}",
        f"{times['float32 pytorch float32']} times the speed of PyTorch",
        f"{times['float32 ctranslate2 float32']} times that of ctranslate2",
        f"{times['float32 gpt-2-simple float32']} times that of gpt-2-simple",
        f"int8 had {times['int8 ctranslate2 int8']} times the speed of ctranslate2's",
        f"{eight['ctranslate2 int8']} tokens/s, our float32 {eight['gpt2simple float32']}",
        f"| {adapters['355M-bfloat16']} GB; {adapters['355M-int8']} GB, with gradient checkpointing |",
        f"774M takes {adapters['774M-bfloat16']} or {adapters['774M-int8']} GB",
        f"1558M {adapters['1558M-bfloat16']} or, with an int8 base, {adapters['1558M-int8']} GB",
        f"| {1024 / original['tokens_per_second']['median']:.0f} s | {large['355M']['seconds_per_step']:.0f} s,",
        f"| {original['peak_bytes'] / 1e9:.1f} GB | {large['355M']['peak_bytes'] / 1e9:.1f} GB |",
    ]
    assert not lacking(figures, README)
