"""Runs of an adapter on texts, pairs and classes: trained, resumed, used and saved; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import CheckpointError, RunError, SettingsError, StorageError
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile
from gpt2simple.runs import metrics
from tests.helpers.pair_runs import pairs
from tests.helpers.small_runs import (
    QUICK,
    as_options,
    differing,
    last_state,
    work_in,
    write_model_and_text,
    write_small_model,
)

TEXT: dict[str, Any] = {**QUICK, "model_name": "small", "window": 16, "lora_rank": 4}
PAIRS: dict[str, Any] = {"model_name": "small", "learning_rate": 1e-2, "seed": 3, "separator": "=", "lora_rank": 4}
CLASSES: dict[str, Any] = {"model_name": "small", "learning_rate": 1e-2, "seed": 3, "batch_size": 8, "lora_rank": 4}
RUNS = Path("checkpoint")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the model `small`, texts, and a run of an adapter on each kind."""
    folder = write_model_and_text(tmp_path_factory.mktemp("lora"))
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs()]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    labelled = [f"{'abc'[n % 3] * 3} {n},{'xyz'[n % 3]}" for n in range(90)]
    (folder / "classes.csv").write_text("\n".join(["text,label", *labelled]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune("text.txt", run_name="text", steps=40, **TEXT)
        gpt2simple.finetune("pairs.jsonl", run_name="pairs", steps=120, **PAIRS)
        gpt2simple.finetune_classifier("classes.csv", run_name="classes", epochs=6, **CLASSES)
        yield folder


def written(**where: Any) -> str:
    """What a run or a model writes."""
    with gpt2simple.start_session(**where) as session:
        return session.generate("The ", length=20, seed=1)[0]


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


@pytest.mark.parametrize("name", ["text", "pairs", "classes"])
def test_held_out_loss_falls_and_only_the_adapter_is_saved(name: str) -> None:
    losses = [each.loss for each in metrics.read(RUNS / name).evaluations]
    assert min(losses) < (0.95 if name == "text" else 0.9) * losses[0]  # random embeddings that stay allow little
    steps = sorted((RUNS / name).glob("step-*"))
    assert steps
    for folder in (RUNS / name, *steps):
        assert (folder / "adapter_model.safetensors").is_file()
        assert (folder / "adapter_config.json").is_file()
        assert not (folder / "model.safetensors").exists()
        file = SafetensorsFile(folder / "adapter_model.safetensors")
        others = [tensor for tensor in file.tensors if ".lora_" not in tensor]
        file.close()
        assert others == (["base_model.model.score.weight"] if name == "classes" else [])
    moments = SafetensorsFile(steps[0] / "optimizer.safetensors")
    assert all(".lora_" in tensor or "score" in tensor for tensor in moments.tensors if "/" in tensor or "." in tensor)
    moments.close()


def test_it_generates_streams_and_is_evaluated_from_its_folder() -> None:
    with gpt2simple.start_session(run_name="text") as session:
        (text,) = session.generate("The ", length=20, seed=1)
        assert "".join(session.stream("The ", length=20, seed=1)) == text
        held_out = session.evaluate("text.txt", part="held_out")
    with gpt2simple.start_session(model_name="small") as session:
        assert session.generate("The ", length=20, seed=1) != [text]
    best = min(each.loss for each in metrics.read(RUNS / "text").evaluations)
    assert held_out.loss == pytest.approx(best, rel=0.1)
    assert written(run_name="text") == text
    (score,) = gpt2simple.score("The baker", run_name="text")
    assert len(score.tokens) == 9
    assert "text: " in gpt2simple.report("text").summary()


def test_pairs_and_classes_are_answered_and_evaluated() -> None:
    assert gpt2simple.answer(["c1", "a5"], run_name="pairs", length=1) == ["d", "b"]
    figures: Any = gpt2simple.evaluate("pairs.jsonl", run_name="pairs", part="test")
    assert figures.loss < 0.8 * figures.prompt_loss
    found = gpt2simple.classify(["aaa 1", "bbb 2"], run_name="classes")
    assert [each.label for each in found] == ["x", "y"]
    result: Any = gpt2simple.evaluate("classes.csv", run_name="classes", part="test")
    assert result.accuracy > 0.8
    assert "accuracy" in gpt2simple.report("classes").summary()


@pytest.mark.parametrize(
    ("function", "data", "how"),
    [
        ("finetune", "text.txt", TEXT | {"lora_dropout": 0.1, "dropout": 0.1}),
        pytest.param(
            "finetune",
            "text.txt",
            TEXT | {"base_precision": "int8", "lora_targets": ["attn.c_attn", "mlp.c_proj"]},
            marks=pytest.mark.slow,
        ),
        pytest.param("finetune", "pairs.jsonl", PAIRS, marks=pytest.mark.slow),
        pytest.param("finetune_classifier", "classes.csv", CLASSES, marks=pytest.mark.slow),
    ],
    ids=["text", "int8", "pairs", "classes"],
)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    function: str, data: str, how: dict[str, Any], tmp_path: Path
) -> None:
    call = getattr(gpt2simple, function)
    how = how | {"checkpoint_dir": tmp_path, "sample_every": 0, "eval_every": 4}
    if function == "finetune_classifier":
        del how["sample_every"]
    call(data, run_name="whole", steps=8, **how)
    call(data, run_name="parts", steps=4, **how)
    call(data, run_name="parts", steps=8, checkpoint_dir=tmp_path)  # all settings but these are the run's
    assert not differing(last_state(tmp_path / "whole"), last_state(tmp_path / "parts"))


def test_a_session_keeps_the_best_step_stops_early_and_goes_on(tmp_path: Path) -> None:
    how = TEXT | {"learning_rate": 0.3, "early_stopping_patience": 2, "eval_every": 2}
    del how["model_name"]
    with gpt2simple.start_session(model_name="small", run_name="early", checkpoint_dir=tmp_path) as session:
        result = session.finetune("text.txt", **how)
        assert result.reason == "patience"
        assert result.best_step is not None
        assert result.best_step < result.steps
        best = session.score("The baker")[0].tokens
        session.load("latest")
        assert session.score("The baker")[0].tokens != best
        session.load()
        assert session.score("The baker")[0].tokens == best
        assert session.finetune("text.txt", steps=result.steps + 2).steps == result.steps + 2


def test_saving_writes_the_merged_model_and_asks_for_space_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gpt2simple.start_session(run_name="text") as session:
        saved = session.save(tmp_path / "merged")
        expected = session.generate("The ", length=20, seed=1)
        with monkeypatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
            with pytest.raises(StorageError, match=r"Saving the model in .*full needs .*kB, and the disk .*Free some"):
                session.save(tmp_path / "full")
    assert not (tmp_path / "full").exists()
    assert not list(saved.glob("adapter*"))
    assert [written(model_name=str(saved))] == expected
    with gpt2simple.start_session(run_name="classes") as session:
        labelled = session.save(tmp_path / "labelled")
    with gpt2simple.start_session(model_name=str(labelled)) as session:
        assert session._in_memory().config.labels == ("x", "y", "z")


def test_the_model_of_a_session_is_the_merged_one_of_which_the_size_is_told(
    messages: list[str], tmp_path: Path
) -> None:
    with gpt2simple.start_session(run_name="text") as session:
        model = session.model
        assert type(model).__name__ == "TFGPT2LMHeadModel"
        assert session.model is model
        told = [message for message in messages if "merged" in message]
        assert told == ["The adapter is merged into a copy of the model, which takes 31.7 kB of memory."]
        weights = session._in_memory()
        name = "h.0.mlp.c_fc.weight"
        np.testing.assert_array_equal(model.transformer.h[0].mlp.c_fc.weight.numpy(), weights.read(name))
        tokens = tf.constant([[session.tokenizer.end_of_text, *session.tokenizer.encode("The baker")]])
        with gpt2simple.start_session(model_name=str(session.save(tmp_path / "merged"))) as merged:
            scores = merged.score("The baker")[0].tokens
        logits = model(tokens).logits[0, :-1]
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens[0, 1:], logits).numpy().sum()
        assert nats == pytest.approx(-sum(token.logprob for token in scores), abs=1e-4)
        session.finetune("text.txt", steps=41)
        assert session.model is not model
    with gpt2simple.start_session(run_name="classes") as session:
        assert type(session.model).__name__ == "TFGPT2ForSequenceClassification"


def test_sessions_go_from_an_adapter_to_whole_weights_and_to_other_adapters(tmp_path: Path) -> None:
    base = {"checkpoint_dir": tmp_path, "model_name": "small"}
    full = {name: value for name, value in TEXT.items() if name not in ("lora_rank", "model_name")}
    with gpt2simple.start_session(run_name="full", **base) as session:
        session.finetune("text.txt", steps=4, **full)
        scores = {"full": session.score("The baker")[0].tokens}
        for name, how in (("one", {"lora_rank": 2}), ("two", {"lora_rank": 2, "lora_alpha": 1.0})):
            session.run_name = name
            session.use_model("small")
            session.finetune("text.txt", steps=4, **full, **how)
            scores[name] = session.score("The baker")[0].tokens
        session.run_name = "on-full"  # another model beneath, under the same name
        session.finetune("text.txt", steps=4, **full, lora_rank=2, restore_from=str(tmp_path / "full"))
        scores["on-full"] = session.score("The baker")[0].tokens
        for name in ("one", "full", "two", "on-full", "one"):
            session.run_name = name
            session.load()
            assert session.score("The baker")[0].tokens == scores[name]
    assert len({tokens[-1].logprob for tokens in scores.values()}) == 4
    for name, expected in scores.items():
        assert gpt2simple.score("The baker", run_name=name, checkpoint_dir=tmp_path)[0].tokens == expected


CHANGED: list[tuple[dict[str, Any], str]] = [
    (
        {"lora_rank": 8},
        r"was started with lora_rank=4, and this call gives lora_rank=8: .*Give lora_rank=4 to continue",
    ),
    ({"lora_rank": 0}, r"was started with .*lora_rank=4.*, and this call gives .*lora_rank=0"),
    ({"lora_alpha": 1.0}, r"was started with lora_alpha=8\.0, and this call gives lora_alpha=1\.0"),
    (
        {"lora_targets": "mlp.c_fc"},
        r"was started with lora_targets=\['attn.c_attn', .*\], and this call gives lora_targets=\['mlp.c_fc'\]",
    ),
]


@pytest.mark.parametrize(("given", "message"), CHANGED)
def test_an_adapter_cannot_change_half_way(given: dict[str, Any], message: str) -> None:
    before = last_state(RUNS / "text")
    with pytest.raises(RunError, match=message):
        gpt2simple.finetune("text.txt", run_name="text", steps=80, **given)
    assert not differing(before, last_state(RUNS / "text"))


def test_a_run_of_all_weights_cannot_go_on_with_an_adapter(tmp_path: Path) -> None:
    full = {name: value for name, value in TEXT.items() if name != "lora_rank"}
    gpt2simple.finetune("text.txt", run_name="full", steps=2, checkpoint_dir=tmp_path, **full)
    with pytest.raises(RunError, match=r"was started with lora_rank=0, and this call gives lora_rank=4"):
        gpt2simple.finetune("text.txt", run_name="full", steps=4, checkpoint_dir=tmp_path, lora_rank=4)


def test_what_changes_the_training_alone_may_change_and_is_told(tmp_path: Path, messages: list[str]) -> None:
    shutil.copytree(RUNS / "text", tmp_path / "text")
    how = {"base_precision": "float32", "lora_dropout": 0.1}
    gpt2simple.finetune("text.txt", run_name="text", steps=44, checkpoint_dir=tmp_path, **how)
    (told,) = [message for message in messages if "From step" in message]
    assert "lora_dropout 0.1 instead of 0.0" in told
    assert "base_precision 'float32' instead of 'auto'" in told


def test_replacing_a_run_leaves_no_file_of_the_other_kind(tmp_path: Path) -> None:
    how = TEXT | {"checkpoint_dir": tmp_path, "run_name": "run", "steps": 2}
    gpt2simple.finetune("text.txt", **how)
    gpt2simple.finetune("text.txt", **(how | {"lora_rank": 0}), restore_from="fresh", overwrite=True)
    assert not list((tmp_path / "run").rglob("adapter*"))
    gpt2simple.finetune("text.txt", **how, restore_from="fresh", overwrite=True)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert written(run_name="run", checkpoint_dir=tmp_path)


def test_a_model_that_changed_or_went_is_refused_in_one_line(tmp_path: Path) -> None:
    write_small_model(tmp_path / "mine")
    how = TEXT | {"model_name": str(tmp_path / "mine"), "checkpoint_dir": tmp_path, "run_name": "run"}
    gpt2simple.finetune("text.txt", steps=2, **how)
    write_small_model(tmp_path / "mine", seed=7)
    message = r"run.*is an adapter of .*mine, of which model\.safetensors has changed: .*Put the model back as it was"
    for call in (
        lambda: gpt2simple.generate(run_name="run", checkpoint_dir=tmp_path),
        lambda: gpt2simple.finetune("text.txt", steps=4, run_name="run", checkpoint_dir=tmp_path),
        lambda: gpt2simple.evaluate("text.txt", run_name="run", checkpoint_dir=tmp_path),
    ):
        with pytest.raises(CheckpointError, match=message):
            call()
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(
        CheckpointError, match=r"which lay in .*mine and is not there any more\. Put it back, or into the f"
    ):
        gpt2simple.generate(run_name="run", checkpoint_dir=tmp_path)
    write_small_model(tmp_path / "mine")  # the same again
    assert gpt2simple.finetune("text.txt", steps=4, run_name="run", checkpoint_dir=tmp_path).steps == 4


def test_a_model_is_read_for_its_digest_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2simple.gpt2.formats import adapter

    write_small_model(tmp_path / "mine")
    read: list[Path] = []
    digest = adapter.sha256_of
    monkeypatch.setattr(adapter, "sha256_of", lambda path: read.append(path) or digest(path))
    how = TEXT | {"model_name": str(tmp_path / "mine"), "checkpoint_dir": tmp_path, "run_name": "run"}
    gpt2simple.finetune("text.txt", steps=4, **how)
    gpt2simple.finetune("text.txt", steps=6, **how)
    gpt2simple.generate(run_name="run", checkpoint_dir=tmp_path, length=2)
    assert read == [tmp_path / "mine" / "model.safetensors"]


def test_the_model_of_a_run_may_have_been_another_run(tmp_path: Path) -> None:
    how = TEXT | {"checkpoint_dir": tmp_path, "steps": 4}
    gpt2simple.finetune("text.txt", run_name="first", **how)
    gpt2simple.finetune("text.txt", run_name="second", restore_from=str(tmp_path / "first"), **how)
    assert written(run_name="second", checkpoint_dir=tmp_path)
    with pytest.raises(RunError, match=r"inside the run .* that would be replaced"):
        gpt2simple.finetune("text.txt", run_name="first", restore_from=str(tmp_path / "first"), overwrite=True, **how)
    gpt2simple.finetune("text.txt", run_name="first", **(how | {"steps": 8}))
    best = metrics.read(tmp_path / "first").evaluations[-1]
    assert best.is_best
    with pytest.raises(CheckpointError, match=r"of which adapter_model\.safetensors has changed"):
        gpt2simple.generate(run_name="second", checkpoint_dir=tmp_path)


def scored(run_name: str, folder: Path) -> Any:
    return gpt2simple.score("The baker", run_name=run_name, checkpoint_dir=folder)[0].tokens


@pytest.mark.parametrize("origin", ["this package", pytest.param("peft", marks=pytest.mark.slow)])
def test_whole_weights_are_trained_from_a_merged_adapter(origin: str, tmp_path: Path) -> None:
    begin = tmp_path / "adapter"
    shutil.copytree(RUNS / "text", begin, ignore=shutil.ignore_patterns("step-*", "run.json"))
    if origin == "peft":
        for path in begin.iterdir():
            if path.name not in ("adapter_config.json", "adapter_model.safetensors"):
                path.unlink() if path.is_file() else shutil.rmtree(path)
    how = TEXT | {"lora_rank": 0, "checkpoint_dir": tmp_path, "steps": 2, "learning_rate": 1e-9}
    by_name = how | {"model_name": str(begin)}
    gpt2simple.finetune("text.txt", run_name="by-folder", restore_from=str(begin), **how)
    gpt2simple.finetune("text.txt", run_name="by-name", **by_name)
    gpt2simple.finetune("text.txt", run_name="random", restore_from="random", **by_name)
    logprob = {n: scored(n, tmp_path)[-1].logprob for n in ("by-folder", "by-name", "random")}
    with gpt2simple.start_session(run_name="text") as session:
        merged = session.save(tmp_path / "merged")
    with gpt2simple.start_session(model_name=str(merged)) as session:
        expected = session.score("The baker")[0].tokens[-1].logprob
    assert logprob["by-folder"] == logprob["by-name"] == pytest.approx(expected, abs=1e-5)
    assert logprob["random"] != pytest.approx(expected, abs=1e-3)
    for name in logprob:
        assert (tmp_path / name / "model.safetensors").is_file()
        assert not list((tmp_path / name).rglob("adapter*"))
    assert gpt2simple.finetune("text.txt", run_name="by-name", checkpoint_dir=tmp_path, steps=3).steps == 3


def test_an_adapter_is_recorded_for_the_weights_that_it_was_trained_on(tmp_path: Path) -> None:
    """Those of a run are its best step's, and its own folder must show the same, where they are looked up later."""
    how = TEXT | {"checkpoint_dir": tmp_path, "steps": 4}
    gpt2simple.finetune("text.txt", run_name="first", **how)
    root = tmp_path / "first" / "adapter_model.safetensors"
    whole = root.read_bytes()
    for left in (None, whole[:-4] + b"abcd"):  # killed before it published
        root.unlink(missing_ok=True)
        if left is not None:
            root.write_bytes(left)
        with pytest.raises(RunError, match=r"first is a run whose best step is step-000004, and its own folder has ot"):
            gpt2simple.finetune("text.txt", run_name="second", **how | {"model_name": str(tmp_path / "first")})
        assert not (tmp_path / "second").exists()
    root.write_bytes(whole)
    gpt2simple.finetune("text.txt", run_name="second", restore_from=str(tmp_path / "first"), **how)
    assert written(run_name="second", checkpoint_dir=tmp_path)


def test_an_adapter_does_not_replace_the_model_beneath_it(tmp_path: Path) -> None:
    how = TEXT | {"checkpoint_dir": tmp_path, "steps": 2}
    first = str(tmp_path / "first")
    gpt2simple.finetune("text.txt", run_name="first", **how)
    gpt2simple.finetune("text.txt", run_name="second", restore_from=first, **how)
    before = last_state(tmp_path / "first")
    for model in (first, str(tmp_path / "second")):  # the adapter of which belongs to the first
        with pytest.raises(
            RunError, match=r"first lies in the run's own folder, and lora_rank was given: .* restore_f"
        ):
            gpt2simple.finetune(
                "text.txt", run_name="first", restore_from="fresh", overwrite=True, **how | {"model_name": model}
            )
    assert not differing(before, last_state(tmp_path / "first"))


def test_a_model_that_was_moved_is_found_by_its_name_in_model_dir(tmp_path: Path) -> None:
    write_small_model(tmp_path / "old" / "mine")
    where = {"checkpoint_dir": tmp_path, "run_name": "run"}
    gpt2simple.finetune("text.txt", steps=2, **TEXT | where | {"model_name": str(tmp_path / "old" / "mine")})
    (tmp_path / "old").rename(tmp_path / "new")
    assert written(model_dir=tmp_path / "new", **where)
    message = (
        r"which lay in .*mine and is not there any more\. Put it back, or into the folder that model_dir names, as mi"
    )
    with pytest.raises(CheckpointError, match=message):
        written(**where)


def test_a_control_and_an_adapter_do_not_go_together() -> None:
    with pytest.raises(SettingsError, match=r"control compares new with .* and lora_rank was given: .*Leave one of"):
        gpt2simple.finetune_classifier("classes.csv", run_name="new", control=True, **CLASSES)
    assert not (RUNS / "new").exists()


def test_the_command_line_trains_one_and_refuses_in_one_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gpt2simple.cli.group import cli

    options = as_options({**TEXT, "steps": 2, "run_name": "cli", "checkpoint_dir": tmp_path, "lora_alpha": 8})
    words = ["finetune", "text.txt", *options, "--lora-targets", "attn.c_attn", "--base-precision", "int8"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "cli" / "adapter_config.json").read_text())
    assert (values["r"], values["lora_alpha"], values["target_modules"]) == (4, 8.0, ["attn.c_attn"])
    refused = CliRunner().invoke(cli, [*words, "--steps", "4", "--lora-rank", "2"])
    assert refused.exit_code == 1
    assert "was started with lora_rank=4, and this call gives lora_rank=2" in refused.output
    assert "Traceback" not in refused.output


def test_memory_is_planned_for_what_a_run_keeps_and_may_still_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpt2simple.api import finetune

    counted: list[int] = []
    may_take: list[bool] = []
    choose = finetune.choose_gradient_checkpointing

    def watched(*given: Any, takes_adapter: bool, **how: Any) -> Any:
        may_take.append(takes_adapter)
        return choose(*given, takes_adapter=takes_adapter, **how)

    monkeypatch.setattr(finetune, "free_memory", counted.append)  # None: unknown
    monkeypatch.setattr(finetune, "choose_gradient_checkpointing", watched)
    how = TEXT | {"checkpoint_dir": tmp_path}
    gpt2simple.finetune("text.txt", run_name="lora", steps=2, base_precision="int8", **how)
    for steps in (2, 3):
        gpt2simple.finetune("text.txt", run_name="full", steps=steps, **how | {"lora_rank": 0})
    assert counted[0] < counted[1] == counted[2]
    assert may_take == [True, True, False]
