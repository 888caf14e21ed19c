"""Fine-tuning on pairs, answering prompts and evaluating what is written, through the public functions."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import gpt2simple
from gpt2simple.backend.tensorflow import tf
from gpt2simple.cli.group import cli
from gpt2simple.data.batches import PackedShape
from gpt2simple.data.packing import PackedBatches
from gpt2simple.data.pair_encoding import encode_pairs, pair_reader
from gpt2simple.data.pairs import read_pairs
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.gpt2.container import named_variables
from gpt2simple.settings import PairTextSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer
from gpt2simple.training.step import ModelStep
from gpt2simple.training.task import LanguageModeling
from tests.helpers.network import largest_relative_difference, model_of, plain_loss_and_gradients
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in, write_small_model, write_text

SETTINGS: dict[str, Any] = {"learning_rate": 1e-2, "seed": 3, "print_every": 1000, "separator": "=", "batch_size": 8}
RUN = "letters"
NAMES = "abcdefgh"


def pairs(number: int = 160, seed: int = 0) -> list[tuple[str, str]]:
    """A letter, some digits that do not matter, and the letter after it."""
    draw = random.Random(seed)
    letters = [draw.choice(NAMES[:-1]) for _ in range(number)]
    return [(f"{letter}{n}", NAMES[NAMES.index(letter) + 1]) for n, letter in enumerate(letters)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and a run that was trained on pairs.jsonl."""
    folder = tmp_path_factory.mktemp("pairs")
    write_small_model(folder / "small")
    write_text(folder / "text.txt")
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs()]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "other.jsonl").write_text("\n".join(lines[:9]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        gpt2simple.finetune("pairs.jsonl", model_name="small", run_name=RUN, steps=120, **SETTINGS)
        gpt2simple.finetune("text.txt", model_name="small", run_name="plain", steps=1, seed=0, window=16)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def test_a_model_learns_to_answer_prompts_that_it_never_saw() -> None:
    new = pairs(40, seed=1)
    answers = gpt2simple.answer([prompt for prompt, _ in new], run_name=RUN, length=4)
    assert np.mean([answer == completion for answer, (_, completion) in zip(answers, new, strict=True)]) > 0.9
    assert gpt2simple.answer("c7", run_name=RUN, length=4) == ["d"]


def test_a_conversation_is_a_prompt_too() -> None:
    conversation = [{"role": "user", "content": "c7"}]
    assert gpt2simple.answer([conversation], run_name=RUN, length=4) == ["d"]


def test_generate_gives_the_completion_alone(capfd: pytest.CaptureFixture[str]) -> None:
    texts = gpt2simple.generate(prompt="c7", run_name=RUN, length=4, temperature=0, return_as_list=True)
    assert texts == ["d"]
    gpt2simple.generate(prompt=["c7", "a1"], run_name=RUN, length=4, temperature=0, sample_delim="|")
    assert capfd.readouterr().out.replace("\n", "") == "d|b|"


def test_what_was_found_is_said_and_recorded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="said", steps=1, **SETTINGS)
    assert "Pairs: 160 pairs in the format prompt-completion; the loss is on 256 tokens of completions" in caplog.text
    assert "Copies: no pair occurs twice; no held-out prompt is in training." in caplog.text
    recorded = json.loads(Path("checkpoint/said/run.json").read_text(encoding="utf-8"))
    assert recorded["task"] == "pairs"
    assert recorded["data"]["summary"]["template"]["assistant"] == "="
    template = Path("checkpoint/said/chat_template.jinja").read_bytes()
    with gpt2simple.start_session(run_name="said") as session:
        assert (session.save("saved") / "chat_template.jinja").read_bytes() == template
    with gpt2simple.start_session(run_name="plain") as session:
        assert not (session.save("saved-plain") / "chat_template.jinja").exists()


def test_a_stopped_run_equals_a_straight_one_bit_for_bit() -> None:
    how = {**SETTINGS, "dropout": 0.1, "accumulate_gradients": 2, "batch_size": 4, "eval_every": 3}
    gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="straight", steps=8, **how)
    gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="stopped", steps=5, **how)
    gpt2simple.finetune("pairs.jsonl", run_name="stopped", steps=8)  # its own settings for the rest
    names = ("checkpoint/straight/step-000008", "checkpoint/stopped/step-000008")
    for file in ("model.safetensors", "optimizer.safetensors"):
        assert len({Path(name, file).read_bytes() for name in names}) == 1


def test_evaluation_says_how_good_the_outputs_are() -> None:
    result: Any = gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="test")
    assert result.tokens == 2 * 16  # a letter and the end
    assert result.loss < 0.3
    assert result.perplexity == pytest.approx(np.exp(result.loss))
    assert result.prompt_loss > 1.0  # of digits that nobody can know, and which were not learned
    assert result.outputs.exact_match.value > 0.9
    values = json.loads(json.dumps(result.to_json()))
    assert values["loss"] == result.loss
    assert "exact match" in result.summary()
    everything: Any = gpt2simple.evaluate("other.jsonl", run_name=RUN)
    assert everything.tokens == 18
    assert everything.outputs.part == "all of other.jsonl"


def test_the_loss_of_training_is_that_of_evaluating() -> None:
    lines = Path("checkpoint", RUN, "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    best = min(record["loss"] for record in records if record.get("kind") == "evaluation" or "bits_per_byte" in record)
    result: Any = gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="held_out")
    assert result.loss == pytest.approx(best, rel=0.02)  # training evaluates in bfloat16 where it trains in it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gpt2simple.answer(" ", run_name=RUN), r"^A prompt is ' '; expected a text"),
        (lambda: gpt2simple.answer([[{"role": "user"}]], run_name=RUN), "^A prompt is .*; expected a text"),
        (lambda: gpt2simple.answer("a1", run_name="plain"), "^prompt was given, and the model was not trained"),
        (lambda: gpt2simple.answer("a1", model_name="small"), "^prompt was given, and the model was not trained"),
        (lambda: gpt2simple.generate(prefix="a", prompt="b", run_name=RUN), "^prefix and prompt were both given"),
        (
            lambda: gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="new", window=8),
            r"^window was given, which is for plain texts, and the dataset holds pairs \(prompt-completion\)",
        ),
        (
            lambda: gpt2simple.finetune("text.txt", model_name="small", run_name="new", loss_on="all"),
            r"^loss_on was given, which is for pairs, and the dataset holds none that can be told",
        ),
        (lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, window=8), "^window was given, and pairs are read"),
        (
            lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, label_column="x"),
            r"^label_column was given, and the model was trained on pairs\. Leave it out\.$",
        ),
        (
            lambda: gpt2simple.evaluate("text.txt", run_name="plain", separator="x"),
            r"^separator was given, and the model is no run on labelled texts or pairs\. Leave it out\.$",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call()


def test_outputs_for_the_same_held_out_prompts_are_shown_while_training(capfd: pytest.CaptureFixture[str]) -> None:
    settings = {**SETTINGS, "sample_every": 60, "sample_length": 3, "model_name": "small", "steps": 120}
    gpt2simple.finetune("pairs.jsonl", run_name="sampled", **settings)
    shown = capfd.readouterr().err
    texts = [Path(f"checkpoint/sampled/samples/step-{step:06}.txt").read_text("utf-8") for step in (60, 120)]
    for step, text in zip((60, 120), texts, strict=True):
        assert f"--- sample at step {step} ---\n{text}\n---" in shown
    prompts, outputs, references = (texts[1].splitlines()[place::3] for place in range(3))
    assert [texts[0].splitlines()[place::3] for place in (0, 2)] == [prompts, references]
    for prompt, output, reference in zip(prompts, outputs, references, strict=True):
        letter = NAMES[NAMES.index(prompt.removeprefix("Prompt: ")[0]) + 1]
        assert (output, reference) == (f"Output: {letter}", f"Reference: {letter}")
    assert len(set(prompts)) == 3
    same = [json.loads(line) for run in ("sampled", RUN) for line in _records(run) if '"kind": "step"' in line]
    assert [one["loss"] for one in same[:120]] == [one["loss"] for one in same[120:]], "samples change no step"


def _records(run: str) -> list[str]:
    return Path("checkpoint", run, "metrics.jsonl").read_text(encoding="utf-8").splitlines()


def test_without_held_out_pairs_the_prompts_are_of_training_and_samples_can_be_left_out() -> None:
    few: dict[str, Any] = {**SETTINGS, "model_name": "small", "steps": 2, "validation_split": 0.0, "sample_length": 2}
    gpt2simple.finetune("other.jsonl", run_name="none-held-out", sample_every=2, **few)
    text = Path("checkpoint/none-held-out/samples/step-000002.txt").read_text("utf-8")
    assert text.startswith("Prompt of training: ")
    assert text.count("Prompt of training: ") == 3
    gpt2simple.finetune("other.jsonl", run_name="silent", sample_every=0, **few)
    assert not Path("checkpoint/silent/samples").exists()


def test_other_pairs_have_no_parts() -> None:
    with pytest.raises(DataError, match="is not the pairs that the run was trained on, or has changed since"):
        gpt2simple.evaluate("other.jsonl", run_name=RUN, part="test")
    with pytest.raises(RunError, match=r"^The run was trained with validation_split=0\.1, and this call gives 0\.2"):
        gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="test", validation_split=0.2)


def test_a_column_makes_plain_text_of_pairs() -> None:
    result = gpt2simple.finetune(
        "pairs.jsonl", model_name="small", run_name="as-text", steps=1, column="prompt", window=16
    )
    assert result.target == "token"
    assert "task" not in json.loads(Path("checkpoint/as-text/run.json").read_text(encoding="utf-8"))


def test_the_command_line_answers() -> None:
    done = CliRunner().invoke(cli, ["answer", "c7", "a1", "--run-name", RUN, "--length", "4"])
    assert (done.exit_code, done.stdout) == (0, "d\nb\n")
    done = CliRunner().invoke(
        cli, ["answer", "--file", "-", "--run-name", RUN, "--length", "4", "--json"], input="c7\n"
    )
    assert json.loads(done.stdout) == [{"prompt": "c7", "output": "d"}]
    done = CliRunner().invoke(cli, ["answer"])
    assert done.exit_code == 2
    assert "Give prompts, or --file with a prompt on each line: one of the two." in done.stderr


def test_masked_loss_and_gradients_are_those_computed_one_pair_at_a_time() -> None:
    """And the loss on everything is another one. Prompts are of 3 to 9 bytes, completions of 2 to 19."""
    data = [("abc", "x"), ("q" * 9, "y" * 18), ("de fg", "zz z")]
    settings, tokenizer = PairTextSettings(separator="="), byte_tokenizer()
    found = read_pairs([{"prompt": prompt, "completion": completion} for prompt, completion in data], settings)
    encoded = encode_pairs(found.pairs, found.template, tokenizer, SMALL_CONFIG.n_ctx)
    model = model_of()
    variables = named_variables(model)
    for loss_on in ("completion", "all"):
        read = pair_reader(encoded, loss_on)
        whole = _step(variables, PackedBatches(encoded.lengths, read, batch_size=3, accumulate=1, seed=0), 1)
        accumulated = _step(variables, PackedBatches(encoded.lengths, read, batch_size=1, accumulate=3, seed=0), 3)
        one_by_one = [plain_loss_and_gradients(model, *(array[None] for array in read(number))) for number in range(3)]
        tokens = np.array([read(number)[2].sum() for number in range(3)])
        if loss_on == "completion":
            assert tokens.tolist() == [2, 19, 5]
        loss = sum(loss * count for (loss, _), count in zip(one_by_one, tokens, strict=True)) / tokens.sum()
        gradients = {
            name: sum(found[name] * count for (_, found), count in zip(one_by_one, tokens, strict=True)) / tokens.sum()
            for name in one_by_one[0][1]
        }
        for nats, counted, ours in (whole, accumulated):
            assert counted == tokens.sum()
            assert nats / counted == pytest.approx(loss, rel=1e-6)
            assert largest_relative_difference(ours, gradients) < 2e-5
        assert largest_relative_difference(accumulated[2], whole[2]) < 1e-5


def _step(variables: Any, batches: PackedBatches, count: int) -> tuple[float, float, dict[str, np.ndarray]]:
    """Nats, targets and gradients of an optimizer step of so many micro-batches."""
    step = ModelStep(
        variables, frozenset(variables), SMALL_CONFIG, tf.float32, LanguageModeling(np.ones(SMALL_CONFIG.n_vocab)),
        dropout_rate=0.0, seed=tf.constant(1, tf.int64), gradient_checkpointing=False, packed=PackedShape(32),
    )  # fmt: skip
    arrays = [np.stack(parts) for parts in zip(*(batches.batch(n).arrays for n in range(count)), strict=True)]
    nats, tokens, found = step.gradients(list(map(tf.constant, arrays)), tf.constant(0), tf.constant(1.0))
    return float(nats), float(tokens), {name: tf.cast(g, tf.float32).numpy() for name, g in found.items()}


@pytest.mark.reference
def test_answers_and_loss_are_those_of_transformers_on_the_saved_folder(tmp_path: Path) -> None:
    new = pairs(50, seed=2)
    (tmp_path / "pairs.json").write_text(json.dumps(new), encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text(
        "\n".join(json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in new), "utf-8"
    )
    theirs = json.loads(printed_by("reference/pytorch_pairs.py", f"checkpoint/{RUN}", tmp_path / "pairs.json", 4))
    assert gpt2simple.answer([prompt for prompt, _ in new], run_name=RUN, length=4) == theirs["answers"]
    result: Any = gpt2simple.evaluate(str(tmp_path / "pairs.jsonl"), run_name=RUN)
    assert result.loss == pytest.approx(theirs["loss"], abs=1e-5)


def test_a_report_shows_the_outputs(tmp_path: Path) -> None:
    report: Any = gpt2simple.report(RUN, destination_path=tmp_path / "r.html")
    page = report.path.read_text(encoding="utf-8")
    for part in ("exact match", "Worst outputs", "Best outputs", "nats per token", "Training"):
        assert part in page, part
    assert report.picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(report.json_path.read_text(encoding="utf-8"))["result"]["loss"] == report.result.loss
    gpt2simple.report(RUN, destination_path=tmp_path / "r.html")  # a report replaces a report
    with pytest.raises(DataError, match="is not the pairs that the run was trained on"):
        gpt2simple.report(RUN, dataset="other.jsonl", destination_path=tmp_path / "r.html")
