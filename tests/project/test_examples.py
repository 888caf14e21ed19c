"""The demo runs on the built-in model, and the programs in the README on a smaller one, few steps long."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import EXAMPLES, ROOT, SCRIPT
from tests.helpers.small_runs import work_in, write_small_model

README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    assert (folder / "demo" / "run1" / "loss.png").is_file()
    assert (folder / "demo" / "run1" / "model.safetensors").is_file()


def test_the_demo_shows_samples_before_and_after_and_where_everything_lies(tmp_path: Path) -> None:
    check_demo(tmp_path)


@pytest.mark.slow
def test_a_second_demo_replaces_the_first(tmp_path: Path) -> None:
    check_demo(tmp_path)
    check_demo(tmp_path)


def as_trial(program: str) -> str:
    """A program of the README on the model in the place of 124M, with two steps where it trains longer."""
    program = program.replace('"tiny"', '"124M"').replace("length=200", "length=8")
    program = re.sub(r"steps=\d+", "steps=2", program)
    program = program.replace('label_column="stars"', 'label_column="stars", steps=2, batch_size=8')
    program = program.replace('finetune("pairs.jsonl"', 'finetune("pairs.jsonl", steps=2')
    return re.sub(r'finetune\("script.txt"(?!.*steps=)', r'finetune("script.txt", steps=2', program)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the README's programs run: with a text, and a model of one layer in the place of 124M."""
    (tmp_path / "script.txt").write_text(SCRIPT.read_text(encoding="ascii")[:8000], encoding="ascii")
    write_small_model(tmp_path / "models" / "124M")
    rows = [f"{words} number {n},{stars}" for n in range(40) for words, stars in (("a fine film", 5), ("so dull", 1))]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,stars", *rows]), encoding="ascii")
    pairs = [{"prompt": f"{n} + 1", "completion": str(n + 1)} for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="ascii")
    work_in(monkeypatch, tmp_path)
    return tmp_path


def run_readme(*, old_style: bool) -> None:
    """Run the README's programs one after the other: those for gpt-2-simple's users, or all others."""
    programs = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    chosen = [as_trial(program) for program in programs if ("gpt2simple.compat" in program) == old_style]
    assert len(chosen) == (1 if old_style else 5)
    exec("import gpt2simple\n" + "\n".join(chosen), {})


def test_the_programs_of_the_readme_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_readme(old_style=False)
    shown = capsys.readouterr().out
    assert "checkpoint/play finished at step 2" in shown.replace(os.sep, "/")
    assert shown.count("AGNES\n") >= 3
    assert "bits/byte" in shown
    assert "bag of words" in shown
    assert "exact match" in shown


def test_the_old_program_runs_with_its_import_line_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_readme(old_style=True)
    shown = capsys.readouterr().out
    assert re.search(r"^\[2 \| \d+\.\d\d\] loss=\d+\.\d\d avg=\d+\.\d\d$", shown, re.MULTILINE)
