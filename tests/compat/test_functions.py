"""gpt-2-simple's functions on our engine: a notebook's program, its printed lines, its meanings, old runs."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple.compat as gpt2
from gpt2simple.compat.callbacks import PrintedLines
from gpt2simple.compat.files import text_settings
from gpt2simple.compat.train import _beginning
from gpt2simple.errors import CheckpointError, RunError, SettingsError, TrainingError
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.folder import RunFolder
from tests.helpers import compat as compat_case
from tests.helpers.compat import LOSS_LINE
from tests.helpers.paths import GOLDEN, ROOT, SCRIPT, outside_data
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in
from tests.helpers.weight_layouts import CONFIG_124M, random_weights, write_tf1

SIGNATURES = GOLDEN / "gpt2_simple_signatures.json"
REQUIRED = "(required)"
PROGRAM = """
import gpt2simple.compat as gpt2
model_name = "{model}"
gpt2.download_gpt2(model_name=model_name)
sess = gpt2.start_tf_sess()
gpt2.finetune(sess, 'script.txt', model_name=model_name, steps={steps})
gpt2.generate(sess)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook's folder with the run "trained" of three steps."""
    folder = tmp_path_factory.mktemp("notebook")
    compat_case.write_notebook_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2.finetune(gpt2.start_tf_sess(), "script.txt", 3, model_name="small", run_name="trained")
    return folder


@pytest.fixture
def notebook(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work_in(monkeypatch, place)
    return place


def run_program(folder: Path, model: str, steps: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(model=model, steps=steps)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(folder / "cache")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def arguments(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    return {p.name: REQUIRED if p.default is p.empty else p.default for p in parameters}


def test_every_function_of_gpt_2_simple_is_there_with_its_arguments_and_defaults() -> None:
    published = json.loads(SIGNATURES.read_text(encoding="utf-8"))
    ours = {name: arguments(getattr(gpt2, name)) for name in gpt2.__all__}
    assert ours == published
    assert {name: list(given) for name, given in ours.items()} == {n: list(g) for n, g in published.items()}  # order
    assert all(getattr(gpt2, name).__doc__ for name in gpt2.__all__)


@pytest.mark.reference
def test_the_table_of_arguments_is_that_of_the_installed_gpt_2_simple() -> None:
    printed = printed_by("golden/make_gpt2_simple_signatures.py", python="GPT2SIMPLE_ORIGINAL_PYTHON")
    assert json.loads(printed) == json.loads(SIGNATURES.read_text(encoding="utf-8"))


@pytest.mark.slow  # half a minute; tests/project/test_examples.py runs such a program too
def test_a_notebooks_program_runs_on_the_built_in_model(tmp_path: Path) -> None:
    text = SCRIPT.read_text(encoding="ascii")[:3000]
    (tmp_path / "script.txt").write_text(text, encoding="ascii")
    lines = run_program(tmp_path, "tiny", 1).splitlines()
    assert re.fullmatch(r"Loading checkpoint .*tiny", lines[0])
    assert lines[1] == "Loading dataset..."
    assert re.fullmatch(r"dataset has \d+ tokens", lines[2])
    assert lines[3] == "Training..."
    assert re.fullmatch(LOSS_LINE, lines[4])
    assert lines[5] == f"Saving {Path('checkpoint/run1/step-000001')}"
    assert len("\n".join(lines[6:])) > 100


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_notebooks_program_runs_on_a_model_of_124m(tmp_path: Path) -> None:
    vocabulary = outside_data("gpt2-vocabulary")
    folder = tmp_path / "models" / "124M"
    write_tf1(folder, {name: 0.2 * value for name, value in random_weights(CONFIG_124M).items()}, CONFIG_124M)
    for name in ("encoder.json", "vocab.bpe"):
        (folder / name).write_bytes((vocabulary / name).read_bytes())
    (tmp_path / "script.txt").write_text("To be, or not to be, that is the question.\n" * 20, encoding="ascii")
    shown = run_program(tmp_path, "124M", 2)
    assert [int(number) for number in re.findall(rf"^{LOSS_LINE}$", shown, re.MULTILINE)] == [1, 2]
    assert len(shown) > 1000


def test_steps_are_added_to_those_of_the_run(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sess = gpt2.start_tf_sess()
    run: dict[str, Any] = {"model_name": "small", "run_name": "added", "sample_every": 2, "sample_length": 1023}
    gpt2.finetune(sess, "script.txt", steps=2, sample_num=2, print_every=2, **run)
    first = capsys.readouterr().out
    assert [int(number) for number in re.findall(LOSS_LINE, first)] == [2]
    assert "======== SAMPLE 1 ========\n" in first
    assert "======== SAMPLE 2 ========\n" in first
    gpt2.finetune(sess, "script.txt", steps=3, run_name="added")  # the name of the model may be left out
    second = capsys.readouterr().out
    assert second.splitlines()[0] == f"Loading checkpoint {Path('checkpoint/added/step-000002')}"
    assert [int(number) for number in re.findall(LOSS_LINE, second)] == [3, 4, 5]
    assert [path.name for path in Path("checkpoint/added").glob("step-*")] == ["step-000005"]  # max_checkpoints=1


def test_a_run_is_trained_as_gpt_2_simple_trained(notebook: Path) -> None:
    description = RunInfo.read(Path("checkpoint/trained")).description
    settings, text = description.settings, description.text_settings
    assert text.validation_split == 0.0
    assert description.data_summary["held_out_tokens"] == 0
    assert (settings.batch_size, settings.accumulate_gradients) == (1, 5)
    assert (settings.optimizer, settings.learning_rate, settings.schedule) == ("adam", 1e-4, "constant")
    assert (settings.warmup_steps, settings.weight_decay, settings.clip_norm, settings.dropout) == (0, 0.0, 0.0, 0.0)
    assert (settings.steps, settings.epochs) == (3, None)


@pytest.mark.slow
def test_endless_training_ends_with_ctrl_c_and_saves(notebook: Path, tmp_path: Path) -> None:
    program = (
        "import gpt2simple.compat as gpt2\n"
        "gpt2.finetune(gpt2.start_tf_sess(), 'script.txt', model_name='small', run_name='endless', sample_every=0)\n"
        "print('went on')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("[3 |"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert process.returncode == 0
    assert re.search(r"Saving checkpoint.endless.step-\d{6}\ninterrupted\nwent on\n$", rest)


@pytest.mark.slow
def test_an_old_run_is_continued_and_stays_as_it_is(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = compat_case.write_old_run(notebook)
    before = compat_case.digests(run)
    with open_checkpoint(run) as source:
        old = source.read("wte.weight")
    sess = gpt2.start_tf_sess()
    gpt2.load_gpt2(sess, run_name="old")
    gpt2.finetune(sess, "script.txt", steps=2, run_name="old", sample_every=0)
    shown = capsys.readouterr().out
    assert shown.count(f"Loading checkpoint {Path('checkpoint/old/model-2')}\n") == 2
    assert gpt2.generate(sess, run_name="old", length=5, return_as_list=True)
    after = compat_case.digests(run)
    assert {name: after[name] for name in before} == before
    with open_checkpoint(run / "step-000002") as source:
        moved = np.abs(source.read("wte.weight") - old).max()
    assert 0.0 < moved <= 2.1e-4  # two steps of Adam at 1e-4: it began with the old weights
    gpt2.finetune(sess, "script.txt", steps=1, run_name="old", sample_every=0)
    assert "[3 | " in capsys.readouterr().out
    assert {name: compat_case.digests(run)[name] for name in before} == before


@pytest.mark.reference
@pytest.mark.timeout(900)
def test_a_run_begun_by_gpt_2_simple_itself_is_continued_and_generated_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With GPT-2's own vocabulary, in a folder that gpt-2-simple 0.8.1 wrote just now."""
    vocabulary = outside_data("gpt2-vocabulary")
    theirs = printed_by("reference/original_run.py", tmp_path, vocabulary, python="GPT2SIMPLE_ORIGINAL_PYTHON")
    work_in(monkeypatch, tmp_path)
    run = Path("checkpoint/run1")
    before = compat_case.digests(run)
    sess = gpt2.start_tf_sess()
    gpt2.finetune(sess, "text.txt", model_name="small", steps=2, sample_every=0)
    ours = capsys.readouterr().out
    assert gpt2.generate(sess, length=8, return_as_list=True) is not None
    assert {name: compat_case.digests(run)[name] for name in before} == before
    assert ours.splitlines()[0] == f"Loading checkpoint {run / 'model-2'}"
    assert forms(ours) == forms(theirs)


def forms(shown: str) -> list[str]:
    """The lines of a training without their numbers; what is loaded and saved has names of its own."""
    lines = [line for line in shown.splitlines() if line.startswith(("Loading dataset", "dataset", "Training", "["))]
    assert len(lines) == 5, shown
    return [re.sub(r"\d+(\.\d+)?", "N", line) for line in lines]


def test_texts_are_returned_written_and_printed(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sess = gpt2.start_tf_sess()
    common: dict[str, Any] = {"run_name": "trained", "prefix": "The ", "length": 9, "seed": 4}
    texts = gpt2.generate(sess, return_as_list=True, nsamples=2, **common)
    assert capsys.readouterr().out == f"Loading checkpoint {Path('checkpoint/trained/step-000003')}\n"
    assert texts is not None
    assert len(texts) == 2
    assert all(text.startswith("The ") for text in texts)
    assert gpt2.generate(sess, nsamples=2, sample_delim="--\n", **common) is None
    assert capsys.readouterr().out == f"{texts[0]}\n--\n{texts[1]}\n--\n"
    gpt2.generate_to_file(sess, destination_path="written.txt", **common)
    gpt2.generate_to_file(sess, destination_path="written.txt", **common)  # as a notebook's cell that is run again
    assert Path("written.txt").read_text(encoding="utf-8") == f"{texts[0]}\n"
    Path("mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"mine\.txt exists, so it is not overwritten"):
        gpt2.generate_to_file(sess, destination_path="mine.txt", **common)
    assert capsys.readouterr().out == ""
    (bare,) = gpt2.generate(sess, include_prefix=False, return_as_list=True, **common) or []
    assert "The " + bare == texts[0] or bare == texts[0].removeprefix("The ").lstrip("\n")
    cut = gpt2.generate(sess, truncate=texts[0][5], return_as_list=True, **common)
    assert cut == [texts[0][: 4 + texts[0][4:].index(texts[0][5])]]


def test_length_and_prefix_together_fit_the_window(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The small model reads 32 tokens, each a byte."""
    sess = gpt2.start_tf_sess()
    gpt2.load_gpt2(sess, model_name="small")
    assert capsys.readouterr().out == f"Loading pretrained model {Path('models/small')}\n"
    engine = sess.engine
    used: list[dict[str, Any]] = []
    generate = engine.generate

    def watched(prefix: str, **settings: Any) -> Any:
        used.append(settings)
        return generate(prefix, **settings)

    engine.generate = watched  # type: ignore[method-assign]
    gpt2.generate(sess, model_name="small", return_as_list=True)
    gpt2.generate(sess, model_name="small", prefix="x" * 20, length=30, top_k=40, top_p=0.9, return_as_list=True)
    gpt2.generate(sess, model_name="small", prefix="x" * 20, length=3, top_k=40, return_as_list=True)
    assert [(s["length"], s["top_k"]) for s in used] == [(31, 0), (11, 0), (3, 40)]
    assert (
        "length is 30; only 11 tokens are generated, as prefix and new text together may have 31."
        in capsys.readouterr().err
    )
    with pytest.raises(
        SettingsError,
        match=r"prefix has 31 tokens, but prefix and new text together may have 31\. Shorten the prefix",
    ):
        gpt2.generate(sess, model_name="small", prefix="x" * 31)


def test_arguments_without_effect_are_reported(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sess = gpt2.start_tf_sess()
    gpt2.finetune(
        sess, "script.txt", 1, "small", combine=9, multi_gpu=True, overwrite=True, run_name="told", sample_every=0,
        use_memory_saving_gradients=True, only_train_transformer_layers=True, optimizer="sgd", max_checkpoints=0,
    )  # fmt: skip
    told = capsys.readouterr().err
    for remark in (
        "combine has no effect on finetune: the end-of-text token separates documents",
        "multi_gpu has no effect: these functions use one GPU",
        "overwrite has no effect when the run is continued",
    ):
        assert told.count(remark) == 1
    settings = RunInfo.read(Path("checkpoint/told")).description.settings
    assert (settings.gradient_checkpointing, settings.only_train_transformer_layers) == (True, True)
    assert settings.optimizer == "sgd"
    gpt2.generate(sess, run_name="trained", sample_dir="elsewhere", length=2)
    told = capsys.readouterr().err
    assert "The session holds run 'told', which is used now; run 'trained' is not loaded." in told
    assert "sample_dir has no effect on generate" in told


def test_a_folder_to_begin_with_needs_no_base_model(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    """Naming it downloaded 124M, the default of model_name, before the folder was opened."""
    monkeypatch.setattr("gpt2simple.compat.train.model_folder", lambda *_: pytest.fail("looked for the base model"))
    run = RunFolder(Path("checkpoint/new"))
    folder = Path("checkpoint/trained")
    assert _beginning(run, "124M", str(folder)) == (None, folder, 0)
    assert _beginning(run, "small", str(folder)) == ("small", folder, 0)
    assert messages == []


def test_mistakes_are_refused_with_the_way_on(notebook: Path) -> None:
    sess = gpt2.start_tf_sess()
    with pytest.raises(SettingsError, match=r'restore_from is .*model-1.; expected "latest", "fresh", or the folder'):
        gpt2.finetune(sess, "script.txt", 1, "small", restore_from="checkpoint/run1/model-1")
    with pytest.raises(RunError, match=r"holds a run already, at step 3.* Add overwrite=True"):
        gpt2.finetune(sess, "script.txt", 1, "small", restore_from="fresh", run_name="trained")
    with pytest.raises(SettingsError, match=r"optimizer is 'lion'; expected 'adamw', 'adam' or 'sgd'"):
        gpt2.finetune(sess, "script.txt", 1, "small", optimizer="lion")
    with pytest.raises(SettingsError, match=r'can be loaded at "latest" or at step-000003\. Name one of these'):
        gpt2.load_gpt2(sess, "model-2", "trained")
    with pytest.raises(RunError, match=r"There is no run 'absent' in checkpoint\. The runs there: .*trained"):
        gpt2.generate(sess, run_name="absent")
    with pytest.raises(SettingsError, match=r"server is 'grpc://x'; this package computes in its own process"):
        gpt2.start_tf_sess(server="grpc://x")
    with pytest.raises(SettingsError, match=r"server is a number of 16,610 bits; this package"):
        gpt2.start_tf_sess(server=10**5000)
    with pytest.raises(SettingsError, match=r"sess is a str; expected what start_tf_sess\(\) returns"):
        gpt2.generate("sess")
    with pytest.raises(SettingsError, match=r"The session has no model yet"):
        _ = sess.engine
    with gpt2.start_tf_sess() as closed:
        pass
    with pytest.raises(SettingsError, match=r"This session is closed\. Start another one: sess = gpt2"):
        gpt2.generate(closed)
    assert not Path("checkpoint/run1").exists()


def test_a_step_of_a_run_can_be_loaded_by_its_old_or_new_name(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sess = gpt2.start_tf_sess()
    for name in ("model-3", "step-000003"):
        gpt2.load_gpt2(sess, name, "trained")
        assert capsys.readouterr().out == f"Loading checkpoint {Path('checkpoint/trained/step-000003')}\n"
    (notebook / "models" / "empty").mkdir(exist_ok=True)
    with pytest.raises(CheckpointError):
        gpt2.load_gpt2(sess, model_name="empty")
    assert sess.holds is None


def test_a_new_session_is_empty_and_the_old_one_closed(notebook: Path) -> None:
    sess = gpt2.start_tf_sess()
    gpt2.load_gpt2(sess, model_name="small")
    new = gpt2.reset_session(sess)
    assert (sess.holds, new.holds) == (None, None)
    with pytest.raises(SettingsError, match="closed"):
        gpt2.load_gpt2(sess, model_name="small")
    assert all(re.fullmatch(r"/device:GPU:\d+", name) for name in gpt2.get_available_gpus())


def test_the_printed_average_is_gpt_2_simples(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Worked out on paper: losses 4 and 2 give (0.99 x 4 + 2) / 1.99 = 2.99."""
    from tests.helpers import records as observer_records

    ticks = iter([10.0, 11.5, 13.0])
    lines = PrintedLines(clock=lambda: next(ticks))
    lines.on_start(observer_records.plan(tmp_path, print_every=1))
    lines.on_step(observer_records.step(1, 4.0))
    lines.on_step(observer_records.step(2, 2.0))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "[1 | 1.50] loss=4.00 avg=4.00",
        "[2 | 3.00] loss=2.00 avg=2.99",
    ]


def test_tables_are_read_as_gpt_2_simple_read_them(tmp_path: Path) -> None:
    (tmp_path / "tales").mkdir()
    assert text_settings(tmp_path / "tales") == {}
    (tmp_path / "tales" / "a.CSV").write_text("tale\nOnce.\n")
    expected = {"template": "<|startoftext|>{0}", "header": True}
    assert text_settings(str(tmp_path / "tales")) == text_settings("a.csv") == text_settings("*.csv") == expected
    assert text_settings("a.txt") == text_settings(["One text."]) == {}


@pytest.mark.slow
def test_a_run_that_diverges_keeps_its_only_checkpoint(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("checkpoint/trained", "checkpoint/diverged")
    settings: dict[str, Any] = {"model_name": "small", "run_name": "diverged", "steps": 4, "save_every": 2}
    with pytest.raises(TrainingError, match=r"Step 3, saved before, is kept\. Continue with a lower learning_rate"):
        gpt2.finetune(gpt2.start_tf_sess(), "script.txt", learning_rate=1e6, **settings)
    assert [path.name for path in Path("checkpoint/diverged").glob("step-*")] == ["step-000003"]
    capsys.readouterr()
    gpt2.finetune(gpt2.start_tf_sess(), "script.txt", learning_rate=1e-5, print_every=1, **settings)
    losses = re.findall(r"loss=(\d+\.\d\d)", capsys.readouterr().out)
    assert len(losses) == 4
    assert max(map(float, losses)) < 8.0


def test_pairs_are_refused_with_what_trains_on_them(tmp_path: Path) -> None:
    for completion in ('"b"', '["b", "c"]'):
        (tmp_path / "pairs.jsonl").write_text(f'{{"prompt": "a", "completion": {completion}}}\n', encoding="utf-8")
        with pytest.raises(SettingsError, match=r"holds pairs \(prompt-completion\), which gpt-2-simple does not know"):
            gpt2.finetune(gpt2.start_tf_sess(), str(tmp_path / "pairs.jsonl"), model_name="tiny", steps=1)
