"""The functions for scripts: signatures and documentation, the first call of a newcomer, files, and what is refused."""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpt2simple
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.hub import registry
from gpt2simple.gpt2.hub.registry import KnownModel
from gpt2simple.runs import metrics
from gpt2simple.settings import (
    CompareClassifiersSettings,
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    LabelledTextSettings,
    SessionSettings,
    TextSettings,
)
from gpt2simple.settings.session import FOR_SEVERAL_RUNS, ONE_CALL
from gpt2simple.settings.text import ENCODED, READING
from tests.helpers.download import published
from tests.helpers.fault_server import serving
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import ONE_LAYER, QUICK, work_in, write_small_model, write_text

FUNCTIONS = [name for name in gpt2simple.__all__ if inspect.isfunction(getattr(gpt2simple, name))]
WITH_EXAMPLES = [name for name in FUNCTIONS if ">>>" in getattr(gpt2simple, name).__doc__]
HUB_FILES = ("config.json", "vocab.json", "merges.txt", "tokenizer.json", "model.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text."""
    folder = tmp_path_factory.mktemp("api")
    write_text(folder / "text.txt")
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server on this machine that carries a small model under the name 124M."""
    folder = write_small_model(tmp_path / "small")
    files = {name: (folder / name).read_bytes() for name in HUB_FILES}
    known = KnownModel(
        name="124M",
        config=ONE_LAYER,
        hub_repo="org/small",
        hub_revision="c0ffee",
        hub_files=published(files),
        aliases=("gpt2",),
    )
    with serving() as server:
        server.files = {f"/org/small/resolve/c0ffee/{name}": data for name, data in files.items()}
        monkeypatch.setitem(registry.KNOWN_MODELS, "124M", known)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.mark.parametrize(
    ("function", "classes"),
    [
        (gpt2simple.start_session, (SessionSettings,)),
        (gpt2simple.finetune, (ONE_CALL, FinetuneSettings, TextSettings)),
        (gpt2simple.generate, (ONE_CALL, GenerateSettings)),
        (gpt2simple.generate_to_file, (ONE_CALL, GenerateSettings)),
        (gpt2simple.evaluate, (ONE_CALL, EvaluateSettings, TextSettings)),
        (gpt2simple.score, (ONE_CALL,)),
        (gpt2simple.compare, (FOR_SEVERAL_RUNS, CompareSettings, TextSettings)),
        (
            gpt2simple.compare_classifiers,
            (FOR_SEVERAL_RUNS, CompareClassifiersSettings, LabelledTextSettings),
        ),
        (gpt2simple.encode_dataset, (ENCODED,)),
        (gpt2simple.make_tokenizer, (READING,)),
        (gpt2simple.Session.finetune, (FinetuneSettings, TextSettings)),
        (gpt2simple.Session.generate, (GenerateSettings,)),
    ],
)
def test_signatures_hold_every_setting_once_with_its_default(
    function: Callable[..., Any], classes: tuple[type, ...]
) -> None:
    parameters = inspect.signature(function).parameters
    settings = [field for cls in classes for field in cls.__dataclass_fields__.values()]
    for field in settings:
        if field.name == "seed" and function is gpt2simple.make_tokenizer:
            continue
        assert parameters[field.name].default == field.default, field.name
        first = function is gpt2simple.start_session and field.name == "model_name"
        assert (parameters[field.name].kind is inspect.Parameter.KEYWORD_ONLY) is not first
        assert f"    {field.name} (default {field.default!r}): {field.metadata['help']}" in (function.__doc__ or "")
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_is_documented_and_annotated(name: str) -> None:
    function = getattr(gpt2simple, name)
    first_sentence = function.__doc__.strip().split(".")[0]
    assert len(first_sentence.split()) >= 4
    assert "return" in function.__annotations__


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_the_documentation_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (examples,) = doctest.DocTestFinder(recurse=False).find(getattr(gpt2simple, name), name, globs={})
    if "tiny" in examples.docstring and not gpt2simple.is_gpt2_downloaded("tiny"):
        pytest.skip("the built-in model is not part of this checkout")
    assert doctest.DocTestRunner().run(examples).failed == 0


def test_one_call_downloads_trains_and_leaves_what_the_next_call_writes_with(
    hub: None, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = gpt2simple.finetune("text.txt", steps=4, **QUICK)
    assert (result.run_dir, result.steps) == (Path("checkpoint/run1"), 4)
    assert (place / "models" / "124M" / "model.safetensors").exists()
    steps = metrics.read(result.run_dir).steps
    assert result.train_loss == pytest.approx(steps[-1].loss)  # not the running mean, which lags behind
    assert abs(result.train_loss - steps[-1].smoothed_loss) > 1e-3
    told = capsys.readouterr().err
    assert "\n4 steps (" in told
    assert "take about" in told
    assert gpt2simple.generate(prefix="The ", length=5, seed=0) is None
    printed = capsys.readouterr().out
    assert gpt2simple.generate(prefix="The ", length=5, seed=0, return_as_list=True) == [printed.removesuffix("\n")]

    path = gpt2simple.generate_to_file(prefix="The ", length=3, nsamples=2, sample_delim="--\n")
    assert path.parent == Path("samples")
    assert path.read_text().count("--\n") == 2
    with pytest.raises(SettingsError, match=r"exists, and is not overwritten\. Name another destination_path"):
        gpt2simple.generate_to_file(path, length=3)

    with pytest.raises(RunError, match=r"There is no run 'nope' in checkpoint\. The runs there: run1\."):
        gpt2simple.generate(run_name="nope")
    with pytest.raises(SettingsError, match=r"run_name is 'run1' and model_name is '124M'; give the one whose"):
        gpt2simple.generate(run_name="run1", model_name="124M")
    with pytest.raises(SettingsError, match=r"generate\(\) has no setting named 'temperatur'\. Did you mean temp"):
        gpt2simple.generate(temperatur=1)

    with gpt2simple.start_session(model_name="gpt2") as session:
        base = session.generate("The ", length=6, temperature=0)
        assert gpt2simple.load_gpt2(session, run_name="run1") is session
        assert session.generate("The ", length=6, temperature=0) != base
        gpt2simple.load_gpt2(session, checkpoint="latest")
        gpt2simple.load_gpt2(session, model_name="124M")
        assert session.generate("The ", length=6, temperature=0) == base
        with pytest.raises(SettingsError, match=r"give the one whose weights are to be loaded"):
            gpt2simple.load_gpt2(session, run_name="run1", model_name="124M")
    of_model = gpt2simple.generate(
        model_name="124M", checkpoint="best", prefix="The ", length=6, temperature=0, return_as_list=True
    )
    assert of_model == base, "checkpoint chose weights of a run that was not named"


@pytest.mark.parametrize("function", [gpt2simple.generate, gpt2simple.evaluate, gpt2simple.score])
def test_a_checkpoint_that_is_asked_for_is_loaded_into_a_session_that_holds_another(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With generate, evaluate and score alike, and only where it is asked for."""
    loaded: list[str] = []
    with gpt2simple.start_session(model_name="small", precision="float32") as session:
        monkeypatch.setattr(session, "load", loaded.append)
        for name in ("samples_of", "evaluate", "score", "pieces_of"):
            monkeypatch.setattr(session, name, lambda *_, **__: [])
        arguments = () if function is gpt2simple.generate else ("text.txt",)
        for checkpoint in (None, "latest", "best"):
            function(*arguments, session=session, checkpoint=checkpoint)
    assert loaded == ["latest", "best"]


def test_other_threads_in_one_process_are_refused(place: Path) -> None:
    script = (
        "import gpt2simple\n"
        "gpt2simple.start_session('small', threads=1, precision='float32')\n"
        "gpt2simple.start_session('small', precision='float32')\n"
        "try: gpt2simple.start_session('small', threads=2, precision='float32')\n"
        "except gpt2simple.Gpt2SimpleError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == (
        "threads is 2, but TensorFlow was started in this process with 1, and keeps that until the process ends. "
        "Leave threads out, or restart Python.\n"
    ), done.stderr
