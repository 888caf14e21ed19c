"""The demo runs on the built-in model; what the README and docs/ show, on a smaller one, few steps long."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.cli.group import cli
from tests.helpers.documents import DOCUMENTS, README, blocks, command_lines, name_of, text_of, words_of
from tests.helpers.paths import EXAMPLES, ROOT, SCRIPT
from tests.helpers.small_runs import work_in, write_small_model

WITH_PROGRAMS = [path for path in DOCUMENTS if blocks("python", text_of(path)) and path != README]
WITH_COMMANDS = [
    path for path in DOCUMENTS if any(line.startswith("gpt2simple ") for line in command_lines(text_of(path)))
]


def run(folder: Path, *command: str) -> str:
    """What a program prints on stdout, run in ``folder`` by this interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_script_is_a_text_of_thirty_kilobytes_in_plain_letters() -> None:
    text = SCRIPT.read_text(encoding="ascii")
    assert 30_000 < len(text) < 40_000
    lines = [line for line in text.splitlines() if len(line) > 40]
    assert len(set(lines)) == len(lines), "a long line stands twice"


def check_demo(folder: Path) -> None:
    shown = run(folder, str(EXAMPLES / "demo.py"), "--steps", "2")
    before, after = re.split(r"=====.*=====\n", shown)[1:]
    assert before.count("-----") == after.count("-----") == 2
    assert before.startswith("AGNES")
    assert f"{folder / 'demo' / 'run1'}\n" in after
    assert "finished at step 2" in after
    own_text, notebook, page = after.splitlines()[-3:]
    assert "gpt2simple finetune your-text.txt" in own_text
    assert (ROOT / re.findall(r"examples/\S+\.ipynb", notebook)[0]).is_file()
    assert page.endswith("gpt2simple report run1 --checkpoint-dir demo")
    assert (folder / "demo" / "run1" / "loss.png").is_file()
    assert (folder / "demo" / "run1" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_demo_shows_samples_before_and_after_and_where_everything_lies(tmp_path: Path) -> None:
    check_demo(tmp_path)


@pytest.mark.slow
def test_a_second_demo_replaces_the_first(tmp_path: Path) -> None:
    check_demo(tmp_path)
    check_demo(tmp_path)


def as_trial(program: str) -> str:
    """A program of a document on the model in the place of all others, with two steps where it trains longer."""
    program = re.sub('"(tiny|355M)"', '"124M"', program).replace("length=200", "length=8")
    program = program.replace('["124M", "124M"]', '["124M"]')  # compared with itself by two methods
    program = re.sub(r"steps=\d+", "steps=2", program)
    program = program.replace('label_column="stars"', 'label_column="stars", steps=2, batch_size=8')
    program = program.replace('finetune("pairs.jsonl"', 'finetune("pairs.jsonl", steps=2')
    return re.sub(r'finetune\("script.txt"(?!.*steps=)', r'finetune("script.txt", steps=2', program)


# What makes a command short.
FEW_STEPS = {
    "finetune": ["--steps", "2"],
    "finetune-classifier": ["--steps", "2", "--batch-size", "8"],
    "compare": ["--tokens", "512", "--nsamples", "1", "--length", "8"],
    "compare pairs.jsonl": ["--epochs", "0.1", "--name", "compare-pairs"],
    "compare-classifiers": ["--epochs", "0.1", "--batch-size", "8"],
}


def as_trial_command(words: list[str]) -> list[str]:
    """The words of a command on that model, with few steps where it trains longer; it is compared with two like it."""
    small = {"tiny": "small", "355M": "medium"} if words[0].startswith("compare") else {}
    words = [small.get(word, "124M") if word in ("tiny", "355M", "774M", "1558M") else word for word in words]
    few = FEW_STEPS.get(" ".join(words[:2]), FEW_STEPS.get(words[0], []))
    for option in ("--steps", "--epochs") if few else ():
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    return [*words, *few]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what documents show runs: with texts, and a model of one layer in the place of 124M."""
    (tmp_path / "script.txt").write_text(SCRIPT.read_text(encoding="ascii")[:8000], encoding="ascii")
    write_small_model(tmp_path / "models" / "124M")
    rows = [f"{words} number {n},{stars}" for n in range(40) for words, stars in (("a fine film", 5), ("so dull", 1))]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,stars", *rows]), encoding="ascii")
    pairs = [{"prompt": f"{n} + 1", "completion": str(n + 1)} for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="ascii")
    work_in(monkeypatch, tmp_path)
    return tmp_path


def modules(program: str) -> set[str]:
    """What a program imports, by the first parts of its names."""
    return set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE))


def train_what_is_named(words: list[str]) -> None:
    """Train the runs that a command uses and that a program of the document trains, or another document."""
    for run_name, dataset in (("play", "script.txt"), ("assistant", "pairs.jsonl")):
        if run_name in words and words[0] != "finetune" and not Path("checkpoint", run_name).exists():
            gpt2simple.finetune(dataset, model_name="124M", run_name=run_name, steps=2)


def run_programs(document: Path, *, old_style: bool = False) -> int:
    """Run the programs of a document one after the other, those for gpt-2-simple's users or all others; how many."""
    programs = blocks("python", text_of(document))
    chosen = [as_trial(program) for program in programs if ("gpt2simple.compat" in program) == old_style]
    exec("import gpt2simple\n" + "\n".join(chosen), {})
    return len(chosen)


def test_the_programs_of_the_readme_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_programs(README) == 5
    shown = capsys.readouterr().out
    assert "checkpoint/play finished at step 2" in shown.replace(os.sep, "/")
    assert shown.count("AGNES\n") >= 3
    assert "bits/byte" in shown
    assert "bag of words" in shown
    assert "exact match" in shown


def test_the_old_program_runs_with_its_import_line_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_programs(README, old_style=True) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^\[2 \| \d+\.\d\d\] loss=\d+\.\d\d avg=\d+\.\d\d$", shown, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("document", WITH_PROGRAMS, ids=name_of)
def test_the_programs_of_a_page_run(document: Path, folder: Path) -> None:
    for module in sorted(modules("\n".join(blocks("python", text_of(document))))):
        pytest.importorskip(module)  # those of others, such as a tracker's
    assert run_programs(document) + run_programs(document, old_style=True)


@pytest.mark.slow
@pytest.mark.parametrize("document", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_document_run_in_their_order(document: Path, folder: Path) -> None:
    for name, text in (("other.txt", "A text.\n" * 9), ("kalevala.txt", "Mieleni minun tekevi. " * 99)):
        (folder / name).write_text(text, encoding="ascii")
    (folder / "new.txt").write_text("fine\ndull\n", encoding="ascii")
    (folder / "questions.jsonl").write_text('"2 + 1"\n', encoding="ascii")
    shutil.rmtree(folder / "models" / "124M")
    for number, name in enumerate(("124M", "small", "medium")):  # with merges, which GGUF files need
        sizes = {"vocab_size": 300, "n_layer": 1, "n_head": 2, "n_embd": 32, "n_ctx": 32}
        gpt2simple.make_tokenizer("script.txt", folder / "models" / name, seed=number, **sizes)
    for label in ("pos", "neg"):
        (folder / f"{label}.txt").write_text("".join(f"{label} {n}\n" for n in range(20)), encoding="ascii")
    if "--format gguf" in text_of(document):
        pytest.importorskip("gguf")
    for line in command_lines(text_of(document)):
        program, *words = words_of(line)
        if program == "gpt2simple" and words[0] not in ("download", "push"):  # which need the network
            train_what_is_named(words)
            result = CliRunner().invoke(cli, as_trial_command(words), input="2 + 1\n")
            assert result.exit_code == 0, f"{line}\n{result.output[-2000:]}"
            for name in re.findall(r" > *(\S+)$", line):  # for a command that reads it
                (folder / name).write_text(result.stdout, encoding="utf-8")
