"""A run's model for other programs: the same weights, a card that says what the run's files hold and no text of it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

import gpt2simple
from gpt2simple.api.export import RECORD_FILE
from gpt2simple.errors import BackendError, CheckpointError, RunError, SettingsError
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.storage.files import sha256_of
from tests.helpers.pair_runs import pairs
from tests.helpers.small_runs import work_in, write_text

gguf = pytest.importorskip("gguf")

SECRET = "Zanzibar umbrella"  # in every text that a run learns from
HOW: dict[str, Any] = {"model_name": "small", "learning_rate": 1e-2, "seed": 5, "print_every": 1000}
RUNS = Path("checkpoint")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a model that has merges, and a run of each kind."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        text = write_text(folder / "diary-of-anna.txt")
        text.write_text(text.read_text("utf-8") + f"\n{SECRET}.\n" * 3, "utf-8")
        lines = [json.dumps({"prompt": f"{SECRET} {prompt}", "completion": reply}) for prompt, reply in pairs(60)]
        Path("pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
        labelled = [f"{'abc'[n % 3] * 3} {SECRET} {n},{'xyz'[n % 3]}" for n in range(90)]
        Path("classes.csv").write_text("\n".join(["text,label", *labelled]), encoding="utf-8")
        gpt2simple.make_tokenizer(text, "small", vocab_size=290, n_layer=1, n_head=2, n_embd=32, n_ctx=64)
        how = HOW | {"window": 32, "eval_every": 4}
        gpt2simple.finetune(text, run_name="text", steps=8, sample_every=4, sample_length=40, **how)
        gpt2simple.finetune(text, run_name="lora", steps=8, sample_every=0, lora_rank=4, **how)
        gpt2simple.finetune("pairs.jsonl", run_name="pairs", steps=6, separator="=", **HOW)
        gpt2simple.finetune_classifier("classes.csv", run_name="classes", epochs=2, batch_size=8, **HOW)
        gpt2simple.report("text")
        gpt2simple.report("classes")
        yield folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def exported(run: str, folder: Path, **settings: Any) -> Path:
    """The folder of a run's model."""
    return gpt2simple.export(run, format="huggingface", path=folder / "out", **settings)


def card_of(folder: Path) -> ModelCard:
    card = ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["gpt2", "gpt2simple"]
    return card


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    with open_checkpoint(folder) as source:
        return dict(source.items())


@pytest.mark.parametrize("run", ["text", "lora", "pairs", "classes"])
def test_the_folder_is_the_model_that_a_session_saves(run: str, tmp_path: Path, messages: list[str]) -> None:
    folder = exported(run, tmp_path)
    assert f"Exported the run {run}, step " in messages[-1]
    with gpt2simple.start_session(run_name=run) as session:
        saved = session.save(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert {path.name for path in folder.iterdir()} == {*files, "README.md", RECORD_FILE}
    assert ("chat_template.jinja" in files) == (run == "pairs")
    record = json.loads((folder / RECORD_FILE).read_text())
    assert {name: one["sha256"] for name, one in record["files"].items()} == {
        path.name: sha256_of(path) for path in folder.iterdir() if path.name != RECORD_FILE
    }


def test_the_latest_step_and_half_precision(tmp_path: Path) -> None:
    folder = exported("text", tmp_path, checkpoint="latest", kind="f16")
    assert json.loads((folder / RECORD_FILE).read_text())["step"] == 8
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float16"
    latest = weights_of(RUNS / "text" / "step-000008")
    for name, value in weights_of(folder).items():
        np.testing.assert_array_equal(value, latest[name].astype(np.float16), err_msg=name)


def test_the_default_paths_are_told_and_nothing_of_the_users_is_replaced() -> None:
    folder = gpt2simple.export("text", format="huggingface")
    assert folder == Path("exports/text")
    with pytest.raises(SettingsError, match="exports/text is not empty, and nothing in it is replaced"):
        gpt2simple.export("text", format="huggingface")
    file = gpt2simple.export("text", format="gguf")
    assert file == Path("exports/text-f16.gguf")
    first = file.read_bytes(), file.with_name(f"{file.name}.{RECORD_FILE}").read_bytes()
    assert gpt2simple.export("text", format="gguf") == file  # an earlier one of ours
    assert (file.read_bytes(), file.with_name(f"{file.name}.{RECORD_FILE}").read_bytes()) == first
    Path("mine.gguf").write_text("mine")
    with pytest.raises(SettingsError, match=r"mine\.gguf exists and is not a GGUF file of gpt2simple"):
        gpt2simple.export("text", format="gguf", path="mine.gguf")
    Path("other.gguf.export.json").write_text("mine")
    with pytest.raises(SettingsError, match=r"other\.gguf\.export\.json exists and is not the record of an export"):
        gpt2simple.export("text", format="gguf", path="other.gguf")
    assert not Path("other.gguf").exists()


@pytest.mark.parametrize(("kind", "tolerance"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 2e-2)])
@pytest.mark.parametrize("run", ["lora", "pairs"])
def test_a_gguf_file_has_the_merged_weights_and_the_chat_template(
    run: str, kind: str, tolerance: float, tmp_path: Path
) -> None:
    path = gpt2simple.export(run, format="gguf", kind=kind, path=tmp_path / "model.gguf")
    reader = gguf.GGUFReader(path)
    stored = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    with gpt2simple.start_session(run_name=run) as session:
        saved = weights_of(session.save(tmp_path / "saved"))
    for ours, theirs in {
        "h.0.attn.c_attn.weight": "blk.0.attn_qkv.weight",
        "h.0.mlp.c_proj.weight": "blk.0.ffn_down.weight",
    }.items():
        np.testing.assert_allclose(stored[theirs], saved[ours].T, atol=tolerance, rtol=0)
    template = reader.get_field("tokenizer.chat_template")
    assert (template is not None) == (run == "pairs")
    if template is not None:
        assert template.contents() == (RUNS / run / "chat_template.jinja").read_text()
    assert reader.get_field("general.name").contents() == run
    record = json.loads((tmp_path / f"model.gguf.{RECORD_FILE}").read_text())
    assert record["files"]["model.gguf"]["sha256"] == sha256_of(path)


REFUSED: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "format": (SettingsError, "format is 'onnx'; expected 'gguf' or 'huggingface'", {"format": "onnx"}),
    "kind": (SettingsError, "kind is 'q8_0', which huggingface does not have; expected f32 or f16", {"kind": "q8_0"}),
    "checkpoint": (SettingsError, "checkpoint is 'newest'; expected \"best\" or \"latest\"", {"checkpoint": "newest"}),
    "run": (RunError, "There is no run 'nope' in checkpoint. The runs there: classes, lora", {"run_name": "nope"}),
    "classifier": (CheckpointError, "a classifier of 3 classes, and GGUF", {"run_name": "classes", "format": "gguf"}),
    "license": (SettingsError, "license is 'My Own'; expected the hub's abbreviation", {"license": "My Own"}),
    "language": (SettingsError, "language is 'Finnish'; expected an ISO code", {"language": "Finnish"}),
    "evaluation": (SettingsError, "evaluation is 'none.json', which cannot be read", {"evaluation": "none.json"}),
    "no card": (SettingsError, "on the model card, and a GGUF file has none. Leave it out, or export in the format hug",
                {"evaluation": "small/config.json", "format": "gguf"}),
    "no evaluation": (SettingsError, "which holds no figures of an evaluation", {"evaluation": "small/config.json"}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_said_in_one_line(case: str, tmp_path: Path) -> None:
    error, message, call = REFUSED[case]
    with pytest.raises(error, match=message):
        gpt2simple.export(**{"run_name": "text", "format": "huggingface", "path": tmp_path / "out"} | call)
    assert list(tmp_path.iterdir()) == []


def test_without_gguf_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(BackendError, match="gguf is not installed, and writing GGUF files needs it"):
        gpt2simple.export("text", format="gguf", path=tmp_path / "out.gguf")


def test_the_card_of_a_language_model(tmp_path: Path) -> None:
    card = card_of(exported("text", tmp_path, license="cc-by-4.0", language=["en"]))
    data = card.data
    assert (data.license, data.language, data.pipeline_tag) == ("cc-by-4.0", ["en"], "text-generation")
    assert data.base_model is None
    assert data.metrics == ["perplexity"]
    step = int(card.text.split("weights after ")[1].split(" ")[0])
    lines = map(json.loads, Path("checkpoint/text/metrics.jsonl").read_text().splitlines())
    (best,) = [one for one in lines if one["kind"] == "evaluation" and one["step"] == step]
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == {
        "loss": round(best["loss"], 4), "perplexity": round(best["perplexity"], 2),
        "bits_per_byte": round(best["bits_per_byte"], 4),
    }  # fmt: skip
    summary = json.loads(Path("checkpoint/text/run.json").read_text())["data"]["summary"]
    for fact in (
        "the one with the best held-out result", f"| tokens | {summary['tokens']:,} |", "| learning_rate | 0.01 |",
        f"| share of the tokens held out | {summary['held_out_share']:.1%} |", "| gpt2simple | ", "| seed | 5 |",
        "small, a model of its author's own", "## Memorisation", "longest passage copied, in words",
    ):  # fmt: skip
        assert fact in card.content, fact
    assert "lora" not in card.content


def test_where_no_report_says_what_was_memorised_the_export_does(tmp_path: Path, messages: list[str]) -> None:
    for run, told in (("text", False), ("lora", True), ("classes", False)):
        messages.clear()
        card = card_of(exported(run, tmp_path / run))
        assert ("The card does not say what was memorised. Where a run wrote samples (" in messages[0]) is told, run
        assert ("## Memorisation" in card.content) is (run == "text")


@pytest.mark.parametrize("run", ["text", "lora", "pairs", "classes"])
def test_no_text_and_no_name_of_a_file_gets_out(run: str, tmp_path: Path) -> None:
    folder = exported(run, tmp_path)
    words = {*SECRET.split(), "diary", "anna", "pairs.jsonl", "classes.csv", str(Path.cwd()), "umbrella"}
    for name in ("README.md", RECORD_FILE, "config.json", "generation_config.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert [word for word in words if word.lower() in text.lower()] == [], name


def test_the_card_of_a_classifier_has_the_figures_of_its_report_with_intervals(tmp_path: Path) -> None:
    card = card_of(exported("classes", tmp_path))
    report = json.loads(Path("checkpoint/classes/report.json").read_text())["result"]
    assert card.data.pipeline_tag == "text-classification"
    of_test = [one for one in card.data.eval_results if "test part" in one.dataset_name]
    accuracy = next(one for one in of_test if one.metric_type == "accuracy")
    low, high = report["interval"]["low"], report["interval"]["high"]
    assert accuracy.metric_value == pytest.approx(report["accuracy"], abs=1e-4)
    assert accuracy.metric_name == f"Accuracy (95% interval: {low:.4f} to {high:.4f})"
    assert set(card.data.metrics) == {"accuracy", "f1"}
    held_out = [one for one in card.data.eval_results if "held-out part" in one.dataset_name]
    assert {one.metric_type for one in held_out} == {"loss", "accuracy"}
    assert "The classes: `x`, `y`, `z`." in card.content


def test_a_report_on_another_step_is_left_out(tmp_path: Path) -> None:
    shutil.copytree(RUNS / "classes", RUNS / "older")
    try:
        report = RUNS / "older" / "report.json"
        report.write_text(json.dumps({**json.loads(report.read_text()), "step": 1}))
        assert "test part" not in exported("older", tmp_path).joinpath("README.md").read_text()
    finally:
        shutil.rmtree(RUNS / "older")


def test_the_figures_of_a_saved_evaluation_get_their_standard_error(tmp_path: Path) -> None:
    found: Any = gpt2simple.evaluate("diary-of-anna.txt", run_name="text", part="held_out", window=16)
    Path("evaluation.json").write_text(json.dumps(found.to_json()), encoding="utf-8")
    card = card_of(exported("text", tmp_path, evaluation="evaluation.json"))
    losses = [one.metric_name for one in card.data.eval_results if one.metric_type == "loss"]
    assert losses[0] == f"Loss, nats per token (standard error: {found.standard_error:.4f})"
    assert f"Protocol: {found.protocol}." in card.content
    assert "diary" not in card.content
    with pytest.raises(SettingsError, match=r"an evaluation of 'text \(small\)', and the run is 'lora'"):
        exported("lora", tmp_path / "other", evaluation="evaluation.json")


def test_a_run_of_gpt_2_simple_that_records_nothing_has_a_short_card(tmp_path: Path) -> None:
    from gpt2simple.evaluation.card.facts import card_facts
    from gpt2simple.evaluation.card.page import model_card
    from gpt2simple.runs.folder import RunFolder
    from gpt2simple.testing import SMALL_CONFIG

    (tmp_path / "model-120.index").touch()
    text = model_card(card_facts(RunFolder(tmp_path), SMALL_CONFIG, None, model_dir=tmp_path))
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    card_of(tmp_path)
    assert "How it was made" not in text
    assert "No evaluation of these weights is on record." in text


def test_other_programs_write_prompts_as_the_run_learned_them(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported("pairs", tmp_path))
    asked = [{"role": "user", "content": "a1"}]
    assert tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True) == "a1="
