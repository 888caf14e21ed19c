"""Fine-tuning a classifier, classifying with it and evaluating it, through the public functions."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.cli.group import cli
from gpt2simple.errors import CheckpointError, DataError, Gpt2SimpleError, RunError, SettingsError
from gpt2simple.evaluation.classification.classifier import TextClassifier, encode_texts
from gpt2simple.gpt2.formats.safetensors_file import SafetensorsFile
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.testing import byte_tokenizer
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in, write_small_model, write_text

SETTINGS: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-2, "seed": 3, "print_every": 1000}
RUN = "films"


def reviews(number: int = 120, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 1 to 4 words and a digit or two, good and bad ones in turn, that one letter tells apart."""
    draw = random.Random(seed)
    return [
        (" ".join([*draw.choices(["film", "plot", "cast"], k=draw.randint(0, 3)), "+" if n % 2 else "-", str(n)]),
         "good" if n % 2 else "bad")
        for n in range(number)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and a classifier that was trained on reviews.csv."""
    folder = tmp_path_factory.mktemp("classifier")
    write_small_model(folder / "small")
    write_text(folder / "text.txt")
    rows = [f'"{text}",{label}' for text, label in reviews()]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    (folder / "other.csv").write_text("\n".join(["text,label", *rows[:8]]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name=RUN, epochs=8, **SETTINGS)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


@pytest.fixture
def texts() -> list[str]:
    return [text for text, _ in reviews(20, seed=1)]


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    file = SafetensorsFile(folder / "model.safetensors")
    try:
        return {name: file.read(name) for name in file.tensors}
    finally:
        file.close()


def test_it_learns_what_tells_the_classes_apart(texts: list[str]) -> None:
    found = gpt2simple.classify(texts, run_name=RUN)
    assert [one.label for one in found] == ["bad", "good"] * 10
    for one in found:
        assert one.probability == max(one.probabilities.values()) > 0.5
        assert sum(one.probabilities.values()) == pytest.approx(1.0)


def test_the_result_has_figures_on_texts_that_training_never_saw() -> None:
    result = gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name=RUN, epochs=8, **SETTINGS)
    assert result.reason == "done"
    assert result.test is not None
    assert (result.test.texts, result.test.accuracy) == (12, 1.0)
    assert [one.name for one in result.test.baselines] == ["majority class", "bag of words"]
    assert json.loads(json.dumps(result.to_json()))["test"]["accuracy"] == 1.0
    assert "with validation accuracy 100.0%" in result.summary()
    again: Any = gpt2simple.evaluate("reviews.csv", run_name=RUN, part="test")
    assert again.log_loss == pytest.approx(result.test.log_loss, rel=1e-5)  # other batches


def test_each_part_and_other_texts_can_be_evaluated(place: Path) -> None:
    parts: dict[str, Any] = {
        part: gpt2simple.evaluate("reviews.csv", run_name=RUN, part=part) for part in ("train", "held_out", "test")
    }
    assert [found.texts for found in parts.values()] == [96, 12, 12]
    assert "the validation part, by which the best step was chosen" in parts["held_out"].summary()
    other: Any = gpt2simple.evaluate(reviews(10, seed=7), run_name=RUN)
    assert (other.texts, other.baselines) == (10, ())


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_probabilities_depend_on_the_text_alone(texts: list[str], batch_size: int) -> None:
    classifier = TextClassifier(LoadedModel.load(Path("checkpoint") / RUN))
    expected, _ = classifier.probabilities(texts, batch_size=7)
    turned, _ = classifier.probabilities(texts[::-1], batch_size=batch_size)
    np.testing.assert_allclose(turned[::-1], expected, atol=1e-5)
    assert (turned[::-1].argmax(1) == expected.argmax(1)).all()


def test_end_of_text_at_the_end_makes_no_difference() -> None:
    plain, ended = gpt2simple.classify(["cast + 1", "cast + 1<|endoftext|>\n"], run_name=RUN)
    assert ended.probabilities == plain.probabilities


def test_the_end_of_text_inside_a_text_is_the_token_and_the_last_token_is_another() -> None:
    texts = ["ab<|endoftext|>c", "ab<|endoftext|><|endoftext|>c", "<|endoftext|><|endoftext|>", "abc"]
    found = encode_texts(texts, byte_tokenizer(), 4)
    assert [ids.tolist() for ids in found.ids] == [[97, 98, 256, 99], [97, 98], [256], [97, 98, 99]]
    assert found.truncated == 1


def test_a_run_that_was_stopped_goes_on_bit_for_bit() -> None:
    options = {**SETTINGS, "dropout": 0.1, "class_weights": True, "schedule": "constant", "accumulate_gradients": 2}
    for steps in (3, 8):
        gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name="parts", steps=steps, **options)
    gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name="whole", steps=8, **options)
    parts, whole = (weights_of(Path("checkpoint") / name / "step-000008") for name in ("parts", "whole"))
    assert parts.keys() == whole.keys()
    assert all((parts[name] == whole[name]).all() for name in whole)


def test_a_run_is_a_start_for_other_classes_and_for_a_language_model() -> None:
    start = str(Path("checkpoint") / RUN)
    others = [(text, {"good": "yes", "bad": "no"}[label]) for text, label in reviews(60)]
    result = gpt2simple.finetune_classifier(others, run_name="others", steps=1, restore_from=start, **SETTINGS)
    assert LoadedModel.load(result.run_dir).config.labels == ("no", "yes")
    result = gpt2simple.finetune("text.txt", run_name="language", steps=1, restore_from=start, sample_every=0)
    assert LoadedModel.load(result.run_dir).config.labels == ()


def test_only_the_head_and_the_last_layers_may_be_trained() -> None:
    result = gpt2simple.finetune_classifier(
        "reviews.csv", model_name="small", run_name="head", steps=2, train_last_n_layers=1, **SETTINGS
    )
    before, after = weights_of(Path("small")), weights_of(result.run_dir)
    assert (before["transformer.wte.weight"] == after["transformer.wte.weight"]).all()
    assert not (before["transformer.ln_f.weight"] == after["transformer.ln_f.weight"]).all()


def test_a_test_file_that_changed_stops_the_run_and_max_length_is_that_of_training() -> None:
    Path("own.csv").write_text("text,label\nfilm + 901,good\nfilm - 902,bad\n", encoding="utf-8")
    options: dict[str, Any] = {**SETTINGS, "test_file": "own.csv", "max_length": 3}
    result = gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name="own", steps=1, **options)
    assert result.test is not None
    assert (result.test.texts, result.test.truncated) == (2, 2)
    one, other = gpt2simple.classify(["film + 1", "fil"], run_name="own")
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    Path("own.csv").write_text("text,label\nfilm + 903,good\nfilm - 904,bad\n", encoding="utf-8")
    with pytest.raises(RunError, match="was trained on another text"):
        gpt2simple.finetune_classifier("reviews.csv", run_name="own", steps=2, **options)
    with pytest.raises(DataError, match=r"\(with the files to validate and test with, if any\) is not the texts"):
        gpt2simple.evaluate("reviews.csv", run_name="own", part="test")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to itself")
def test_ctrl_c_during_the_test_ends_the_call_and_the_next_one_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def interrupted(*_: Any, **__: Any) -> None:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        os.kill(os.getpid(), signal.SIGINT)

    options: dict[str, Any] = {**SETTINGS, "run_name": "stopped", "model_name": "small", "steps": 1}
    with monkeypatch.context() as patch:
        patch.setattr("gpt2simple.evaluation.classification.measure.evaluate_part", interrupted)
        result = gpt2simple.finetune_classifier("reviews.csv", **options)
    assert (result.reason, result.steps, result.test) == ("interrupted", 1, None)
    again = gpt2simple.finetune_classifier("reviews.csv", **options)
    assert again.reason == "done"
    assert again.test is not None


def test_a_run_that_never_improved_says_so() -> None:
    result = gpt2simple.finetune_classifier("reviews.csv", model_name="small", run_name=RUN, epochs=8, **SETTINGS)
    shown = replace(result, best_step=0).summary()
    assert f"Validation was best before training (100.0% correct, {result.best_loss:.3f} nats/text)" in shown
    assert f"classify() uses the last step, {result.steps}" in shown


def test_a_report_has_the_figures_on_the_test_part_and_replaces_itself(place: Path) -> None:
    for _ in range(2):
        found: Any = gpt2simple.report(RUN)
    assert found.result.texts == 12
    page = found.path.read_text(encoding="utf-8")
    assert "bag of words" in page
    assert "data:image/png;base64," in page
    assert json.loads(found.json_path.read_text(encoding="utf-8"))["result"]["accuracy"] == 1.0
    assert found.picture.read_bytes().startswith(b"\x89PNG")
    assert str(found.path) in found.summary()


def test_a_report_needs_the_texts_and_some_that_were_held_out() -> None:
    pairs = reviews(60)
    gpt2simple.finetune_classifier(pairs, model_name="small", run_name="pairs", steps=1, **SETTINGS)
    with pytest.raises(DataError, match="Give them as dataset"):
        gpt2simple.report("pairs")
    assert gpt2simple.report("pairs", dataset=pairs).path.is_file()
    options: dict[str, Any] = {**SETTINGS, "validation_split": 0, "test_split": 0}
    gpt2simple.finetune_classifier(pairs, model_name="small", run_name="all", steps=1, **options)
    with pytest.raises(RunError, match="held no texts out"):
        gpt2simple.report("all", dataset=pairs)


def test_the_model_is_transformers_class() -> None:
    with gpt2simple.start_session(run_name=RUN) as session:
        assert type(session.model).__name__ == "TFGPT2ForSequenceClassification"
        assert session.model.config.id2label == {0: "bad", 1: "good"}


def test_the_commands_do_the_same(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("cast + 1\n\nplot - 2\n", encoding="utf-8")
    run = CliRunner().invoke
    shown = run(cli, ["classify", "--file", str(tmp_path / "new.txt"), "--csv", "--run-name", RUN])
    assert shown.exit_code == 0, shown.output
    header, first, second = shown.stdout.splitlines()
    assert header == "text,label,p(bad),p(good)"
    assert (first.split(",")[:2], second.split(",")[:2]) == (["cast + 1", "good"], ["plot - 2", "bad"])
    shown = run(cli, ["classify", "cast + 1", "--json", "--run-name", RUN])
    assert json.loads(shown.stdout)[0]["label"] == "good"
    assert run(cli, ["classify", "cast + 1", "--run-name", RUN]).stdout.startswith("good  ")
    words = ["finetune-classifier", "reviews.csv", "--model-name", "small", "--run-name", "by-command", "--steps", "2"]
    shown = run(cli, [*words, "--batch-size", "8", "--json"])
    assert json.loads(shown.stdout)["test"]["texts"] == 12


REFUSED: dict[str, tuple[type[Gpt2SimpleError], str, Any]] = {
    "generating": (
        CheckpointError, r"is a classifier of 2 classes, and generate\(\) needs a language model",
        lambda: gpt2simple.generate(run_name=RUN, length=1),
    ),
    "classifying with a language model": (
        CheckpointError, r"is no classifier: .* Train one with finetune_classifier",
        lambda: gpt2simple.classify(["x"], model_name="small"),
    ),
    "a blank text": (DataError, "Text 1 is blank", lambda: gpt2simple.classify(["x", " "], run_name=RUN)),
    "no text": (DataError, "Text 0 is 7; expected a string", lambda: gpt2simple.classify([7], run_name=RUN)),  # type: ignore[list-item]
    "no texts at all": (
        SettingsError, "texts is 7; expected a list of strings or str", lambda: gpt2simple.classify(7, run_name=RUN)  # type: ignore[arg-type]
    ),
    "scoring": (
        CheckpointError, r"score\(\) needs a language model", lambda: gpt2simple.score(["x"], run_name=RUN)
    ),
    "a table to classify": (
        DataError, "texts is a table", lambda: gpt2simple.classify({"text": ["x"]}, run_name=RUN)
    ),
    "more tokens than the model reads": (
        SettingsError, "max_length is 99; this model reads at most 32",
        lambda: gpt2simple.classify(["x"], run_name=RUN, max_length=99),
    ),
    "a cache": (
        SettingsError, "cache_dir was given", lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, cache_dir="c")
    ),
    "a test file of all": (
        SettingsError, "test_file was given, and part=\"all\"",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, test_file="reviews.csv"),
    ),
    "labels of a language model": (
        SettingsError, "label_column was given",
        lambda: gpt2simple.evaluate("text.txt", model_name="small", label_column="stars"),
    ),
    "files of the user's that the run did not have": (
        DataError, "not the texts that the run was trained on",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, part="test", validation_file="other.csv"),
    ),
    "another test file": (
        DataError, "not the texts that the run was trained on",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, part="held_out", test_file="other.csv"),
    ),
    "another task": (
        RunError, "is a run of classification, and this call is for language modeling",
        lambda: gpt2simple.finetune("text.txt", run_name=RUN),
    ),
    "a report on several": (
        RunError, "a report on several runs is about language models. Report on it alone",
        lambda: gpt2simple.report([RUN, RUN]),
    ),
    "a report on a picture": (
        SettingsError, "expected the name of an HTML file", lambda: gpt2simple.report(RUN, destination_path="a.png"),
    ),
    "a report in the place of a text": (
        SettingsError, "reviews.csv", lambda: gpt2simple.report(RUN, destination_path="reviews.csv"),
    ),
    "a window": (SettingsError, "window was given", lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, window=4)),
    "documents": (
        SettingsError, "per_document was given",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, per_document=True),
    ),
    "outputs": (
        SettingsError, r"^predictions was given, and the model is a classifier\. Use classify\(\) for single texts\.$",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, predictions="x.jsonl"),
    ),
    "other texts": (
        DataError, "not the texts that the run was trained on",
        lambda: gpt2simple.evaluate(reviews(60), run_name=RUN, part="test"),
    ),
    "another split": (
        RunError, r"trained with test_split=0.1, and this call gives 0.2",
        lambda: gpt2simple.evaluate("reviews.csv", run_name=RUN, part="test", test_split=0.2),
    ),
    "the test part of a text": (
        SettingsError, 'part is "test", which only runs on labelled texts and pairs have',
        lambda: gpt2simple.evaluate("text.txt", model_name="small", part="test"),
    ),
    "too long": (
        SettingsError, "max_length is 99; this model reads at most 32",
        lambda: gpt2simple.finetune_classifier(
            reviews(60), model_name="small", run_name="long", max_length=99, **SETTINGS
        ),
    ),
    "a label that training lacks": (
        DataError, "never in training",
        lambda: gpt2simple.evaluate([("x", "good"), ("y", "so-so")], run_name=RUN),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(case: str) -> None:
    error, message, call = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_a_part_that_a_run_lacks_is_named() -> None:
    result = gpt2simple.finetune_classifier(
        "reviews.csv", model_name="small", run_name="no-test", steps=1, test_split=0, **SETTINGS
    )
    assert result.test is None
    with pytest.raises(DataError, match="part is 'test', and the run has no such part"):
        gpt2simple.evaluate("reviews.csv", run_name="no-test", part="test")


@pytest.mark.reference
@pytest.mark.parametrize("python", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_plain_transformers_opens_the_run_and_gives_the_same_logits(
    texts: list[str], tmp_path: Path, python: str
) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    run = Path("checkpoint") / RUN
    theirs = json.loads(printed_by("reference/pytorch_classifier.py", run, tmp_path / "texts.json", python=python))
    ours, _ = TextClassifier(LoadedModel.load(run)).probabilities(texts, batch_size=8)
    np.testing.assert_allclose(ours, theirs["probabilities"], atol=1e-5)
    logits = np.array(theirs["logits"])
    gaps = np.log(ours[:, 1] / ours[:, 0])  # logits are known but for a constant
    np.testing.assert_allclose(gaps, logits[:, 1] - logits[:, 0], atol=1e-4)
    assert theirs["labels"] == [one.label for one in gpt2simple.classify(texts, run_name=RUN)]


def test_a_row_may_be_shorter_than_the_batch_size() -> None:
    texts = [(word, "good" if number % 2 else "bad") for number, word in enumerate("abcdefghijkl")]
    how = {**SETTINGS, "batch_size": 32, "accumulate_gradients": 4}
    result = gpt2simple.finetune_classifier(texts, model_name="small", run_name="short", steps=2, **how)
    assert result.steps == 2
    assert len(gpt2simple.classify(["a", "b"], run_name="short")) == 2
